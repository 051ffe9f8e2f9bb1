"""Node processes on one store, with a tally beside them: started, killed, frozen, restarted by a test."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from comity.core.codec import decode
from comity.core.ids import Id, show_id
from comity.journal.ports import Store
from comity.journal.program import load
from comity.journal.task import State
from comity.runtime.programs import register
from comity.stores.open import open_store
from comity.testing.waiting import wait_until
from crash.person import Operator
from tally.client import VARIABLE, Tally, TallyProcess

TESTS = Path(__file__).parents[1]
CLERK = TESTS / "crash" / "clerk.py"
FLAGS = {
    "node.lease_s": 3.0,
    "node.lease_margin_s": 0.5,
    "node.permit_s": 1.0,
    "node.linger_s": 0.05,
    "node.drain_s": 5.0,
    "node.workers": 6,
    "node.hand_env": [VARIABLE],
}


class NodeProcess:
    """A driver process: a node with a plan."""

    def __init__(self, folder: Path, plan: dict[str, Any], tally: Tally) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.plan = plan
        self._file = folder / "plan.json"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("COMITY_")},
            VARIABLE: str(tally.port),
            "PYTHONPATH": str(TESTS),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.lives = 0

    @property
    def pid(self) -> int:
        """Return its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_up(self) -> bool:
        """Tell whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, again where it is dead, with the plan as it is now."""
        self.lives += 1
        self._file.write_text(json.dumps(self.plan))
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "crash.driver", str(self._file)],
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the node itself."""
        if self.is_up:
            os.kill(self.pid, number)

    @property
    def is_frozen(self) -> bool:
        """Tell whether the process is stopped by a signal."""
        return self.is_up and Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def kill(self) -> None:
        """End it with SIGKILL and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        """Return the end of what it logged."""
        file = self.folder / "log"
        return file.read_text(errors="replace")[-6_000:] if file.exists() else ""

    def pid_of(self, role: str, task: Id) -> int:
        """Return the process of a task's `brain` or `hand`, as the node logged it last."""
        found = re.findall(rf"{role} {show_id(task)} has pid (\d+)", (self.folder / "log").read_text(errors="replace"))
        assert found, f"no {role} of {show_id(task)} was started"
        return int(found[-1])

    def killed(self) -> list[list[str]]:
        """Return whom the plan has killed so far: task, victim, point, label."""
        file = self.folder / "killed"
        return [line.split(maxsplit=3) for line in file.read_text().splitlines()] if file.exists() else []


class Cluster:
    """A store, a tally, an operator and node processes: `async with Cluster(folder, url) as cluster`."""

    def __init__(self, folder: Path, url: str, **plan: Any) -> None:
        self.folder = folder
        self.url = url
        self.plan = plan
        self.nodes: list[NodeProcess] = []
        self._opened = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opened:
            self.tally = opened.enter_context(TallyProcess(self.folder / "tally"))
            self.store: Store = open_store(self.url)
            await self.store.open()
            opened.push_async_callback(self.store.close)
            await register(self.store, load(CLERK).program)
            self._opened = opened.pop_all()
        self.operator = Operator(self.store, self.tally.look)
        self.program = load(CLERK).program
        return self

    async def __aexit__(self, *_: object) -> None:
        for node in self.nodes:
            node.kill()
        await self._opened.aclose()

    def node(self, **plan: Any) -> NodeProcess:
        """Add a node, and start it."""
        name = f"node{len(self.nodes)}"
        flags = {**FLAGS, **self.plan.get("flags", {}), **plan.pop("flags", {})}
        whole = {"url": self.url, "home": str(self.folder / "home"), **self.plan, **plan}
        made = NodeProcess(self.folder / name, {**whole, "flags": flags}, self.tally)
        self.nodes.append(made)
        made.start()
        return made

    async def create(self, agent: str, ref: Any, **options: Any) -> Id:
        """Create a task; its signal is sent at once."""
        orders = self.operator.orders
        task = await orders.create(self.program, agent, ref, **options)
        self.operator.tasks.append(task)
        await orders.signal(task, "go", "went", sender="once")
        return task

    async def until_all_ended(self, deadline_s: float) -> None:
        """Look around as an operator, and start nodes that died again, until every task has ended."""

        async def ended() -> bool:
            for node in self.nodes:
                if not node.is_up:
                    node.start()
            return await self.operator.look_around()

        await self.wait(ended, deadline_s, "all tasks to end")

    async def wait(self, condition: Any, deadline_s: float, what: str) -> Any:
        """Wait, and show the logs of all nodes where it is in vain."""
        try:
            return await wait_until(condition, deadline_s, what)
        except AssertionError as error:
            for node in self.nodes:
                error.add_note(f"---- {node.folder.name} ----\n{node.log()}")
            for row in await self.operator.rows():
                if not row.state.ended:
                    error.add_note(f"{row.id.hex()} {row.agent} {row.goal} {row.state} {row.reason}")
            raise

    async def result(self, task: Id) -> Any:
        """Return the result of a task that succeeded."""
        row = await self.operator.orders.row(task)
        ledger = await self.operator.orders.ledger(task)
        assert row.state is State.SUCCEEDED, (row.state, row.reason, ledger.ended)
        assert ledger.ended is not None
        return decode(ledger.ended.result.inline or b"null")
