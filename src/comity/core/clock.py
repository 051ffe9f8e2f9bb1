"""Time as a port: wall time for records, monotonic time for permits and leases.

Everything below `runtime` asks a `Clock`; only `SystemClock` reads the machine's clocks. Tests step
`testing.FakeClock`.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """The two clocks of a machine, and a way to wait on the second."""

    def wall_us(self) -> int:
        """Return microseconds since 1970-01-01 UTC; may jump."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds on a clock that never goes back, shared by all processes of this machine."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` on the monotonic clock; at once where it is not positive."""
        ...


_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The machine's own clocks."""

    def wall_us(self) -> int:
        """Return microseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1_000

    def monotonic_s(self) -> float:
        """Return seconds of CLOCK_BOOTTIME, which counts while the machine sleeps; elsewhere CLOCK_MONOTONIC."""
        return time.clock_gettime(_CLOCK)

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(max(seconds, 0.0))
