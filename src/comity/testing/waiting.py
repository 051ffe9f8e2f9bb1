"""Wait for a condition, with a deadline: the only way in which a test of real processes lets time pass."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

from comity.core.clock import SystemClock

T = TypeVar("T")

POLL_S_MIN = 0.001
POLL_S_MAX = 0.02


async def wait_until(condition: Callable[[], T | Awaitable[T]], deadline_s: float = 10.0, what: str = "") -> T:
    """Return what `condition` gives once that is true.

    Args:
        condition: Asked again and again, less often as time passes; may be a coroutine function.
        deadline_s: Seconds after which the wait is given up.
        what: What is waited for, told when it does not come.

    Raises:
        AssertionError: The condition did not hold in time.
    """
    clock = SystemClock()
    end_s = clock.monotonic_s() + deadline_s
    pause_s = POLL_S_MIN
    while True:
        found = condition()
        value: T = await found if inspect.isawaitable(found) else found
        if value:
            return value
        if clock.monotonic_s() >= end_s:
            raise AssertionError(f"waited {deadline_s} s in vain for {what or condition}")
        await clock.sleep(pause_s)
        pause_s = min(pause_s * 1.5, POLL_S_MAX)
