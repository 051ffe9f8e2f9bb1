"""The processes of a live run: the plant, a node, programs of their own. Each ends with whoever began it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx2

from comity.cli.program_environment import scrubbed, where_the_gateway_is
from comity.core.clock import SystemClock
from comity.core.codec import decode
from comity.core.errors import HandsError
from comity.journal.task import State
from comity.server.client import ApiClient, part
from comity.server.documents import (
    AccountDocument,
    AdoptDocument,
    EntryDocument,
    EntryList,
    OrderDocument,
    TaskDocument,
)
from comity.server.fleet_documents import AgentDocument

CLOCK = SystemClock()
POLL_S = 0.01
HERE = Path(__file__).resolve().parent
KEPT = HERE / "kept.py"
UP_S = 60.0
PAGE = 200
TURN_S = 60.0
"""A turn that takes longer than this is a fault of the run, not of the plant."""
CONFIG = """\
[server]
port = 0

[store]
url = "sqlite:///{folder}/comity.db"

[node]
workers = 16
linger_s = 60.0
drain_s = 2.0
hand_env = ["COMITY_PLANT"]

[upstreams.plant]
kind = "mcp"
url = "http://127.0.0.1:{port}/mcp"
allow_private = true
trust_annotations = true
"""


class PlantProcess:
    """A plant in a process of its own; `order` is what its driver tells it."""

    def __init__(self, name: str, seed: str) -> None:
        """Begin to start it."""
        self.name = name
        listening = [socket.create_server(("127.0.0.1", 0), backlog=128) for _ in range(2)]
        self.port, self._control = (int(item.getsockname()[1]) for item in listening)
        fds = [item.fileno() for item in listening]
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "plant" / "serve.py"), name, seed, *map(str, fds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=HERE / "plant",
            pass_fds=fds,
        )
        for item in listening:
            item.close()  # its own now; whoever connects before it serves waits in the backlog
        self._http = httpx2.AsyncClient(timeout=TURN_S, trust_env=False)

    async def order(self, order: str, **body: Any) -> dict[str, Any]:
        """Give an order, and return how the plant is then.

        Raises:
            HandsError: it did not carry it out.
        """
        try:
            answer = await self._http.post(f"http://127.0.0.1:{self._control}/{order}", json=body)
        except httpx2.HTTPError as error:
            raise HandsError("plant_failed", f"the plant did not carry out `{order}` {body}: {error!r}") from error
        if answer.status_code != 200:
            raise HandsError("plant_failed", f"the plant answered {answer.status_code} to `{order}`: {answer.text}")
        return dict(answer.json())

    async def close(self) -> None:
        """End it."""
        await self._http.aclose()
        _end(self._process)


class NodeProcess:
    """`comity up` with the agents of a scenario, on a store of its own."""

    def __init__(self, folder: Path, agents: Path, plant_port: int, world: Path | None) -> None:
        """Begin to start it; `world` is the world file that coordinates, None for none."""
        text = CONFIG.format(folder=folder, port=plant_port)
        if world is not None:
            text += f'\n[world]\nfile = "{world}"\n'
        (folder / "comity.toml").write_text(text, encoding="utf-8")
        self.log = folder / "node.log"
        self._folder = folder
        heard, announces = os.pipe()
        self._heard = os.fdopen(heard, "rb")
        environment = {
            **scrubbed(os.environ, (), ()),
            "COMITY_HOME": str(folder / "home"),
            "COMITY_CONFIG": str(folder / "comity.toml"),
            "COMITY_PLANT": str(plant_port),
        }
        options = ("--quiet", "--log-level", "warning", "--announce-fd", str(announces))
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(KEPT), "up", *options, str(agents)],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=[announces],
                cwd=folder,
            )
        os.close(announces)
        self._programs: dict[str, subprocess.Popen[bytes]] = {}
        self.tasks: dict[str, str] = {}
        self._api: ApiClient | None = None

    @property
    def api(self) -> ApiClient:
        """Return the way to it."""
        assert self._api is not None, "it is not ready"
        return self._api

    async def ready(self) -> Self:
        """Return once it is up."""
        loop = asyncio.get_running_loop()
        line = await asyncio.wait_for(loop.run_in_executor(None, self._heard.readline), UP_S)
        if not line:
            raise HandsError("no_node", f"the node did not come up: {self.said()}")
        told = decode(line)
        self._api = ApiClient(told["url"], told["token"])
        return self

    def said(self) -> str:
        """Return its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    async def begin(self, agent: str) -> None:
        """Give an agent of the scenario's file its task."""
        body = {"agent": agent, "goal": f"pursue your goal, {agent}"}
        self.tasks[agent] = (await self.api.request("POST", "/tasks", TaskDocument, body=body)).id

    async def begin_program(self, name: str, file: Path) -> None:
        """Give a program of its own a task, and run it as that task's agent."""
        await self.api.request("PUT", f"/agents/{part(name)}", AgentDocument, body={"tools": ["plant.*"]})
        await self.begin(name)
        path = f"/tasks/{part(self.tasks[name])}/adopt"
        adopted = await self.api.request("POST", path, AdoptDocument, body={"renew": False})
        environment = {**scrubbed(os.environ, (), ()), **where_the_gateway_is(adopted, {})}
        self._programs[name] = _began(file, environment, self._folder / f"{name}.log")

    async def journal(self, agent: str) -> list[EntryDocument]:
        """Return the journal of an agent's task once that has ended.

        Raises:
            HandsError: it did not succeed.
        """
        account = await self._ended(agent)
        if account.state is not State.SUCCEEDED:
            raise HandsError("agent_failed", f"agent `{agent}` {account.state}: {account.error}")
        found: list[EntryDocument] = []
        path = f"/tasks/{part(self.tasks[agent])}/entries"
        while True:
            page = await self.api.request("GET", path, EntryList, query={"from": len(found) + 1, "limit": PAGE})
            found += page.entries
            if not page.has_more:
                return found

    async def _ended(self, agent: str) -> AccountDocument:
        task = part(self.tasks[agent])
        program = self._programs.get(agent)
        if program is not None:
            loop = asyncio.get_running_loop()
            code = await asyncio.wait_for(loop.run_in_executor(None, program.wait), UP_S)
            _end(self._programs.pop(agent))
            error = "" if not code else f"it ended with {code}"
            await self.api.request("POST", f"/tasks/{task}/finish", OrderDocument, body={"error": error})
        while True:
            account = await self.api.request("GET", f"/tasks/{task}", AccountDocument)
            if account.state.ended:
                return account
            await CLOCK.sleep(POLL_S)

    async def close(self) -> None:
        """End it, and the programs."""
        if self._api is not None:
            await self._api.close()
        for program in self._programs.values():
            _end(program)
        self._heard.close()
        _end(self._process)


def _began(file: Path, environment: dict[str, str], log_file: Path) -> subprocess.Popen[bytes]:
    with log_file.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, str(KEPT), str(file)], env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
