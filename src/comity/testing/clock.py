"""Time and chance that a test steps: nothing moves until it is told to.

A sleeper on a `FakeClock` wakes when `advance` reaches its moment, in the order of the moments and, at the same
moment, of lying down. Between two of them the event loop runs, so that what one does is seen by the next.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
from itertools import count

import msgspec

TURNS = 50
"""How often the event loop turns for each wake-up: how many steps of other tasks may follow from it."""


class ClockStatistics(msgspec.Struct, frozen=True):
    """How a `FakeClock` stands: who sleeps, until when (monotonic seconds), and how many have slept so far."""

    sleepers: int
    next_s: float | None
    slept: int


class FakeClock:
    """A `Clock` that a test moves. Wall and monotonic time start apart, so that one taken for the other is noticed."""

    def __init__(self, wall_us: int = 1_700_000_000_000_000, monotonic_s: float = 1_000.0) -> None:
        """Start at `wall_us` and `monotonic_s`."""
        self._wall_us = wall_us
        self._now_us = round(monotonic_s * 1_000_000)
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._slept = 0
        self._watchers: list[tuple[int, asyncio.Future[None]]] = []

    def wall_us(self) -> int:
        """Return microseconds since 1970-01-01 UTC, as the test set them."""
        return self._wall_us

    def monotonic_s(self) -> float:
        """Return monotonic seconds, as the test advanced them."""
        return self._now_us / 1_000_000

    async def sleep(self, seconds: float) -> None:
        """Return once `advance` has gone `seconds` further; at once where it is not positive."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        until_us = self._now_us + max(round(seconds * 1_000_000), 1)
        heapq.heappush(self._sleepers, (until_us, next(self._numbers), future))
        self._slept += 1
        self._tell_watchers()
        await future

    async def advance(self, seconds: float) -> None:
        """Go `seconds` further: wake who is due, in order, and let the event loop run after each and at the end."""
        assert seconds >= 0, "time does not go back; `set_wall_us` makes the wall clock jump"
        end_us = self._now_us + round(seconds * 1_000_000)
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= end_us:
            until_us, _, future = heapq.heappop(self._sleepers)
            if future.done():
                continue
            self._move_to(until_us)
            future.set_result(None)
            await self.settle()
        self._move_to(end_us)
        await self.settle()

    def advance_nowait(self, seconds: float) -> None:
        """Go `seconds` further without waking anybody: sleepers that are due wake at the next `advance`."""
        assert seconds >= 0, "time does not go back; `set_wall_us` makes the wall clock jump"
        self._move_to(self._now_us + round(seconds * 1_000_000))

    def set_wall_us(self, wall_us: int) -> None:
        """Let the wall clock jump, forwards or back; monotonic time and sleepers do not notice."""
        self._wall_us = wall_us

    async def settle(self) -> None:
        """Let the event loop run until what is ready has run, without moving time."""
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def wait_for_sleepers(self, number: int = 1) -> None:
        """Return once at least `number` sleep: the way to wait for code that another thread or a socket drives."""
        if self.statistics().sleepers < number:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._watchers.append((number, future))
            await future

    def statistics(self) -> ClockStatistics:
        """Return who sleeps now; a cancelled sleeper does not count."""
        waiting = [until_us for until_us, _, future in self._sleepers if not future.done()]
        return ClockStatistics(len(waiting), min(waiting) / 1_000_000 if waiting else None, self._slept)

    def _move_to(self, now_us: int) -> None:
        step_us = max(now_us - self._now_us, 0)
        self._now_us += step_us
        self._wall_us += step_us

    def _tell_watchers(self) -> None:
        sleepers = self.statistics().sleepers
        for number, future in self._watchers:
            if number <= sleepers and not future.done():
                future.set_result(None)
        self._watchers = [item for item in self._watchers if not item[1].done()]


class FakeEntropy:
    """An `Entropy` that gives the same bytes for the same seed."""

    def __init__(self, seed: int = 0) -> None:
        """Start the sequence of `seed`."""
        self._seed = str(seed).encode()
        self._taken = 0

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes of the sequence; no two takes overlap."""
        self._taken += 1
        name = b"%s/%d" % (self._seed, self._taken)
        return hashlib.shake_256(name).digest(size)
