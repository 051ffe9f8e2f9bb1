"""A node process for the crash matrix: `comity up` with a plan that says whom to kill, and exactly where.

Run as `python -m crash.driver PLAN.json`. For each task of the plan it counts the points that the task passes, and
kills the task's brain, its hand (the other where it has but one), or this very process with SIGKILL at the planned one
(a number or a label), or freezes it with SIGSTOP; once only, over all lives, as a file beside the plan remembers.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from comity.core.ids import Id
from comity.journal.call import Attempt, Call, Permit
from comity.journal.ports import Brain, ModelRequest, OnProgress
from comity.journal.protocol import Delta, Stepped, ToBrain
from comity.journal.spec import ToolSpec
from comity.journal.task import TaskRow
from comity.journal.unit import Answer, TaskSubject, Unit
from comity.runtime.config import load_config
from comity.runtime.hardening import die_with_parent
from comity.runtime.log import set_up
from comity.runtime.node import Node
from comity.stores.open import open_store


class Killer:
    """Counts each task's points, and kills at the planned one."""

    def __init__(self, folder: Path, plan: dict[str, Any]) -> None:
        self._kills = {bytes.fromhex(task): (str(victim), at) for task, (victim, at) in plan.items()}
        self._file = folder / "killed"
        for line in self._file.read_text().splitlines() if self._file.exists() else ():
            self._kills.pop(bytes.fromhex(line.split()[0]), None)
        self._passed: Counter[Id] = Counter()
        self.node: Node | None = None

    def reach(self, task: Id, label: str) -> None:
        """Pass a point of a task."""
        victim, at = self._kills.get(task, ("", None))
        here = self._passed[task]
        self._passed[task] += 1
        if at not in (here, label):
            return
        del self._kills[task]
        assert self.node is not None
        brain, hand = self.node.brains.pids.get(task), self.node.hands.pids.get(task)
        pid = {"brain": brain or hand, "hand": hand or brain}.get(victim, os.getpid())
        told = {None: "nobody", brain: "brain", hand: "hand", os.getpid(): "node"}[pid]
        with self._file.open("a") as file:
            file.write(f"{task.hex()} {told} {here} {label}\n")
        if pid:
            os.kill(pid, signal.SIGSTOP if victim == "freeze" else signal.SIGKILL)


class KillingStore:
    """A store whose commits are points: before each lands, and after it landed."""

    def __init__(self, inner: Any, killer: Killer) -> None:
        self._inner = inner
        self._killer = killer

    async def commit(self, units: Sequence[Unit]) -> Sequence[Answer]:
        """Commit."""
        tasks = [unit.subject.task for unit in units if isinstance(unit.subject, TaskSubject)]
        for task in tasks:
            self._killer.reach(task, "before commit")
        answers: Sequence[Answer] = await self._inner.commit(units)
        for task in tasks:
            self._killer.reach(task, "after commit")
        return answers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class KillingHand:
    """A hand whose attempts are points: before each is sent, and after it ended."""

    def __init__(self, inner: Any, killer: Killer) -> None:
        self._inner = inner
        self._killer = killer

    async def perform(self, permit: Permit, call: Call, tool: ToolSpec, on_progress: OnProgress) -> Attempt:
        """Perform."""
        self._killer.reach(permit.task, f"before {tool.name}")
        attempt: Attempt = await self._inner.perform(permit, call, tool, on_progress)
        self._killer.reach(permit.task, f"after {tool.name}")
        return attempt

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class KillingModel:
    """A model whose streams are points."""

    def __init__(self, inner: Any, killer: Killer) -> None:
        self._inner = inner
        self._killer = killer

    async def stream(self, permit: Permit, request: ModelRequest) -> AsyncIterator[Delta]:
        """Stream."""
        self._killer.reach(permit.task, "before model")
        async for delta in self._inner.stream(permit, request):
            self._killer.reach(permit.task, "model streams")
            yield delta

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class KillingBrains:
    """Brains whose steps are points."""

    def __init__(self, inner: Any, killer: Killer) -> None:
        self._inner = inner
        self._killer = killer

    async def start(self, row: TaskRow, on_step: Callable[[Stepped], None], on_gone: Callable[[str], None]) -> Brain:
        """Start one."""

        def stepped(step: Stepped) -> None:
            self._killer.reach(row.id, "brain stepped")
            on_step(step)

        self._killer.reach(row.id, "before brain")
        return _Listening(await self._inner.start(row, stepped, on_gone), self._killer, row.id)


class _Listening:
    def __init__(self, inner: Brain, killer: Killer, task: Id) -> None:
        self._inner = inner
        self._killer = killer
        self._task = task

    def send(self, message: ToBrain) -> None:
        self._killer.reach(self._task, "before brain hears")
        self._inner.send(message)

    async def kill(self) -> None:
        await self._inner.kill()


async def main(folder: Path, plan: dict[str, Any]) -> None:
    """Be a node until SIGTERM."""
    killer = Killer(folder, plan.get("kills", {}))
    config = load_config({**os.environ, "COMITY_HOME": plan["home"]}, flags=plan["flags"], folder=folder)
    store = KillingStore(open_store(plan["url"]), killer)
    await store.open()
    node = killer.node = Node(config, store, dict(os.environ))
    kernel = node.kernel
    kernel.settings = msgspec.structs.replace(kernel.settings, poll_s=plan.get("poll_s", 0.2))
    kernel.hand, kernel.model = KillingHand(kernel.hand, killer), KillingModel(kernel.model, killer)
    kernel.brains = KillingBrains(kernel.brains, killer)
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    await node.start()
    sys.stdout.write("up\n")
    sys.stdout.flush()
    await over.wait()
    await node.drain()
    await store.close()


if __name__ == "__main__":
    set_up()
    die_with_parent(signal.SIGKILL, os.getppid())
    file = Path(sys.argv[1])
    asyncio.run(main(file.parent, json.loads(file.read_text())))
