"""Timers with a grain of a second: one sleeper, however many wait."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from comity.core.clock import Clock

TICK_S = 1.0


class Timer:
    """A moment on a `Wheel`; whoever waits for it is rung once, unless it was cancelled before."""

    __slots__ = ("_ring", "_slot")

    def __init__(self, slot: dict[Timer, None], ring: Callable[[], None]) -> None:
        """Stand in `slot`."""
        self._slot = slot
        self._ring = ring
        slot[self] = None

    def cancel(self) -> None:
        """Ring nobody."""
        self._slot.pop(self, None)

    def fire(self) -> None:
        """Ring, unless cancelled meanwhile."""
        if self in self._slot:
            self.cancel()
            self._ring()


class Wheel:
    """Rings callbacks after so many seconds, rounded up to whole ticks. Turns only while somebody waits."""

    def __init__(self, clock: Clock) -> None:
        """Stand still."""
        self._clock = clock
        self._slots: dict[int, dict[Timer, None]] = {}
        self._turning: asyncio.Task[None] | None = None

    def after(self, seconds: float, ring: Callable[[], None]) -> Timer:
        """Call `ring` in `seconds`, at most a tick later."""
        number = math.ceil(self._clock.monotonic_s() / TICK_S + seconds / TICK_S)
        timer = Timer(self._slots.setdefault(number, {}), ring)
        if self._turning is None or self._turning.done():
            self._turning = asyncio.ensure_future(self._turn())
        return timer

    async def close(self) -> None:
        """Ring nobody any more."""
        self._slots.clear()
        if self._turning is not None:
            self._turning.cancel()
            await asyncio.gather(self._turning, return_exceptions=True)
            self._turning = None

    async def _turn(self) -> None:
        while self._slots:
            now = self._clock.monotonic_s() / TICK_S
            for number in sorted(number for number, slot in self._slots.items() if number <= now or not slot):
                for timer in tuple(self._slots.pop(number)):
                    timer.fire()
            if self._slots:
                await self._clock.sleep((math.floor(now) + 1 - now) * TICK_S)
