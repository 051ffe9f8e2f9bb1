"""Answers of OpenAI's Responses and Anthropic's Messages, streamed and plain, as the providers send them."""

from __future__ import annotations

import json
from typing import Any


def named(value: dict[str, Any]) -> str:
    """Return one event, named after its type."""
    return f"event: {value['type']}\ndata: {json.dumps(value)}\n\n"


def sequence(values: list[dict[str, Any]]) -> str:
    """Return events with their numbers, as Responses have them."""
    return "".join(named(value | {"sequence_number": number}) for number, value in enumerate(values))


def response(status: str, output: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Return a response object."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": "m",
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        **more,
    }


def item_added(index: int, item: dict[str, Any]) -> dict[str, Any]:
    """Return the event with which an item begins."""
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def item_done(index: int, item: dict[str, Any]) -> dict[str, Any]:
    """Return the event with which an item ends."""
    return {"type": "response.output_item.done", "output_index": index, "item": item}


REASONING = {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Look first."}]}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Grüß Gott", "annotations": [], "logprobs": []}],
}
CALL = {
    "id": "fc_1",
    "type": "function_call",
    "status": "completed",
    "call_id": "call_a",
    "name": "pay",
    "arguments": '{"b": 2, "a":"ü"}',
}
RESPONSES_USAGE = {
    "input_tokens": 50,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 20,
    "output_tokens_details": {"reasoning_tokens": 8},
    "total_tokens": 70,
}
RESPONSE = response("completed", [REASONING, MESSAGE, CALL], usage=RESPONSES_USAGE)
_TEXT_AT = {"item_id": "msg_1", "output_index": 1, "content_index": 0}
_PART = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
_SUMMARY_AT = {"item_id": "rs_1", "output_index": 0, "summary_index": 0}
RESPONSES_SAID = [
    {"type": "response.created", "response": response("in_progress", [], usage=None)},
    {"type": "response.in_progress", "response": response("in_progress", [], usage=None)},
    item_added(0, REASONING | {"summary": []}),
    {"type": "response.reasoning_summary_part.added", **_SUMMARY_AT, "part": {"type": "summary_text", "text": ""}},
    {"type": "response.reasoning_summary_text.delta", **_SUMMARY_AT, "delta": "Look first."},
    {"type": "response.reasoning_summary_text.done", **_SUMMARY_AT, "text": "Look first."},
    {"type": "response.reasoning_summary_part.done", **_SUMMARY_AT, "part": REASONING["summary"][0]},
    item_done(0, REASONING),
    item_added(1, MESSAGE | {"content": [], "status": "in_progress"}),
    {"type": "response.content_part.added", **_TEXT_AT, "part": _PART},
    {"type": "response.output_text.delta", **_TEXT_AT, "delta": "Grüß ", "logprobs": []},
    {"type": "response.output_text.delta", **_TEXT_AT, "delta": "Gott", "logprobs": []},
    {"type": "response.output_text.done", **_TEXT_AT, "text": "Grüß Gott", "logprobs": []},
    {"type": "response.content_part.done", **_TEXT_AT, "part": MESSAGE["content"][0]},
    item_done(1, MESSAGE),
]
_CALL_AT = {"item_id": "fc_1", "output_index": 2}
RESPONSES_ACTS = [
    item_added(2, CALL | {"arguments": "", "status": "in_progress"}),
    {"type": "response.function_call_arguments.delta", **_CALL_AT, "delta": CALL["arguments"]},
    {"type": "response.function_call_arguments.done", **_CALL_AT, "arguments": CALL["arguments"], "name": "pay"},
    item_done(2, CALL),
    {"type": "response.completed", "response": RESPONSE},
]
RESPONSES_STREAM = sequence(RESPONSES_SAID + RESPONSES_ACTS)
RESPONSES_FREE = sequence(RESPONSES_SAID)

THINKING = {"type": "thinking", "thinking": "Look first.", "signature": "c2ln"}
SAYING = {"type": "text", "text": "Grüß Gott"}
USING = {"type": "tool_use", "id": "toolu_1", "name": "pay", "input": {"a": "ü", "b": 2}}
MESSAGES_USAGE = {
    "input_tokens": 40,
    "cache_read_input_tokens": 10,
    "cache_creation_input_tokens": 0,
    "output_tokens": 20,
}
MESSAGES_MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [THINKING, SAYING, USING],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": MESSAGES_USAGE,
}


def block(index: int, first: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events of one block."""
    grown = [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
    begin = {"type": "content_block_start", "index": index, "content_block": first}
    return [begin, *grown, {"type": "content_block_stop", "index": index}]


_BEGUN = MESSAGES_MESSAGE | {"content": [], "stop_reason": None, "usage": MESSAGES_USAGE | {"output_tokens": 1}}
MESSAGES_SAID = [
    {"type": "message_start", "message": _BEGUN},
    *block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "Look "},
        {"type": "thinking_delta", "thinking": "first."},
        {"type": "signature_delta", "signature": "c2ln"},
    ),
    {"type": "ping"},
    *block(
        1, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Grüß "}, {"type": "text_delta", "text": "Gott"}
    ),
]
MESSAGES_ACTS = [
    *block(
        2,
        USING | {"input": {}},
        {"type": "input_json_delta", "partial_json": ""},
        {"type": "input_json_delta", "partial_json": '{"a": "ü",'},
        {"type": "input_json_delta", "partial_json": ' "b": 2}'},
    ),
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 20},
    },
    {"type": "message_stop"},
]
MESSAGES_STREAM = "".join(named(value) for value in MESSAGES_SAID + MESSAGES_ACTS)
MESSAGES_FREE = "".join(named(value) for value in MESSAGES_SAID)
