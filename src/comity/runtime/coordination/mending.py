"""Work that must never end: where it breaks, by a fault of ours, that is said, and it begins again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from comity.core.clock import Clock

PAUSE_S = 1.0

log = logging.getLogger("comity.coordination")


async def kept(what: str, work: Callable[[], Awaitable[None]], clock: Clock) -> None:
    """Run `work`, which follows `what`, until this is cancelled."""
    while True:
        task = asyncio.ensure_future(work())
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        error = None if task.cancelled() else task.exception()
        log.error("%s could not be followed, and is again: %r", what, error, exc_info=error)
        await clock.sleep(PAUSE_S)
