"""Whether the process lives, and whether it may be sent work."""

from __future__ import annotations

import asyncio

import msgspec

from comity.core.errors import LeaseError, StoreError
from comity.server.asking import Ask

STORE_ANSWERS_S = 2.0


class HealthDocument(msgspec.Struct, frozen=True):
    """The process lives."""

    status: str = "ok"


async def alive(_ask: Ask) -> HealthDocument:
    """Answer: that is the proof."""
    return HealthDocument()


async def ready(ask: Ask) -> HealthDocument:
    """Tell whether the store answers, the lease is held, and the node does not drain."""
    if ask.serving.is_draining.is_set():
        raise LeaseError("draining", "the node drains", retry="redo", hint="ask another node")
    try:
        await asyncio.wait_for(ask.serving.node.store.now_us(), STORE_ANSWERS_S)
    except TimeoutError:
        text = f"the store did not answer within {STORE_ANSWERS_S:g} s"
        raise StoreError("store_silent", text, hint="`comity doctor` looks at it") from None
    if not ask.serving.node.kernel.lease.may_start():
        text = "the node holds no lease that lets it start calls"
        raise LeaseError("no_lease", text, retry="redo", hint="it begins again by itself once the store answers")
    return HealthDocument()
