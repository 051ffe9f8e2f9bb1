"""What the events of an Anthropic Messages answer add up to. Source: the Anthropic API reference."""

from __future__ import annotations

from typing import Any

import msgspec

from comity.models.body import records, text
from comity.models.failure import broken, short, told
from comity.models.stream import FREE, HELD, TOOL_CALLS_MAX, Finish, Proposal, Step, Thought, mended, proposal, tokens

_FINISH: dict[str, Finish] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "error",
}
_SEEN_ONLY = frozenset({"text", "thinking", "redacted_thinking", "server_tool_use", "mcp_tool_use"})
"""Blocks on which a program does not act, with the results of the provider's own tools (`*_tool_result`)."""
_GROWING = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
_INPUT_TOKENS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    message: dict[str, Any] | None = None
    content_block: dict[str, Any] | None = None
    delta: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None


class _Block(msgspec.Struct):
    """A block that grows."""

    first: dict[str, Any]
    pieces: list[str] = []


_decode_event = msgspec.json.Decoder(_Event).decode


class MessagesAnswer:
    """A Messages answer so far."""

    def __init__(self) -> None:
        """Start empty."""
        self._message: dict[str, Any] = {}
        self._blocks: dict[int, _Block] = {}
        self.is_done = False
        """The upstream said that nothing more follows."""

    @property
    def is_whole(self) -> bool:
        """Tell whether the message was said to be over."""
        return self.is_done

    def add(self, data: str) -> Step:
        """Take an event's data.

        Raises:
            ComityError: `model_broken`: it is no piece of an answer, or reports an error.
        """
        try:
            event = _decode_event(data)
        except msgspec.DecodeError:
            raise broken("the upstream sent what is no event of a message") from None
        if event.type == "content_block_delta":
            return self._grow(event.index, event.delta or {})
        if event.type == "content_block_start":
            return self._begin(event.index, event.content_block or {})
        if event.type == "message_start":
            self._message = event.message or {}
        elif event.type == "message_delta":
            return self._change(event.delta or {}, event.usage or {})
        elif event.type == "message_stop":
            self.is_done = True
            return HELD
        elif event.type == "error":
            raise broken(f"the upstream reported `{_said(data)}`")
        return FREE

    def whole(self, body: str) -> Step:
        """Take an answer that came in one piece."""
        try:
            value = msgspec.json.decode(body)
        except msgspec.DecodeError:
            raise broken("the upstream sent no JSON") from None
        if not isinstance(value, dict) or not isinstance(value.get("content"), list):
            raise broken(f"the upstream sent no content, but `{_said(body)}`")
        self._message = value
        self._blocks = {index: _Block(block) for index, block in enumerate(records(value["content"]))}
        self.is_done = True
        return Step("held", self.thought().text)

    def thought(self) -> Thought:
        """Return what the answer says."""
        blocks = self._content()
        reason = text(self._message, "stop_reason")
        return Thought(
            "".join(text(block, "text") for block in blocks if text(block, "type") == "text"),
            "\n\n".join(text(block, "thinking") for block in blocks if text(block, "type") == "thinking"),
            tuple(_proposal(block) for block in blocks if text(block, "type") == "tool_use"),
            text(self._message, "id"),
            _FINISH.get(reason, "stop" if reason else ""),
            self._tokens(),
        )

    def message(self) -> dict[str, Any]:
        """Return the answer as it comes without streaming."""
        return self._message | {"content": self._content()}

    def _content(self) -> list[dict[str, Any]]:
        return [_grown(block) for _, block in sorted(self._blocks.items())]

    def _tokens(self) -> tuple[int, int] | None:
        usage = self._message.get("usage")
        if not isinstance(usage, dict):
            return None
        counts = [usage.get(name) or 0 for name in _INPUT_TOKENS]
        is_countable = all(type(item) is int for item in counts)
        return tokens(sum(counts), usage.get("output_tokens")) if is_countable else None

    def _begin(self, index: int, block: dict[str, Any]) -> Step:
        if len(self._blocks) >= TOOL_CALLS_MAX:
            raise broken(f"it has more than {TOOL_CALLS_MAX} blocks")
        self._blocks[index] = _Block(block, [])
        kind = text(block, "type")
        return Step("free", text(block, "text")) if kind in _SEEN_ONLY or kind.endswith("_tool_result") else HELD

    def _grow(self, index: int, delta: dict[str, Any]) -> Step:
        block = self._blocks.get(index)
        if block is None:
            raise broken(f"it has a piece of block {index}, which never began")
        kind = text(delta, "type")
        if kind in _GROWING:
            block.pieces.append(text(delta, _GROWING[kind]))
        elif kind == "signature_delta":
            block.first["signature"] = text(delta, "signature")
        elif kind == "citations_delta":
            block.first["citations"] = [*records(block.first.get("citations")), delta.get("citation")]
        return Step("free", text(delta, "text"))

    def _change(self, delta: dict[str, Any], usage: dict[str, Any]) -> Step:
        """Take what the whole message is told in the end; counts are totals."""
        self._message |= delta
        known = self._message.get("usage")
        given = {name: value for name, value in usage.items() if value is not None}
        self._message["usage"] = (known if isinstance(known, dict) else {}) | given
        return HELD if delta.get("stop_reason") else FREE


def _grown(block: _Block) -> dict[str, Any]:
    """Return a block with its pieces in it."""
    said = mended("".join(block.pieces))
    kind = text(block.first, "type")
    if not block.pieces:
        return block.first
    if kind in {"text", "thinking"}:
        return block.first | {kind: text(block.first, kind) + said}
    return block.first | {"input": _input(said)}


def _input(said: str) -> Any:
    try:
        return msgspec.json.decode(said or "{}")
    except msgspec.DecodeError:
        return said


def _proposal(block: dict[str, Any]) -> Proposal:
    given = block.get("input")
    written = given if isinstance(given, str) else msgspec.json.encode(given).decode()
    return proposal(text(block, "name"), written, text(block, "id"))


def _said(data: str) -> str:
    said, _ = told(data.encode(errors="replace"))
    return said or short(data)
