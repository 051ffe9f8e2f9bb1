"""Anthropic's Messages as a wire format. Source: the Anthropic API reference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from comity.models.body import bad, count, flag, records, remembered, spelled, strict, text
from comity.models.format import Options, Told, WireFormat, sentences
from comity.models.messages_answer import MessagesAnswer
from comity.models.stream import event_of

_IN_PROGRAM = ("bash_", "text_editor_", "memory_")
"""How the types of those tools begin that are of the provider's making and run where the program runs."""
_ERRORS = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class MessagesFormat(WireFormat):
    """The format of Anthropic's Messages."""

    name = "messages"
    path = "/messages"
    system_fields = ("system",)

    def error_body(self, status: int, code: str, message: str, hint: str = "") -> bytes:
        """Return an error as Anthropic's API shapes it."""
        return spelled(_error(status, message, hint))

    def error_event(self, status: int, code: str, message: str, hint: str = "") -> bytes:
        """Return the event that ends a stream with an error."""
        return event_of(_error(status, message, hint), "error")

    def _told(self, raw: bytes) -> Told:
        return _told(raw)

    def _options(self, rest: bytes) -> Options:
        return _options(rest)

    def _events(self, value: dict[str, Any], rest: bytes) -> Iterator[bytes]:
        return (event_of(item, item["type"]) for item in _events(value))

    def _gathering(self, rest: bytes) -> MessagesAnswer:
        return MessagesAnswer()


@remembered(2_048, 16_384)
def _told(raw: bytes) -> Told:
    message = strict(raw, "messages[]")
    role = text(message, "role")
    if not role:
        raise bad("messages[]", "an object with a `role`", message)
    blocks = records(message.get("content"))
    calls = [(text(block, "id"), text(block, "name")) for block in blocks if text(block, "type") == "tool_use"]
    results = [(text(block, "tool_use_id"), "") for block in blocks if text(block, "type") == "tool_result"]
    return Told(role, tuple(calls), tuple(results))


@remembered(256, 65_536)
def _options(rest: bytes) -> Options:
    found = strict(rest, "request")
    tools = records(found.get("tools"))
    hosted = [text(tool, "type") for tool in tools if _is_hosted(tool)]
    if found.get("mcp_servers"):
        hosted.append("mcp_servers")
    return Options(
        is_stream=flag(found, "stream"),
        tools=tuple(name for tool in tools if not _is_hosted(tool) and (name := text(tool, "name"))),
        hosted=tuple(hosted),
        output_tokens_max=count(found, "max_tokens"),
    )


def _is_hosted(tool: dict[str, Any]) -> bool:
    kind = text(tool, "type")
    return kind not in {"", "custom"} and not kind.startswith(_IN_PROGRAM)


def _error(status: int, message: str, hint: str) -> dict[str, Any]:
    kind = _ERRORS.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": sentences(message, hint)}}


def _events(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the events that tell of a whole message."""
    ending = {name: message.get(name) for name in ("stop_reason", "stop_sequence")}
    begun = message | {"content": [], "stop_reason": None, "stop_sequence": None}
    yield {"type": "message_start", "message": begun}
    for index, block in enumerate(records(message.get("content"))):
        first, deltas = _taken_apart(block)
        yield {"type": "content_block_start", "index": index, "content_block": first}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    more = {name: message[name] for name in ("container", "stop_details") if name in message}
    yield {"type": "message_delta", "delta": ending | more, "usage": message.get("usage") or {"output_tokens": 0}}
    yield {"type": "message_stop"}


def _taken_apart(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a block as it begins, and the pieces by which it grows."""
    kind = text(block, "type")
    if kind == "text":
        citations = [{"type": "citations_delta", "citation": item} for item in records(block.get("citations"))]
        empty: dict[str, Any] = {"citations": []} if citations else {}
        return block | {"text": ""} | empty, [{"type": "text_delta", "text": text(block, "text")}, *citations]
    if kind == "thinking":
        said = {"type": "thinking_delta", "thinking": text(block, "thinking")}
        return block | {"thinking": "", "signature": ""}, [
            said,
            {"type": "signature_delta", "signature": text(block, "signature")},
        ]
    if "input" in block:
        written = msgspec.json.encode(block["input"]).decode()
        return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": written}]
    return block, []
