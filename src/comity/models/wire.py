"""OpenAI's Chat Completions on the wire: a request becomes a body, a stream of events becomes one answer. Pure.

The messages of a request are sent byte for byte as they are journaled, in a body whose keys always come in the same
order, so that the provider's prefix cache finds them again. Source: the OpenAI API reference, and what compatible
servers do otherwise.
"""

from __future__ import annotations

import json
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from comity.core.codec import canonical
from comity.core.errors import UsageError
from comity.journal.ports import ModelLimits, ModelRequest
from comity.journal.protocol import Delta
from comity.models.failure import broken, told
from comity.models.settings import ModelEntry, Upstream

ANSWER_CHARS_MAX = 64 * 1024 * 1024
TOOL_CALLS_MAX = 1_000
_OURS = ("model", "messages", "tools", "stream", "stream_options", "functions", "function_call")
_CAPS = ("max_tokens", "max_completion_tokens")
_REASONING = ("reasoning_content", "reasoning")
_WANTS_COMPLETION_TOKENS = ("api.openai.com", ".openai.azure.com")

Finish = Literal["", "stop", "length", "tool_calls", "error"]
_FINISH: dict[str, Finish] = {
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "error",
    "error": "error",
}


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: Any = None


class _ToolCall(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Part(msgspec.Struct):
    content: str | list[dict[str, Any]] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Part | None = None
    message: _Part | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Chunk(msgspec.Struct):
    id: str | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


class _Slot(msgspec.Struct):
    """A tool call that grows."""

    id: str = ""
    name: str = ""
    arguments: list[str] = []


_decode_chunk = msgspec.json.Decoder(_Chunk).decode


def request_body(request: ModelRequest, entry: ModelEntry, upstream: Upstream) -> bytes:
    """Return the body that asks `upstream` for a streamed answer to `request`.

    The answer is limited to the lesser of what the request and the configuration say.

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
    messages = [msgspec.Raw(_without_reasoning(item, upstream)) for item in request.messages]
    body: dict[str, Any] = {"model": entry.model, "messages": messages}
    if request.tools:
        body["tools"] = list(request.tools)
    body |= {name: params[name] for name in sorted(params) if name not in _CAPS}
    body[_cap_name(upstream)] = min([*caps, entry.output_tokens_max])
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    return msgspec.json.encode(body)


def scripted_request(request: ModelRequest) -> bytes:
    """Return the canonical JSON that a scripted model gets: messages, model, params and tools."""
    messages = [msgspec.json.decode(item) for item in request.messages]
    value = {"messages": messages, "model": request.model, "params": request.params, "tools": list(request.tools)}
    return canonical(value, "request")


class Assembly:
    """The one answer that a stream of events adds up to."""

    def __init__(self, limits: ModelLimits) -> None:
        """Start empty; `limits` hold the prices."""
        self._limits = limits
        self._texts: dict[str, list[str]] = {}
        self._slots: list[_Slot] = []
        self._by_index: dict[int, _Slot] = {}
        self._id = ""
        self._finish = ""
        self._usage: _Usage | None = None
        self._carry = ""
        self._size = 0
        self.is_done = False
        """The upstream said that nothing more follows."""

    @property
    def is_whole(self) -> bool:
        """Tell whether the answer has ended, so that nothing of it is missing if the stream ends here."""
        return bool(self._finish)

    def add(self, data: str) -> str:
        """Take an event's data, or a whole answer that came without streaming; return the text that it adds.

        Raises:
            ComityError: `model_broken`: it is no piece of an answer, reports an error, or the answer is too large.
        """
        self._size += len(data)
        if self._size > ANSWER_CHARS_MAX:
            raise broken(f"it is larger than {ANSWER_CHARS_MAX} characters")
        if data.strip() == "[DONE]":
            self.is_done = True
            return ""
        chunk = _chunk(data)
        if chunk.error:
            said, _ = told(data.encode(errors="replace"))
            raise broken(f"the upstream reported `{said or 'an error'}`")
        self._id = self._id or chunk.id or ""
        self._usage = chunk.usage or self._usage
        text = ""
        for choice in chunk.choices or ():
            if choice.index == 0:
                text += self._take(choice.delta or choice.message or _Part())
                self._finish = choice.finish_reason or self._finish
        return text

    def last(self) -> Delta:
        """Return the last delta: the whole message, why it ended, and its cost where usage was reported."""
        message: dict[str, Any] = {"role": "assistant", "content": self._text("content") or None}
        for name in ("refusal", *_REASONING):
            if text := self._text(name):
                message[name] = text
        if self._slots:
            message["tool_calls"] = [self._call(number, slot) for number, slot in enumerate(self._slots)]
        elif message["content"] is None:
            message["content"] = ""
        finish = _FINISH.get(self._finish, "stop")
        if finish == "stop" and self._slots:
            finish = "tool_calls"
        usage = self._usage
        cost = None
        if usage and _is_count(usage.prompt_tokens) and _is_count(usage.completion_tokens):
            cost = self._limits.cost(usage.prompt_tokens or 0, usage.completion_tokens or 0)
        return Delta("", canonical(message, "message"), cost, finish)

    def _take(self, part: _Part) -> str:
        for name in ("refusal", *_REASONING):
            if text := getattr(part, name):
                self._texts.setdefault(name, []).append(text)
        for call in part.tool_calls or ():
            self._grow(call)
        content = part.content
        if isinstance(content, list):
            content = "".join(
                str(piece["text"]) for piece in content if piece.get("type") == "text" and "text" in piece
            )
        if not content:
            return ""
        text = self._carry + content
        self._carry = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""
        text = _mended(text[:-1] if self._carry else text)
        self._texts.setdefault("content", []).append(text)
        return text

    def _grow(self, piece: _ToolCall) -> None:
        """Add to the tool call that `piece` continues: by its index, unless another id says that a new one begins."""
        newest = self._slots[-1] if self._slots else None
        slot = newest if piece.index is None else self._by_index.get(piece.index)
        if slot is None or (piece.id and slot.id and piece.id != slot.id):
            if len(self._slots) >= TOOL_CALLS_MAX:
                raise broken(f"it has more than {TOOL_CALLS_MAX} tool calls")
            slot = _Slot(arguments=[])
            self._slots.append(slot)
            if piece.index is not None:
                self._by_index[piece.index] = slot
        slot.id = slot.id or piece.id or ""
        if piece.function is not None:
            slot.name = slot.name or piece.function.name or ""
            given = piece.function.arguments
            if given is not None:
                slot.arguments.append(given if isinstance(given, str) else canonical(given).decode())

    def _call(self, number: int, slot: _Slot) -> dict[str, Any]:
        arguments = _mended("".join(slot.arguments)) or "{}"
        made_up = "_".join(filter(None, ("call", self._id, str(number))))
        return {"id": slot.id or made_up, "type": "function", "function": {"name": slot.name, "arguments": arguments}}

    def _text(self, name: str) -> str:
        carry = self._carry if name == "content" else ""
        return _mended("".join(self._texts.get(name, ())) + carry)


def _chunk(data: str) -> _Chunk:
    try:
        return _decode_chunk(data)
    except msgspec.DecodeError:
        pass  # half a surrogate pair is valid in JSON text; the standard library's parser keeps it
    try:
        return msgspec.convert(json.loads(data), _Chunk)
    except (ValueError, RecursionError):
        raise broken("the upstream sent what is no piece of an answer") from None


def _mended(text: str) -> str:
    """Return `text` with surrogate pairs joined that were sent in two pieces, and lone halves replaced."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _is_count(value: int | None) -> bool:
    return value is not None and value >= 0


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
    return canonical({name: item for name, item in value.items() if name not in _REASONING}, "message")
