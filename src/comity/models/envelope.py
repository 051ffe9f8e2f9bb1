"""Puts the envelope behind the messages of a request, in the format that it has."""

from __future__ import annotations

import msgspec

from comity.core.codec import canonical, decode
from comity.journal.ports import ModelRequest

_ROLES = {"": "system", "chat": "system", "responses": "developer", "messages": "user"}


def with_envelope(request: ModelRequest) -> tuple[bytes, ...]:
    """Return a request's messages, the envelope last.

    In Anthropic's format it stands before words for the model to go on from (a prefill): nothing may follow those.
    """
    messages = request.messages
    if not request.envelope or not messages:
        return messages
    if request.wire == "responses" and messages[0].lstrip()[:1] == b'"':
        messages = (canonical({"role": "user", "content": decode(messages[0])}),)  # the whole input was a text
    envelope = canonical({"role": _ROLES[request.wire], "content": request.envelope})
    if request.wire == "messages" and _role(messages[-1]) == "assistant":
        return (*messages[:-1], envelope, messages[-1])
    return (*messages, envelope)


def _role(message: bytes) -> str:
    found = msgspec.json.decode(message)
    return str(found.get("role", "")) if isinstance(found, dict) else ""
