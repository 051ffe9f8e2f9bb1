"""A lane of the matrix: one node of its own on a store of its own, with the upstream, the tools and the tally of all.

The listening socket is the lane's, not the node's: a node that is killed and started again is found where it was, as
behind a supervisor that passes a socket on. Programs reach it through a front.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Self

import httpx2

from conformance.processes import PATHS, TESTS, FrontControl, Service, clean, size, tail
from tally.client import VARIABLE, Tally, TallyProcess

UP_S = 90.0
CALL_S = 90.0
FAKE_KEY = "sk-the-key-of-the-upstream"
CONFIG = """\
[server]
port = 0
tool_files = ["{here}/hotel.py"]

[store]
url = "{store}"

[node]
lease_s = 3.0
lease_margin_s = 0.5
permit_s = 1.0
linger_s = 0.05
workers = 16
hand_env = ["{tally}", "PYTHONPATH"]

[upstreams.fake]
base_url = "{upstream}/v1"
api_key_env = "FAKE_KEY"

[models."gpt-4.1"]
upstream = "fake"
model = "gpt-4.1"

[upstreams.fake_anthropic]
kind = "anthropic"
base_url = "{upstream}/v1"
api_key_env = "FAKE_KEY"

[models."claude-sonnet-4-5"]
upstream = "fake_anthropic"
model = "claude-sonnet-4-5"

[upstreams.http]
kind = "mcp"
url = "{tools}/mcp"
allow_private = true

[upstreams.stdio]
kind = "mcp"
command = ["{python}", "-m", "conformance.tools", "stdio"]
env = ["{tally}", "PYTHONPATH"]
"""
TOOLS = """
[tools."{server}.look"]
effect = "read"

[tools."{server}.pay"]
effect = "idempotent"
key_argument = "key"
"""
AGENTS = {"http": ["http.*"], "stdio": ["stdio.*"], "file": ["look", "book", "pay"]}
"""Outside programs as agents: which tools each is offered."""


class World:
    """What all lanes share: tools, tally, and the scripted upstream, or another one at `model_url`."""

    def __init__(self, folder: Path, model_url: str = "") -> None:
        self.folder = folder
        self._model_url = model_url

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            self.tally: Tally = opened.enter_context(TallyProcess(self.folder / "tally"))
            variables = {VARIABLE: str(self.tally.port)}
            self.upstream = opened.enter_context(Service("upstream", self.folder, variables))
            self.tools = opened.enter_context(Service("tools", self.folder, variables))
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def acts(self, ref: str) -> list[str]:
        """Return what happened for a reference in order: effects (of twins `book-a`), thoughts with what they saw."""
        found = []
        for effect in self.tally.book().effects:
            about, _, number = str(effect.args["ref"]).partition("/")
            if about in (ref, f"{ref}-a", f"{ref}-b"):
                found.append(f"thought/{number} {effect.args['seen']}" if number else effect.name + about[len(ref) :])
        return found

    def config(self, store: str) -> str:
        """Return the configuration of a node on `store`."""
        text = CONFIG.format(
            here=TESTS / "conformance",
            store=store,
            tally=VARIABLE,
            upstream=self._model_url or self.upstream.url,
            tools=self.tools.url,
            python=sys.executable,
        )
        return text + "".join(TOOLS.format(server=name) for name in ("http", "stdio"))


class NodeProcess:
    """`comity up` with a plan for its death, on a socket that outlives it; each life has its own operator token."""

    def __init__(self, folder: Path, world: World, store: str) -> None:
        folder.mkdir()
        self.folder = folder
        self.log = folder / "node.log"
        self.plan = folder / "kill.json"
        self.token = ""
        self._config = folder / "comity.toml"
        self._config.write_text(world.config(store))
        self._tally = str(world.tally.port)
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._socket.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        environment = {
            VARIABLE: self._tally,
            "FAKE_KEY": FAKE_KEY,
            "COMITY_HOME": str(self.folder.parent / "home"),
            "PYTHONPATH": PATHS,
        }
        self.token = ""
        listening = self._socket.fileno()
        heard, announces = os.pipe()
        self._announced = os.fdopen(heard, "rb")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "conformance.driver", str(self.plan), "--config", str(self._config)),
                    *("up", "--listen-fd", str(listening), "--announce-fd", str(announces)),
                ],
                env=clean(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[listening, announces],
            )
        os.close(announces)

    async def ready(self) -> None:
        """Return once it serves.

        Raises:
            AssertionError: It did not come up; its log is in the notes.
        """
        if self.token:
            return
        loop = asyncio.get_running_loop()
        try:
            line = await asyncio.wait_for(loop.run_in_executor(None, self._announced.readline), UP_S)
            assert line, "the node ended before it was up"
        except (AssertionError, TimeoutError) as error:
            self.kill()  # which ends the read, too
            error.add_note(tail(self.log))
            raise
        finally:
            self._announced.close()
        self.token = json.loads(line)["token"]

    @property
    def is_up(self) -> bool:
        """Tell whether it runs."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it with SIGKILL, and return when it is gone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def close(self) -> None:
        """End it and give its socket back."""
        self.kill()
        self._announced.close()
        self._socket.close()

    def plan_death(self, **where: str) -> None:
        """Have it killed at a commit: `task`, `kind`, `name`, `phase`, `when`."""
        whole = self.plan.with_suffix(".new")
        whole.write_text(json.dumps(where))
        whole.replace(self.plan)


class Adopted(NamedTuple):
    """A task and the token of its present program."""

    task: str
    token: str
    incarnation: int


class Lane:
    """Nodes of one store, the way to them, and an operator: `async with Lane(name, world) as lane`."""

    def __init__(self, name: str, world: World, store: str = "", nodes: int = 1) -> None:
        self.world = world
        self.folder = world.folder / name
        self.folder.mkdir()
        self._store = store or f"sqlite:///{self.folder}/comity.db"
        self._count = nodes
        self.nodes: list[NodeProcess] = []

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opened:
            self.front = FrontControl(opened.enter_context(Service("front", self.folder)))
            self._http = await opened.enter_async_context(httpx2.AsyncClient(timeout=CALL_S))
            for number in range(self._count):
                node = NodeProcess(self.folder / f"node{number}", self.world, self._store)
                opened.callback(node.close)
                self.nodes.append(node)
                node.start()
                await node.ready()
            for name, tools in AGENTS.items():
                await self._ask("PUT", f"/agents/{name}", {"tools": tools})
            self.front.backends(*(node.port for node in self.nodes))
            self._opened = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opened.aclose()

    @property
    def node(self) -> NodeProcess:
        """Return the first node."""
        return self.nodes[0]

    # ---- what an operator does ----

    async def create(self, agent: str, goal: str) -> Adopted:
        """Create a task, and take its first program in."""
        made = await self._ask("POST", "/tasks", {"agent": agent, "goal": goal})
        return await self.adopt(made["id"])

    async def adopt(self, task: str, *, renew: bool = False) -> Adopted:
        """Take a program in, with `renew` in the place of the one before."""
        given = await self._ask("POST", f"/tasks/{task}/adopt", {"renew": renew})
        return Adopted(task, given["token"], given["incarnation"])

    async def finish(self, task: str, result: str) -> None:
        """End a task as succeeded."""
        await self._ask("POST", f"/tasks/{task}/finish", {"result": result})

    async def show(self, task: str) -> dict[str, Any]:
        """Return a task with its calls."""
        return await self._ask("GET", f"/tasks/{task}")

    async def resolve(self, task: str, call: int, verdict: str, result: Any = None) -> None:
        """Say how a call in doubt ended."""
        await self._ask("POST", f"/tasks/{task}/resolve", {"call": call, "verdict": verdict, "result": result})

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        node = next(node for node in self.nodes if node.is_up)
        await node.ready()
        headers = {"Authorization": f"Bearer {node.token}"}
        url = f"http://127.0.0.1:{node.port}/api/v1{path}"
        answer = await self._http.request(method, url, headers=headers, json=body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return dict(answer.json())

    def marks(self) -> dict[Path, int]:
        """Return the logs of all processes, and how much each holds by now."""
        logs = (*(node.log for node in self.nodes), self.world.upstream.log, self.world.tools.log)
        return {log: size(log) for log in logs}
