"""Scripted models run where tools run: their file's code is the user's, so the node never imports it."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from comity.core.codec import decode
from comity.hands.boundary import Bound, perform_sync
from comity.journal.call import Attempt
from comity.journal.performing import Performing
from comity.journal.program import Loaded
from comity.journal.protocol import Complete


def complete(loaded: Loaded, order: Complete, performing: Performing) -> Attempt:
    """Return the message with which the file's scripted model answers; its text is told first, as a stream would."""
    model = loaded.models.get(order.name)
    if model is None:
        return Attempt("failed", error=f"no scripted model `{order.name}` in this agent's file")

    def answer() -> Any:
        request = decode(order.request)
        message = model.answer(request["messages"], request.get("tools", []))
        if inspect.isawaitable(message):
            message = asyncio.run(_awaited(message))
        text = message.get("content") if isinstance(message, dict) else None
        if isinstance(text, str) and text:
            performing.tell(text, None)
        return message

    return perform_sync(Bound(answer, {}, acts=False), performing)


async def _awaited(value: Any) -> Any:
    return await value
