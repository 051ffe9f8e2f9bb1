"""Cancelling compensates what is reversible, children first, in reverse order, whatever dies meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from comity.agents.context import Context
from comity.agents.tool import agent, tool
from comity.core.clock import SystemClock
from comity.core.errors import NotHappened
from comity.core.ids import Id
from comity.journal.call import CallContext
from comity.journal.program import Loaded, collect
from comity.journal.task import ParkReason, State
from comity.testing import MemoryStore
from comity.testing.waiting import wait_until
from crash.fleet import World
from crash.lives import Lives

UNDONE = ["second", "first"]


def undoing(world: World) -> Loaded:
    """Return an agent that makes two branches and has a child make one, then waits for what does not come."""
    book = world.book

    @tool(effect="idempotent")
    async def delete(args: dict[str, Any], result: Any) -> int:
        await world.reach("before delete acts")
        if "blocked" in world.waiting:
            raise NotHappened("the server refuses")
        number = book.undo("branch", args)
        await world.reach("after delete acted")
        return number

    @tool(effect="reversible", compensate=delete)
    async def branch(ref: str, call: CallContext) -> str:
        await world.act("branch", call)
        return ref

    @agent(tools=[branch])
    async def child(context: Context) -> Any:
        await context.act(branch, ref="child's")
        return await context.wait_signal("never")

    @agent(tools=[branch], agents=[child])
    async def parent(context: Context) -> Any:
        await context.act(branch, ref="first")
        spawned = await context.spawn(child, "go")
        await context.act(branch, ref="second")
        return await spawned.result()

    namespace = {"delete": delete, "branch": branch, "child": child, "parent": parent}
    return collect(namespace, "<cancel>", "0" * 64)


class Cancelling:
    """One life after the other of a `parent` that is cancelled once it waits, or before."""

    def __init__(self, crashes: set[int], *, is_early: bool = False) -> None:
        self.world = World()
        store = MemoryStore(SystemClock())
        self.lives = Lives(store, self.world, crashes, undoing(self.world))
        self.is_early = is_early
        self._look_around = self.lives.operator.look_around
        self.lives.operator.look_around = self.look_around  # type: ignore[method-assign]
        self._is_cancelled = False

    async def look_around(self) -> bool:
        """Cancel when it is time; else as any operator."""
        (task,) = self.lives.operator.tasks
        is_time = bool(self.world.book.effects) if self.is_early else await self._is_waiting()
        if is_time and not self._is_cancelled:
            self._is_cancelled = True
            await self.lives.operator.orders.cancel(task)
        return await self._look_around()

    async def _is_waiting(self) -> bool:
        rows = await self.lives.operator.rows()
        return len(rows) == 2 and all(row.state is State.WAITING for row in rows)

    async def run(self) -> Id:
        """Live until all is over."""
        task = await self.lives.create("parent")
        await self.lives.live()
        return task


async def check(cancelling: Cancelling, task: Id) -> None:
    """Hold that nothing stands, and that the undoing went in the right order."""
    lives, book = cancelling.lives, cancelling.world.book
    states = {row.agent: row.state for row in await lives.operator.rows()}
    assert set(states.values()) == {State.CANCELLED}, (states, lives.places)
    assert not book.standing("branch"), lives.places
    order = [book.effects[number - 1].args["ref"] for number in book.undone]
    refs = list(dict.fromkeys(reversed(order)))[::-1]  # a doubt may have undone one earlier, and done it again
    mine = [ref for ref in refs if ref != "child's"]
    assert mine == [ref for ref in UNDONE if ref in mine], (order, lives.places)
    if "child's" in refs:
        assert refs[0] == "child's", (order, lives.places)


@pytest.mark.parametrize("is_early", [False, True])
async def test_a_cancelled_task_is_undone_children_first_wherever_its_node_dies(is_early: bool) -> None:
    """Cancelling across crashes: a death at any point of the work and of each compensation."""
    at = 0
    while True:
        cancelling = Cancelling({at}, is_early=is_early)
        task = await cancelling.run()
        await check(cancelling, task)
        if cancelling.lives.count <= at:
            break
        at += 1
    assert at > (20 if is_early else 60)


async def test_a_compensation_that_is_refused_blocks_the_task_until_it_is_resumed() -> None:
    """A task that cannot be undone says so, and is undone once the obstacle is gone."""
    cancelling = Cancelling(set())
    lives, world = cancelling.lives, cancelling.world
    lives.operator.left_alone.add(ParkReason.COMPENSATION_BLOCKED)
    world.waiting.add("blocked")
    task = await lives.create("parent")
    kernel = lives.kernel(world.injector)
    await kernel.start("here", 1)
    orders = lives.operator.orders

    async def blocked() -> list[Id]:
        await lives.operator.look_around()
        rows = await lives.operator.rows()
        return [row.id for row in rows if row.reason == ParkReason.COMPENSATION_BLOCKED]

    (child,) = await wait_until(blocked, 10, "the child to be blocked")
    assert child != task
    assert len(world.book.standing("branch")) == 3
    world.waiting.discard("blocked")
    await orders.resume(child)
    await wait_until(lives.operator.look_around, 10, "both tasks to be cancelled")
    await check(cancelling, task)
    await kernel.stop()
