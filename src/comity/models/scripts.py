"""Scripted models: code of a user's file. `runtime` runs it in a hand process and gives the router the way there."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import msgspec

from comity.core.clock import Clock
from comity.core.codec import canonical
from comity.core.errors import LeaseError, UsageError
from comity.journal.call import Permit
from comity.journal.ports import ModelLimits, ModelRequest
from comity.journal.protocol import Delta
from comity.models import failure
from comity.models.envelope import with_envelope

Scripted = Callable[[str, str, bytes], AsyncIterator[Delta]]
"""Lets the scripted model NAME of FILE answer a request (canonical JSON: messages, model, params, tools)."""

SCRIPTED = "scripted:"
CHARACTERS_PER_TOKEN = 4


class Scripts:
    """The way to scripts; None where no script can run."""

    def __init__(self, scripted: Scripted | None, clock: Clock) -> None:
        """Go that way."""
        self._scripted = scripted
        self._clock = clock

    async def play(
        self, permit: Permit, request: ModelRequest, script: str, limits: ModelLimits
    ) -> AsyncGenerator[Delta]:
        """Yield a script's answer, with its tokens counted where the script does not say."""
        if self._scripted is None:
            text = f"model `{request.model}` is a script, and scripts cannot run here"
            raise UsageError("no_scripts", text, hint="run the task on a node that has hands")
        if self._clock.monotonic_s() >= permit.expires_s:
            raise LeaseError("permit_expired", "the permit ran out before the model was asked", retry="redo")
        file, _, name = script.rpartition(":")
        async for delta in self._scripted(file, name, scripted_request(request)):
            if not delta.message:
                yield delta
                continue
            cost = delta.cost or limits.cost(tokens_of(*request.messages), tokens_of(delta.message))
            yield msgspec.structs.replace(delta, cost=cost)
            return
        raise failure.broken(f"script `{name}` ended without a message")


def scripted_request(request: ModelRequest) -> bytes:
    """Return the canonical JSON that a scripted model gets: messages, model, params and tools."""
    messages = [msgspec.json.decode(item) for item in with_envelope(request)]
    value = {"messages": messages, "model": request.model, "params": request.params, "tools": list(request.tools)}
    return canonical(value, "request")


def tokens_of(*messages: bytes) -> int:
    """Return how many tokens a script counts for messages: a quarter of the characters of their text, rounded up.

    Their text is content, and names and arguments of tool calls.
    """
    characters = sum(_characters(msgspec.json.decode(message)) for message in messages)
    return -(-characters // CHARACTERS_PER_TOKEN)


def _characters(message: Any) -> int:
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(message, dict):
        return 0
    pieces = content if isinstance(content, list) else [{"text": content}]
    texts = [piece.get("text") for piece in pieces if isinstance(piece, dict)]
    for call in message.get("tool_calls") or ():
        texts += [call["function"]["name"], call["function"]["arguments"]]
    return sum(len(text) for text in texts if isinstance(text, str))
