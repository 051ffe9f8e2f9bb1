"""Event streams as servers send them, and what they amount to."""

from __future__ import annotations

import json
from typing import Any


def event(value: Any) -> str:
    """Return one event with `value` as its JSON."""
    return f"data: {json.dumps(value)}\n\n"


def piece(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a chunk of an answer."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **more}


def usage(tokens_in: int, tokens_out: int) -> dict[str, Any]:
    """Return the last chunk, which reports usage."""
    counts = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}
    return {"id": "chatcmpl-1", "choices": [], "usage": counts}


def call(index: int | None, id: str | None = None, name: str | None = None, arguments: Any = None) -> dict[str, Any]:
    """Return a piece of a tool call."""
    function = {"name": name} if name else {}
    value: dict[str, Any] = {"function": function | ({} if arguments is None else {"arguments": arguments})}
    if index is not None:
        value["index"] = index
    if id:
        value |= {"id": id, "type": "function"}
    return value


DONE = "data: [DONE]\n\n"
TEXT = "".join(
    [
        event(piece({"role": "assistant", "content": "", "refusal": None}, usage=None)),
        event(piece({"content": "Grüß "}, usage=None)),
        ": keep-alive\n\n",
        event(piece({"content": "Gott"}, usage=None)),
        event(piece({"content": " 🦜\n"}, usage=None)),
        event(piece({}, "stop", usage=None)),
        event(usage(11, 5)),
        DONE,
    ]
)
TEXT_SAID = "Grüß Gott 🦜\n"

TOOLS = "".join(
    [
        event(piece({"role": "assistant", "content": None, "tool_calls": [call(0, "call_a", "pay", "")]})),
        event(piece({"tool_calls": [call(0, arguments='{"amount"')]})),
        event(piece({"tool_calls": [call(0, arguments=": 12}")]})),
        event(piece({"tool_calls": [call(1, "call_b", "look", '{"id"')]})),
        event(piece({"tool_calls": [call(1, arguments=':"ü"}')]})),
        event(piece({}, "tool_calls")),
        event(usage(50, 20)),
        DONE,
    ]
)
TOOLS_CALLED = [
    {"id": "call_a", "type": "function", "function": {"name": "pay", "arguments": '{"amount": 12}'}},
    {"id": "call_b", "type": "function", "function": {"name": "look", "arguments": '{"id":"ü"}'}},
]
