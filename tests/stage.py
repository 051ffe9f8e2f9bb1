"""A kernel on a stage: agents of a test on a store in memory, with a clock and chance that the test steps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from comity.coordination.document import WorldDocument
from comity.core.ids import Id
from comity.journal.entry import Body, Entry
from comity.journal.program import offered_by
from comity.journal.task import State, TaskRow
from comity.kernel import Settings
from comity.runtime.embedded import Embedded
from comity.testing.clock import FakeClock, FakeEntropy
from comity.testing.memory import MemoryStore

QUICK = Settings(permit_s=1.0, lease_s=30.0, lease_margin_s=5.0, linger_s=0.2, drain_s=1.0, poll_s=0.5, tasks_max=50)


class Stage:
    """One store, one clock, and the agents of a test; `node` plays a node process that may be started anew."""

    def __init__(self, *things: Callable[..., Any], world: WorldDocument | None = None) -> None:
        """Offer `things` (agents and tools) and what their modules hold, in a `world`."""
        self.world = world
        self.clock = FakeClock()
        self.entropy = FakeEntropy(7)
        self.store = MemoryStore(self.clock)
        self.loaded = offered_by(*things)

    @asynccontextmanager
    async def node(self) -> AsyncIterator[Embedded]:
        """Play a node until the block ends; then everything of it is gone, as after a crash."""
        node = Embedded(
            self.loaded, self.store, settings=QUICK, clock=self.clock, entropy=self.entropy, world=self.world
        )
        await node.coordination.start(self.world)
        await node.kernel.start("stage", 1)
        try:
            yield node
        finally:
            await node.kernel.stop()
            await node.coordination.stop()
            await self.store.declare_dead(node.kernel.lease.node)

    async def until(self, node: Embedded, task: Id, *states: State, seconds: float = 300.0) -> TaskRow:
        """Let time pass until the task is in one of `states`; return its row."""
        for _ in range(int(seconds / 0.1)):
            row = await node.orders.row(task)
            if row.state in states:
                return row
            await self.clock.advance(0.1)
        row = await node.orders.row(task)
        raise AssertionError(f"the task is {row.state} ({row.reason}), not {states}; {await self.story(task)}")

    async def ended(self, node: Embedded, task: Id) -> Any:
        """Let time pass until the task has ended, and return its result."""
        await self.until(node, task, State.SUCCEEDED, State.FAILED, State.CANCELLED)
        return await asyncio.wait_for(node.result(task), 5)

    async def bodies(self, task: Id) -> list[Body]:
        """Return what the task's journal holds."""
        return [entry.read() for entry in await self.store.load(task)]

    async def story(self, task: Id) -> str:
        """Return the journal in one line an entry, for a failure's message."""
        return "\n".join(line(entry) for entry in await self.store.load(task))


def line(entry: Entry) -> str:
    """Return an entry in one line."""
    return f"{entry.seq} {entry.branch or '.'} {entry.kind}/{entry.phase} {entry.read()}"


def of(bodies: list[Body], kind: type) -> list[Any]:
    """Return the bodies of one type."""
    return [body for body in bodies if type(body) is kind]
