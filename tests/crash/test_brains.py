"""Brains that die at awkward moments: before they know their history, and while their calls are under way."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from comity.core.clock import SystemClock
from comity.core.codec import decode
from comity.journal.ports import Brain, Brains
from comity.journal.protocol import Stepped
from comity.journal.task import TaskRow
from comity.testing import MemoryStore
from comity.testing.waiting import wait_until
from crash.fleet import CLERK, World
from crash.injection import Injector
from crash.lives import Lives

TURNS = 5


class Slow:
    """A store whose answers take a few turns of the loop, as a real one's do."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.url = inner.url

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def slowly(*args: Any, **given: Any) -> Any:
            for _ in range(TURNS):
                await asyncio.sleep(0)
            return await found(*args, **given)

        return slowly


class Dying:
    """Brains that are killed some turns after they were started, or after a step; each the first two times."""

    def __init__(self, inner: Brains, turns: int, steps: int) -> None:
        self._inner = inner
        self._turns = turns
        self._steps = steps
        self.deaths = 0
        self._killers: set[asyncio.Task[None]] = set()

    async def start(self, row: TaskRow, on_step: Callable[[Stepped], None], on_gone: Callable[[str], None]) -> Brain:
        """Start one that will die."""
        steps = 0

        def stepped(step: Stepped) -> None:
            nonlocal steps
            steps += 1
            on_step(step)
            if steps == self._steps:
                self._kill_soon(brain)

        brain = await self._inner.start(row, stepped, on_gone)
        if not self._steps:
            self._kill_soon(brain)
        return brain

    def _kill_soon(self, brain: Brain) -> None:
        if self.deaths < 2:
            self.deaths += 1
            self._killers.add(asyncio.ensure_future(self._kill(brain)))

    async def _kill(self, brain: Brain) -> None:
        for _ in range(self._turns):
            await asyncio.sleep(0)
        await brain.kill()


@pytest.mark.parametrize("steps", range(9))
@pytest.mark.parametrize("turns", range(0, 2 * TURNS + 2, 2))
async def test_a_brain_that_dies_at_any_turn_is_replaced_and_nothing_is_done_twice(turns: int, steps: int) -> None:
    """P2, P3: its calls go on without it, and the next brain joins them."""
    world = World()
    lives = Lives(MemoryStore(SystemClock()), world)
    task = await lives.create("clerk", "a long goal " * 1_000)
    lives.store = Slow(lives.store)
    world.injector = Injector()
    kernel = lives.kernel(world.injector)
    kernel.brains = dying = Dying(kernel.brains, turns, steps)
    await kernel.start("here", 1)
    try:
        await wait_until(lives.operator.look_around, 5, "the task to end")
    finally:
        await kernel.stop()
    assert dying.deaths
    ledger = await lives.operator.orders.ledger(task)
    assert ledger.ended is not None
    assert decode(ledger.ended.result.inline) == CLERK
    assert not world.book.doubled()
    assert world.thoughts.total() == 2
