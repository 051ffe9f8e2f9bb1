"""What the events of a Chat Completions answer add up to.

Source: the OpenAI API reference, and what compatible servers do otherwise.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from comity.core.codec import canonical
from comity.models.failure import broken, told
from comity.models.stream import (
    DROPPED,
    FREE,
    HELD,
    TOOL_CALLS_MAX,
    Finish,
    Proposal,
    Step,
    Thought,
    mended,
    proposal,
    tokens,
)

REASONING = ("reasoning_content", "reasoning")
"""How servers call what a model thought aloud."""
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
    input: str | None = None


class _ToolCall(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: _Function | None = None
    custom: _Function | None = None


class _Part(msgspec.Struct):
    content: str | list[dict[str, Any]] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Part | None = None
    message: _Part | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    id: str | None = None
    created: Any = None
    model: Any = None
    service_tier: Any = None
    system_fingerprint: Any = None
    choices: list[_Choice] | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


class _Slot(msgspec.Struct):
    """A tool call that grows."""

    id: str = ""
    name: str = ""
    arguments: list[str] = []
    is_custom: bool = False


_NO_PART = _Part()
_HEAD = ("id", "created", "model", "service_tier", "system_fingerprint")
_decode_chunk = msgspec.json.Decoder(_Chunk).decode


class ChatAnswer:
    """A Chat Completions answer so far. The event that only reports usage is dropped where nobody asked for it."""

    def __init__(self, *, wants_usage: bool = True) -> None:
        """Start empty."""
        self._wants_usage = wants_usage
        self._said: dict[int, _Said] = {}
        self._head: dict[str, Any] = {}
        self._usage: dict[str, Any] | None = None
        self.is_done = False
        """The upstream said that nothing more follows."""

    @property
    def is_whole(self) -> bool:
        """Tell whether every choice that began has ended."""
        return bool(self._said) and all(said.finish for said in self._said.values())

    def add(self, data: str) -> Step:
        """Take an event's data.

        Raises:
            ComityError: `model_broken`: it is no piece of an answer, or reports an error.
        """
        if data.strip() == "[DONE]":
            self.is_done = True
            return HELD
        chunk = _chunk(data)
        self._learn(chunk, data)
        if not chunk.choices:
            return DROPPED if chunk.usage is not None and not self._wants_usage else FREE
        is_free, text = True, ""
        for choice in chunk.choices:
            part = choice.delta or choice.message or _NO_PART
            added = self._of(choice.index).take(part)
            if choice.index == 0:
                text += added
            if choice.finish_reason:
                self._of(choice.index).finish = choice.finish_reason
            if choice.finish_reason or part.tool_calls or part.function_call:
                is_free = False
        return Step("free" if is_free else "held", text)

    def whole(self, body: str) -> Step:
        """Take an answer that came in one piece."""
        chunk = _chunk(body)
        self._learn(chunk, body)
        if not chunk.choices:
            raise broken("the upstream sent no choices")
        for choice in chunk.choices:
            said = self._of(choice.index)
            said.take(choice.message or _NO_PART)
            said.finish = choice.finish_reason or "stop"
        self.is_done = True
        return Step("held", self.said(0).text)

    def thought(self) -> Thought:
        """Return what the answer says: text of its first choice, tool calls of all."""
        usage = self._usage or {}
        first = self.said(0)
        return Thought(
            first.text,
            next(filter(None, (first.of(name) for name in REASONING)), ""),
            tuple(item for said in self._said.values() for item in said.proposals(self._id)),
            self._id,
            first.ending,
            tokens(usage.get("prompt_tokens"), usage.get("completion_tokens")),
        )

    def message(self) -> dict[str, Any]:
        """Return the answer as it comes without streaming."""
        choices = [
            {"index": index, "message": said.message(self._id), "logprobs": None, "finish_reason": said.finish or None}
            for index, said in sorted(self._said.items())
        ]
        head = {"id": self._id, "object": "chat.completion", "created": 0, "model": ""} | self._head
        return head | {"choices": choices} | ({"usage": self._usage} if self._usage else {})

    def first_message(self) -> dict[str, Any]:
        """Return the first choice's message in the shape that the SDK's conversations have."""
        message = self.said(0).message(self._id)
        if message["content"] is None and "tool_calls" not in message:
            message["content"] = ""
        return message

    def said(self, index: int) -> _Said:
        """Return what a choice says so far."""
        return self._said.get(index) or _Said()

    @property
    def _id(self) -> str:
        return str(self._head.get("id", ""))

    def _of(self, index: int) -> _Said:
        found = self._said.get(index)
        if found is None:
            found = self._said[index] = _Said()
        return found

    def _learn(self, chunk: _Chunk, data: str) -> None:
        """Remember what belongs to the answer as a whole."""
        if chunk.error:
            said, _ = told(data.encode(errors="replace"))
            raise broken(f"the upstream reported `{said or 'an error'}`")
        if chunk.usage is not None:
            self._usage = chunk.usage
        if not self._head.get("id"):
            given = {name: getattr(chunk, name) for name in _HEAD}
            self._head |= {name: value for name, value in given.items() if value is not None}


class _Said:
    """What one choice says so far."""

    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {}
        self._slots: list[_Slot] = []
        self._by_index: dict[int, _Slot] = {}
        self._function: _Slot | None = None
        self._carry = ""
        self.finish = ""

    @property
    def text(self) -> str:
        return self.of("content")

    @property
    def ending(self) -> Finish:
        """Say why the choice ended, in our words."""
        finish = _FINISH.get(self.finish, "stop") if self.finish else ""
        return "tool_calls" if finish == "stop" and self._slots else finish

    def of(self, name: str) -> str:
        carry = self._carry if name == "content" else ""
        return mended("".join(self._texts.get(name, ())) + carry)

    def take(self, part: _Part) -> str:
        """Add a piece; return the text in it."""
        for name in ("refusal", *REASONING):
            if text := getattr(part, name):
                self._texts.setdefault(name, []).append(text)
        if part.function_call is not None:
            self._function = self._function or _Slot(arguments=[])
            _grow(self._function, part.function_call)
        for call in part.tool_calls or ():
            self._take_call(call)
        content = part.content
        if isinstance(content, list):
            content = "".join(
                str(piece["text"]) for piece in content if piece.get("type") == "text" and "text" in piece
            )
        return self._take_text(content) if content else ""

    def _take_text(self, content: str) -> str:
        text = self._carry + content
        self._carry = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""
        text = mended(text[:-1] if self._carry else text)
        self._texts.setdefault("content", []).append(text)
        return text

    def _take_call(self, piece: _ToolCall) -> None:
        """Add to the tool call that `piece` continues: by its index, unless another id says that a new one begins."""
        newest = self._slots[-1] if self._slots else None
        slot = newest if piece.index is None else self._by_index.get(piece.index)
        if slot is None or (piece.id and slot.id and piece.id != slot.id):
            if len(self._slots) >= TOOL_CALLS_MAX:
                raise broken(f"it has more than {TOOL_CALLS_MAX} tool calls")
            slot = _Slot(arguments=[], is_custom=piece.type == "custom")
            self._slots.append(slot)
            if piece.index is not None:
                self._by_index[piece.index] = slot
        slot.id = slot.id or piece.id or ""
        if piece.function is not None or piece.custom is not None:
            _grow(slot, piece.function or piece.custom or _Function())

    def proposals(self, id: str) -> list[Proposal]:
        """Return the calls that this choice proposes."""
        made = [
            proposal(slot.name, _arguments(slot), _call_id(slot, number, id)) for number, slot in enumerate(self._slots)
        ]
        return [*made, proposal(self._function.name, _arguments(self._function), "")] if self._function else made

    def message(self, id: str) -> dict[str, Any]:
        """Return the choice's message."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text or None}
        for name in ("refusal", *REASONING):
            if text := self.of(name):
                message[name] = text
        if self._slots:
            message["tool_calls"] = [
                {"id": _call_id(slot, number, id), **_body(slot)} for number, slot in enumerate(self._slots)
            ]
        if self._function:
            message["function_call"] = {"name": self._function.name, "arguments": _arguments(self._function)}
        return message


def _grow(slot: _Slot, piece: _Function) -> None:
    slot.name = slot.name or piece.name or ""
    given = piece.arguments if piece.input is None else piece.input
    if given is not None:
        slot.arguments.append(given if isinstance(given, str) else canonical(given).decode())


def _body(slot: _Slot) -> dict[str, Any]:
    if slot.is_custom:
        return {"type": "custom", "custom": {"name": slot.name, "input": mended("".join(slot.arguments))}}
    return {"type": "function", "function": {"name": slot.name, "arguments": _arguments(slot)}}


def _arguments(slot: _Slot) -> str:
    return mended("".join(slot.arguments)) or "{}"


def _call_id(slot: _Slot, number: int, id: str) -> str:
    return slot.id or "_".join(filter(None, ("call", id, str(number))))


def _chunk(data: str) -> _Chunk:
    try:
        return _decode_chunk(data)
    except msgspec.DecodeError:
        pass  # half a surrogate pair is valid in JSON text; the standard library's parser keeps it
    try:
        return msgspec.convert(json.loads(data), _Chunk)
    except (ValueError, RecursionError):
        raise broken("the upstream sent what is no piece of an answer") from None
