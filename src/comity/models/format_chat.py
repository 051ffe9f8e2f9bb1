"""OpenAI's Chat Completions as a wire format. Source: the OpenAI API reference.

A stream is always asked to report usage. Where the program did not ask for that itself, the one event that says
nothing else reaches neither it nor the record.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from comity.models.body import bad, count, fields, flag, joined, records, remembered, spelled, strict, text
from comity.models.chat_answer import ChatAnswer
from comity.models.format import Options, Told, WireFormat
from comity.models.openai_error import error_of
from comity.models.stream import event_of

_CAPS = ("max_completion_tokens", "max_tokens")


class ChatFormat(WireFormat):
    """The format of OpenAI's Chat Completions."""

    name = "chat"
    path = "/chat/completions"

    def error_body(self, status: int, code: str, message: str, hint: str = "") -> bytes:
        """Return an error as OpenAI's APIs shape it."""
        return spelled({"error": error_of(status, code, message, hint)})

    def error_event(self, status: int, code: str, message: str, hint: str = "") -> bytes:
        """Return the event that ends a stream with an error."""
        return event_of({"error": error_of(status, code, message, hint)})

    def _told(self, raw: bytes) -> Told:
        return _told(raw)

    def _options(self, rest: bytes) -> Options:
        return _options(rest)

    def _events(self, value: dict[str, Any], rest: bytes) -> Iterator[bytes]:
        """Yield each choice whole in one event and its end in another."""
        usage = value.pop("usage", None)
        head = {name: item for name, item in value.items() if name != "choices"} | {"object": "chat.completion.chunk"}
        for choice in value["choices"]:
            for piece in _pieces(choice):
                yield event_of(head | {"choices": [piece]})
        if usage is not None and _wants_usage(rest):
            yield event_of(head | {"choices": [], "usage": usage})
        yield b"data: [DONE]\n\n"

    def _gathering(self, rest: bytes) -> ChatAnswer:
        return ChatAnswer(wants_usage=_wants_usage(rest))

    def _asked(self, rest: bytes) -> bytes:
        """Return `rest`; of a stream, so that usage is reported."""
        if not _options(rest).is_stream:
            return rest
        found = fields(rest, "rest")
        given = found.get("stream_options", b"null")
        asked = {} if given == b"null" else fields(given, "`stream_options`")
        return joined({**found, "stream_options": joined({**asked, "include_usage": b"true"})})


@remembered(2_048, 16_384)
def _told(raw: bytes) -> Told:
    message = strict(raw, "messages[]")
    role = text(message, "role")
    if not role:
        raise bad("messages[]", "an object with a `role`", message)
    if role == "tool":
        return Told(role, results=((text(message, "tool_call_id"), ""),))
    if role == "function":
        return Told(role, results=(("", text(message, "name")),))
    if "tool_calls" not in message:
        return Told(role)
    calls = records(message["tool_calls"])
    return Told(
        role, tuple((text(call, "id"), text(call.get("function") or call.get("custom"), "name")) for call in calls)
    )


@remembered(256, 65_536)
def _options(rest: bytes) -> Options:
    found = strict(rest, "request")
    caps = [cap for name in _CAPS if (cap := count(found, name)) is not None]
    choices = count(found, "n") or 1
    asked = found.get("stream_options")
    if asked is not None and not isinstance(asked, dict):
        raise bad("stream_options", "an object", asked)
    return Options(
        is_stream=flag(found, "stream"),
        tools=tuple(_names(found)),
        hosted=tuple(_hosted(found)),
        output_tokens_max=min(caps) * choices if caps else None,
    )


def _names(found: dict[str, Any]) -> list[str]:
    """Return the names of functions and custom tools, with those of the older field."""
    offered = [text(tool.get(text(tool, "type")), "name") for tool in records(found.get("tools"))]
    return [name for name in (*offered, *(text(item, "name") for item in records(found.get("functions")))) if name]


def _hosted(found: dict[str, Any]) -> list[str]:
    kinds = [text(tool, "type") for tool in records(found.get("tools"))]
    hosted = [kind for kind in kinds if kind not in {"function", "custom"}]
    return hosted if found.get("web_search_options") is None else [*hosted, "web_search"]


def _wants_usage(rest: bytes) -> bool:
    asked = strict(fields(rest, "rest").get("stream_options", b"null"), "stream_options")
    return isinstance(asked, dict) and asked.get("include_usage") is True


def _pieces(choice: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a choice as the pieces of a stream: what it says, and that it ended."""
    delta = dict(choice["message"])
    if calls := delta.get("tool_calls"):
        delta["tool_calls"] = [{"index": index, **call} for index, call in enumerate(calls)]
    head = {"index": choice.get("index", 0), "logprobs": choice.get("logprobs")}
    return [
        head | {"delta": delta, "finish_reason": None},
        head | {"delta": {}, "logprobs": None, "finish_reason": choice.get("finish_reason") or "stop"},
    ]
