"""What the events of a Responses answer add up to: its last event holds all of it. Source: the OpenAI API reference."""

from __future__ import annotations

from typing import Any

import msgspec

from comity.models.body import records, text
from comity.models.failure import broken, short, told
from comity.models.stream import FREE, HELD, TOOL_CALLS_MAX, Finish, Proposal, Step, Thought, proposal, tokens

_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})
_SAYS = frozenset({"response.output_text.delta", "response.refusal.delta"})
_ITEMS = frozenset({"response.output_item.added", "response.output_item.done"})
_CALLS = ("response.function_call", "response.custom_tool_call")
_SEEN_ONLY = frozenset(
    {
        *("message", "reasoning", "web_search_call", "file_search_call", "code_interpreter_call"),
        *("image_generation_call", "mcp_list_tools", "mcp_call"),
    }
)
"""Items on which a program does not act: what the model says, and what its provider does."""


class _Item(msgspec.Struct):
    type: str = ""


class _Event(msgspec.Struct):
    type: str
    delta: Any = None
    output_index: int = 0
    item: msgspec.Raw = msgspec.Raw()
    response: msgspec.Raw = msgspec.Raw()


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_item = msgspec.json.Decoder(_Item).decode


class ResponsesAnswer:
    """A Responses answer so far."""

    def __init__(self) -> None:
        """Start empty."""
        self._items: dict[int, bytes] = {}
        self._response: dict[str, Any] = {}
        self.is_done = False
        """The upstream said that nothing more follows."""

    @property
    def is_whole(self) -> bool:
        """Tell whether the response came that ends the stream."""
        return bool(self._response)

    def add(self, data: str) -> Step:
        """Take an event's data.

        Raises:
            ComityError: `model_broken`: it is no piece of an answer, or reports an error.
        """
        if data.strip() == "[DONE]":
            self.is_done = True
            return HELD
        try:
            event = _decode_event(data)
            if event.type in _SAYS:
                return Step("free", event.delta if isinstance(event.delta, str) else "")
            if event.type in _ITEMS:
                return self._take_item(event)
        except msgspec.DecodeError:
            raise broken("the upstream sent what is no event of a response") from None
        if event.type in _ENDS:
            self._finish(event)
            return HELD
        if event.type == "error":
            raise broken(f"the upstream reported `{_said(data)}`")
        return HELD if event.type.startswith(_CALLS) else FREE

    def whole(self, body: str) -> Step:
        """Take an answer that came in one piece."""
        self._response = _object(body)
        if not isinstance(self._response.get("output"), list):
            raise broken(f"the upstream sent no output, but `{_said(body)}`")
        self.is_done = True
        return Step("held", _text(self._output))

    def thought(self) -> Thought:
        """Return what the answer says."""
        response = self._response
        proposals = _proposals(self._output)
        usage = response.get("usage") or {}
        return Thought(
            _text(self._output),
            _reasoning(self._output),
            proposals,
            text(response, "id"),
            _ending(response, proposals),
            tokens(usage.get("input_tokens"), usage.get("output_tokens")) if isinstance(usage, dict) else None,
        )

    def message(self) -> dict[str, Any]:
        """Return the answer as it comes without streaming."""
        return self._response | {"output": self._output}

    @property
    def _output(self) -> list[dict[str, Any]]:
        """Return the items; where the last event left them out, those that came before."""
        said = records(self._response.get("output"))
        return said or [msgspec.json.decode(item) for _, item in sorted(self._items.items())]

    def _take_item(self, event: _Event) -> Step:
        kind = _decode_item(event.item).type if event.item else ""
        if event.type == "response.output_item.done":
            if len(self._items) >= TOOL_CALLS_MAX:
                raise broken(f"it has more than {TOOL_CALLS_MAX} items")
            self._items[event.output_index] = bytes(event.item)
        return FREE if kind in _SEEN_ONLY else HELD

    def _finish(self, event: _Event) -> None:
        self._response = _object(bytes(event.response).decode())
        self.is_done = True


def _object(data: str) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(data)
    except msgspec.DecodeError:
        raise broken("the upstream sent no JSON") from None
    if not isinstance(value, dict) or not value:
        raise broken("the upstream sent no response")
    return value


def _said(data: str) -> str:
    said, _ = told(data.encode(errors="replace"))
    return said or short(data)


def _text(output: list[dict[str, Any]]) -> str:
    parts = [part for item in output if text(item, "type") == "message" for part in records(item.get("content"))]
    return "".join(text(part, "text") for part in parts if text(part, "type") == "output_text")


def _reasoning(output: list[dict[str, Any]]) -> str:
    found = [item for item in output if text(item, "type") == "reasoning"]
    parts = [part for item in found for part in (*records(item.get("summary")), *records(item.get("content")))]
    return "\n\n".join(filter(None, (text(part, "text") for part in parts)))


def _proposals(output: list[dict[str, Any]]) -> tuple[Proposal, ...]:
    fields = {"function_call": "arguments", "custom_tool_call": "input"}
    return tuple(
        proposal(text(item, "name"), text(item, fields[kind]), text(item, "call_id"))
        for item in output
        if (kind := text(item, "type")) in fields
    )


def _ending(response: dict[str, Any], proposals: tuple[Proposal, ...]) -> Finish:
    status = text(response, "status")
    if status == "incomplete":
        return "length" if text(response.get("incomplete_details"), "reason") == "max_output_tokens" else "error"
    if status in {"failed", "cancelled"}:
        return "error"
    if not response:
        return ""
    return "tool_calls" if proposals else "stop"
