"""A bell: whoever waits hears it ring, and whoever looks away for a moment sees by its count that it rang."""

from __future__ import annotations

import asyncio

from comity.core.clock import Clock


class Bell:
    """Rings for all who wait; `count` is how often it rang."""

    def __init__(self, clock: Clock) -> None:
        """Be silent."""
        self._clock = clock
        self._waiting: set[asyncio.Future[None]] = set()
        self.count = 0

    def ring(self) -> None:
        """Wake all who wait."""
        self.count += 1
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        self._waiting.clear()

    async def wait(self, heard: int, seconds: float) -> None:
        """Return once the bell has rung more than `heard` times, or after `seconds`."""
        if self.count != heard:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        patience = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait({waiter, patience}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiting.discard(waiter)
            patience.cancel()
