"""OpenAI's Responses as a wire format. Source: the OpenAI API reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from comity.core.errors import UsageError
from comity.journal.entry import Problem
from comity.models.body import bad, count, flag, records, remembered, spelled, strict, text
from comity.models.format import Options, Told, WireFormat
from comity.models.openai_error import error_of
from comity.models.responses_answer import ResponsesAnswer
from comity.models.stream import event_of

_IN_PROGRAM = frozenset({"local_shell", "apply_patch"})
"""Tools of the provider's making that run where the program runs."""


class ResponsesFormat(WireFormat):
    """The format of OpenAI's Responses. An `input` that is text is one item: that JSON string."""

    name = "responses"
    path = "/responses"
    messages_field = "input"
    system_fields = ("instructions",)

    def error_body(self, status: int, code: str, message: str, hint: str = "") -> bytes:
        """Return an error as OpenAI's APIs shape it."""
        return spelled({"error": error_of(status, code, message, hint)})

    def error_event(self, status: int, code: str, message: str, hint: str = "") -> bytes:
        """Return the event that ends a stream with an error."""
        error = error_of(status, code, message, hint)
        value = {"type": "error", "code": code, "message": error["message"], "param": None, "sequence_number": 0}
        return event_of(value | {"error": error}, "error")

    def _listed(self, raw: bytes) -> tuple[bytes, ...]:
        if not _is_text(raw):
            items = super()._listed(raw)
            if any(_is_text(item) for item in items):
                raise bad("input[]", "an object", "text")
            return items
        if not strict(raw, "input"):
            raise UsageError("no_messages", "the request has an empty `input`", hint="say something, or give a list")
        return (raw,)

    def _list(self, messages: Sequence[bytes]) -> bytes:
        return messages[0] if _is_text(messages[0]) else super()._list(messages)

    def _told(self, raw: bytes) -> Told:
        return Told("user") if _is_text(raw) else _told(raw)

    def _options(self, rest: bytes) -> Options:
        return _options(rest)

    def _events(self, value: dict[str, Any], rest: bytes) -> Iterator[bytes]:
        for number, (name, item) in enumerate(_events(value)):
            yield event_of({"type": name, **item, "sequence_number": number}, name)

    def _gathering(self, rest: bytes) -> ResponsesAnswer:
        return ResponsesAnswer()


def _is_text(raw: bytes) -> bool:
    return raw[:1] == b'"'


@remembered(2_048, 16_384)
def _told(raw: bytes) -> Told:
    item = strict(raw, "input[]")
    if not isinstance(item, dict):
        raise bad("input[]", "an object", item)
    kind, call = text(item, "type"), text(item, "call_id")
    name = text(item, "name") or kind.removesuffix("_output").removesuffix("_call")
    if kind.endswith("_call_output") and call:
        is_named = bool(text(item, "name")) or kind not in {"function_call_output", "custom_tool_call_output"}
        return Told(kind, results=((call, name if is_named else ""),))
    calls = ((call, name),) if kind.endswith("_call") and call else ()
    return Told(text(item, "role") or kind or "item_reference", calls)


@remembered(256, 65_536)
def _options(rest: bytes) -> Options:
    found = strict(rest, "request")
    tools = [inner for tool in records(found.get("tools")) for inner in _unfolded(tool)]
    problems = []
    if flag(found, "background"):
        text_, hint = "background mode is not served", "leave out `background`: what was begun goes on without you"
        problems.append(Problem("background_mode", text_, hint))
    if found.get("conversation") is not None:
        text_, hint = "conversations kept by the provider are not served", "send `input`, or `previous_response_id`"
        problems.append(Problem("server_conversation", text_, hint))
    previous = found.get("previous_response_id")
    if previous is not None and not isinstance(previous, str):
        raise bad("previous_response_id", "text", previous)
    return Options(
        is_stream=flag(found, "stream"),
        tools=tuple(text(tool, "name") or text(tool, "type") for tool in tools if not _is_hosted(tool)),
        hosted=tuple(text(tool, "type") for tool in tools if _is_hosted(tool)),
        output_tokens_max=count(found, "max_output_tokens"),
        previous=previous or "",
        problems=tuple(problems),
    )


def _unfolded(tool: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a tool, or the tools of a namespace."""
    return records(tool.get("tools")) if text(tool, "type") == "namespace" else [tool]


def _is_hosted(tool: dict[str, Any]) -> bool:
    kind = text(tool, "type")
    if kind == "shell":
        return text(tool.get("environment"), "type").startswith("container")
    if kind == "tool_search":
        return text(tool, "execution") != "client"
    return kind not in _IN_PROGRAM and kind not in {"function", "custom"}


def _events(response: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the events, by name, that tell of a whole response."""
    begun = response | {"status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    for index, item in enumerate(response["output"]):
        place = {"output_index": index}
        yield "response.output_item.added", place | {"item": _begun(item)}
        yield from _inside(item, {"item_id": item.get("id", ""), **place})
        yield "response.output_item.done", place | {"item": item}
    ending = {"incomplete": "response.incomplete", "failed": "response.failed", "cancelled": "response.failed"}
    yield ending.get(text(response, "status"), "response.completed"), {"response": response}


def _begun(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item as it stands before its pieces come."""
    empty: dict[str, dict[str, Any]] = {
        "message": {"content": []},
        "function_call": {"arguments": ""},
        "custom_tool_call": {"input": ""},
        "reasoning": {"summary": []},
    }
    kind = text(item, "type")
    return item | empty[kind] | ({"status": "in_progress"} if "status" in item else {}) if kind in empty else item


def _inside(item: dict[str, Any], place: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the events between an item's beginning and end."""
    kind = text(item, "type")
    if kind == "function_call":
        given = text(item, "arguments")
        yield "response.function_call_arguments.delta", place | {"delta": given}
        done = place | {"arguments": given, "name": text(item, "name")}
        yield "response.function_call_arguments.done", done
    elif kind == "custom_tool_call":
        yield "response.custom_tool_call_input.delta", place | {"delta": text(item, "input")}
        yield "response.custom_tool_call_input.done", place | {"input": text(item, "input")}
    elif kind == "message":
        for index, part in enumerate(records(item.get("content"))):
            yield from _said(part, place | {"content_index": index})
    elif kind == "reasoning":
        for index, part in enumerate(records(item.get("summary"))):
            here = place | {"summary_index": index}
            yield "response.reasoning_summary_part.added", here | {"part": part | {"text": ""}}
            yield "response.reasoning_summary_text.delta", here | {"delta": text(part, "text")}
            yield "response.reasoning_summary_text.done", here | {"text": text(part, "text")}
            yield "response.reasoning_summary_part.done", here | {"part": part}


def _said(part: dict[str, Any], here: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the events of a part of a message."""
    if text(part, "type") == "refusal":
        name, said, more = "refusal", {"refusal": text(part, "refusal")}, {}
    else:
        name, said, more = "output_text", {"text": text(part, "text")}, {"logprobs": part.get("logprobs") or []}
    words = next(iter(said.values()))
    yield "response.content_part.added", here | {"part": part | dict.fromkeys(said, "") | _bare(part)}
    yield f"response.{name}.delta", here | {"delta": words} | more
    yield f"response.{name}.done", here | said | more
    yield "response.content_part.done", here | {"part": part}


def _bare(part: dict[str, Any]) -> dict[str, Any]:
    return {"annotations": []} if "annotations" in part else {}
