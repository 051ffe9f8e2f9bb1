"""A conversation of the SDK as a Chat Completions body.

The messages are sent byte for byte as they are journaled, in a body whose keys always come in the same order, so that
the provider's prefix cache finds them again.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import msgspec

from comity.core.codec import canonical
from comity.core.errors import UsageError
from comity.journal.ports import ModelRequest
from comity.models.chat_answer import REASONING
from comity.models.envelope import with_envelope
from comity.models.settings import Upstream

_OURS = ("model", "messages", "tools", "stream", "stream_options", "functions", "function_call")
_CAPS = ("max_tokens", "max_completion_tokens")
_WANTS_COMPLETION_TOKENS = ("api.openai.com", ".openai.azure.com")


def request_body(request: ModelRequest, model_id: str, output_tokens_max: int, upstream: Upstream) -> bytes:
    """Return the body that asks `upstream` for a streamed answer of its model `model_id` to `request`.

    The answer is limited to the lesser of what the request says and `output_tokens_max`.

    Raises:
        UsageError: `params` sets what is not an author's to set, or asks for several answers.
    """
    params = dict(request.params)
    for name in _OURS:
        if name in params:
            text = f"`{name}` is no parameter of a model call"
            raise UsageError("bad_params", text, hint="messages, tools and streaming are set by the call itself")
    if params.pop("n", 1) != 1:
        raise UsageError("bad_params", "`n` must be 1: a model call has one answer", hint="make several calls")
    caps = [_cap(name, params.pop(name)) for name in _CAPS if params.get(name) is not None]
    messages = [msgspec.Raw(_without_reasoning(item, upstream)) for item in with_envelope(request)]
    body: dict[str, Any] = {"model": model_id, "messages": messages}
    if request.tools:
        body["tools"] = list(request.tools)
    body |= {name: params[name] for name in sorted(params) if name not in _CAPS}
    body[_cap_name(upstream)] = min([*caps, output_tokens_max])
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    return msgspec.json.encode(body)


def _cap(name: str, value: Any) -> int:
    if type(value) is not int or value < 1:
        raise UsageError("bad_params", f"`{name}` must be a whole number of at least 1, not `{value}`")
    return value


def _cap_name(upstream: Upstream) -> str:
    if upstream.output_limit != "auto":
        return upstream.output_limit
    host = urlsplit(upstream.base_url).hostname or ""
    return "max_completion_tokens" if host.endswith(_WANTS_COMPLETION_TOKENS) else "max_tokens"


def _without_reasoning(message: bytes, upstream: Upstream) -> bytes:
    if upstream.echo_reasoning or b'"reasoning' not in message:
        return message
    value = msgspec.json.decode(message)
    if not isinstance(value, dict) or value.get("role") != "assistant":
        return message
    return canonical({name: item for name, item in value.items() if name not in REASONING}, "message")
