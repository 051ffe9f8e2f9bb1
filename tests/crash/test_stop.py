"""Stop means stop (promise P9): a stop at any point of the call path, and nothing starts once it has quiesced."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec
import pytest

from comity.core.clock import SystemClock
from comity.core.codec import decode
from comity.journal.task import ParkReason, State
from comity.testing import MemoryStore
from comity.testing.waiting import wait_until
from crash.fleet import CLERK, WAITER, World
from crash.injection import Injector
from crash.lives import Lives

EXPECTED = {"clerk": CLERK, "waiter": WAITER}
STARTS = ("in add", "in peek", "in find_tag", "before", "model streamed")
"""How the labels of points begin at which a device is at work."""


class StopAt(Injector):
    """Has an operator stop the fleet at point `at`, and goes on; tells what started after the stop had quiesced."""

    def __init__(self, lives: Lives, at: int) -> None:
        super().__init__()
        self._lives = lives
        self._at = at
        self._stopping: asyncio.Task[None] | None = None
        self.generation = 0
        self.is_quiesced = False
        self.late: list[str] = []

    def is_frozen_at(self, label: str) -> bool:
        """Pass a point."""
        if self.count == self._at:
            self._stopping = asyncio.ensure_future(self._stop())
        if self.is_quiesced and (label.endswith(" acts") or label in {"in add", "in peek", "in find_tag"}):
            self.late.append(label)
        if self.is_quiesced and label == "before model streams":
            self.late.append(label)
        return super().is_frozen_at(label)

    async def _stop(self) -> None:
        orders = self._lives.operator.orders
        self.generation = await orders.stop("fleet")
        while not await orders.is_quiesced(self.generation):  # noqa: ASYNC110 (the very turn is wanted)
            await asyncio.sleep(0)
        self.is_quiesced = True


async def stop_and_lift(agent: str, at: int) -> int:
    """Stop at a point, lift once all is still; return how many points were passed by then."""
    world = World()
    lives = Lives(MemoryStore(SystemClock()), world)
    lives.operator.left_alone.add(ParkReason.STOPPED)
    task = await lives.create(agent)
    injector = StopAt(lives, at)
    world.injector = injector
    kernel = lives.kernel(injector)
    await kernel.start("here", 1)

    async def is_still() -> bool:
        ended = await lives.operator.look_around()
        still = all(row.state is not State.RUNNING and row.state is not State.QUEUED for row in await rows())
        return ended or (injector.is_quiesced and still)

    async def rows() -> list[Any]:
        return await lives.operator.rows()

    try:
        await wait_until(is_still, 10, f"stillness after a stop at {at}: {injector.place}")
        passed = injector.count
        if injector.generation:
            await wait_until(lambda: injector.is_quiesced, 10, "the stop to quiesce")
            assert not injector.late, f"started after quiesced: {injector.late}"
            injector.is_quiesced = False
            await lives.operator.orders.lift("fleet")
            await wait_until(lives.operator.look_around, 10, f"the end after a stop at {at}: {injector.place}")
        ledger = await lives.operator.orders.ledger(task)
        assert ledger.ended is not None
        assert decode(ledger.ended.result.inline) == EXPECTED[agent]
        assert not world.book.doubled()
    finally:
        await kernel.stop()
    return passed if injector.generation else -1


@pytest.mark.parametrize("agent", ["clerk", "waiter"])
async def test_after_a_stop_at_any_point_has_quiesced_nothing_starts_until_it_is_lifted(agent: str) -> None:
    """P9: the outcome of what was on the wire is recorded, and after the lift the task ends as if nothing had been."""
    at = random.SystemRandom().randrange(2)
    while await stop_and_lift(agent, at) >= 0:
        at += 2
    assert at > 60


async def test_a_stop_does_not_wait_for_what_runs_and_its_outcome_is_recorded() -> None:
    """P9: quiesced comes once the permit is used or has run out, not when a slow tool ends."""
    world = World()
    lives = Lives(MemoryStore(SystemClock()), world)
    lives.operator.left_alone.add(ParkReason.STOPPED)
    task = await lives.create("clerk")
    lives.settings = msgspec.structs.replace(lives.settings, permit_s=0.3)
    kernel = lives.kernel(world.injector)
    world.hold("after announce acted")
    await kernel.start("here", 1)
    orders = lives.operator.orders
    await wait_until(lambda: "after announce acted" in world.waiting, 10, "the effect")
    generation = await orders.stop("agent:clerk")
    await wait_until(lambda: orders.is_quiesced(generation), 10, "the stop to quiesce")
    (doubt,) = await orders.in_doubt(task)
    assert doubt.key.name == "announce"
    world.open("after announce acted")

    async def is_parked() -> bool:
        return (await orders.row(task)).reason == ParkReason.STOPPED

    await wait_until(is_parked, 10, "the task to park")
    assert not await orders.in_doubt(task)
    await orders.lift("agent:clerk")
    await wait_until(lives.operator.look_around, 10, "the end")
    assert len(world.book.standing("announce")) == 1
    await kernel.stop()
