"""A stand-in for a model provider: `python model.py PORT` speaks Chat Completions, Responses and Messages.

It knows one job, looks at a room and books it, and needs no key. A line in `thoughts.txt` says what it was paid for.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Json = dict[str, Any]
WISHES: tuple[Json, ...] = ({"city": "Lisbon"}, {"city": "Lisbon", "nights": 2})
TOOLS = ("look", "book")
THOUGHTS = Path("thoughts.txt")
NUMBERS = itertools.count(1)


class Thought:
    """What the model says to a conversation with so many tool results: words, and the tool that it wants used."""

    def __init__(self, results: int, offered: list[str]) -> None:
        self.number = next(NUMBERS)
        is_last = results >= len(TOOLS)
        self.tool = "" if is_last else next((name for name in offered if name.endswith(TOOLS[results])), "")
        self.args = WISHES[results] if self.tool else {}
        self.text = f"I will {TOOLS[results]} now." if self.tool else "I was offered no tool for this."
        if is_last:
            self.text = "Your room in Lisbon is booked."
        with THOUGHTS.open("a", encoding="utf-8") as file:
            file.write(f"{self.text}\n")


# ---- Chat Completions --------------------------------------------------------------------------------------------


def chat(asked: Json) -> tuple[Json, list[Json]]:
    """Return an answer in whole, and in events."""
    results = sum(message["role"] == "tool" for message in asked["messages"])
    thought = Thought(results, [tool["function"]["name"] for tool in asked.get("tools", ())])
    message: Json = {"role": "assistant", "content": thought.text}
    if thought.tool:
        called = {"name": thought.tool, "arguments": json.dumps(thought.args)}
        message["tool_calls"] = [{"id": f"call_{thought.number}", "type": "function", "function": called}]
    finish = "tool_calls" if thought.tool else "stop"
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    head = {"id": f"chatcmpl-{thought.number}", "created": 1_700_000_000, "model": asked["model"]}
    whole = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
    calls = [{"index": index, **call} for index, call in enumerate(message.get("tool_calls", ()))]
    delta = {**message, "tool_calls": calls} if calls else message
    events: list[Json] = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]},
        {"choices": [], "usage": usage},
    ]
    return (
        {**head, "object": "chat.completion", "choices": [whole], "usage": usage},
        [{**head, "object": "chat.completion.chunk", **event} for event in events],
    )


# ---- Responses ---------------------------------------------------------------------------------------------------


def responses(asked: Json) -> tuple[Json, list[Json]]:
    """Return an answer in whole, and in events."""
    given = asked["input"] if isinstance(asked["input"], list) else []
    results = sum(item.get("type") == "function_call_output" for item in given)
    thought = Thought(results, [tool["name"] for tool in asked.get("tools", ())])
    text = {"type": "output_text", "text": thought.text, "annotations": []}
    message = {"id": f"msg_{thought.number}", "type": "message", "role": "assistant", "content": [text]}
    output: list[Json] = [message]
    if thought.tool:
        called = {"name": thought.tool, "arguments": json.dumps(thought.args), "call_id": f"call_{thought.number}"}
        output.append({"id": f"fc_{thought.number}", "type": "function_call", **called})
    output = [{**item, "status": "completed"} for item in output]
    usage = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    fixed = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "metadata": {}}
    begun: Json = {
        "id": f"resp_{thought.number}",
        "object": "response",
        "created_at": 1_700_000_000,
        "model": asked["model"],
        "status": "in_progress",
        "output": [],
        **dict.fromkeys(("usage", "error", "incomplete_details", "instructions")),
        **fixed,
    }
    whole = {**begun, "status": "completed", "output": output, "usage": {**usage, **details}}
    events: list[Json] = [{"type": "response.created", "response": begun}]
    for index, item in enumerate(output):
        events += _item_events(item, index)
    events.append({"type": "response.completed", "response": whole})
    return whole, [{**event, "sequence_number": number} for number, event in enumerate(events)]


def _item_events(item: Json, index: int) -> Iterator[Json]:
    at = {"item_id": item["id"], "output_index": index}
    empty = {**item, "status": "in_progress", **({"content": []} if "content" in item else {"arguments": ""})}
    yield {"type": "response.output_item.added", "output_index": index, "item": empty}
    if "content" in item:
        part, at = item["content"][0], {**at, "content_index": 0}
        yield {"type": "response.content_part.added", **at, "part": {**part, "text": ""}}
        yield {"type": "response.output_text.delta", **at, "delta": part["text"], "logprobs": []}
        yield {"type": "response.output_text.done", **at, "text": part["text"], "logprobs": []}
        yield {"type": "response.content_part.done", **at, "part": part}
    else:
        done = {"arguments": item["arguments"], "name": item["name"]}
        yield {"type": "response.function_call_arguments.delta", **at, "delta": item["arguments"]}
        yield {"type": "response.function_call_arguments.done", **at, **done}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


# ---- Messages ----------------------------------------------------------------------------------------------------


def messages(asked: Json) -> tuple[Json, list[Json]]:
    """Return an answer in whole, and in events."""
    blocks = [block for said in asked["messages"] if isinstance(said["content"], list) for block in said["content"]]
    results = sum(block["type"] == "tool_result" for block in blocks)
    thought = Thought(results, [tool["name"] for tool in asked.get("tools", ())])
    content: list[Json] = [{"type": "text", "text": thought.text}]
    if thought.tool:
        content.append(
            {"type": "tool_use", "id": f"toolu_{thought.number}", "name": thought.tool, "input": thought.args}
        )
    stop = {"stop_reason": "tool_use" if thought.tool else "end_turn", "stop_sequence": None}
    whole = {
        "id": f"msg_{thought.number}",
        "type": "message",
        "role": "assistant",
        "model": asked["model"],
        "content": content,
        "usage": {"input_tokens": 100, "output_tokens": 20},
        **stop,
    }
    events: list[Json] = [{"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}}]
    for index, block in enumerate(content):
        if block["type"] == "text":
            empty, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            empty = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events.append({"type": "content_block_delta", "index": index, "delta": delta})
        events.append({"type": "content_block_stop", "index": index})
    events.append({"type": "message_delta", "delta": stop, "usage": {"output_tokens": 20}})
    events.append({"type": "message_stop"})
    return whole, events


# ---- HTTP --------------------------------------------------------------------------------------------------------

WIRES = {"/v1/chat/completions": chat, "/v1/responses": responses, "/v1/messages": messages}


class Provider(BaseHTTPRequestHandler):
    """Answers one request."""

    def do_POST(self) -> None:
        """Answer a request for a thought."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        whole, events = WIRES[self.path](asked)
        if not asked.get("stream"):
            self._send("application/json", json.dumps(whole))
            return
        named = "type" in events[0]
        lines = [(f"event: {event['type']}\n" if named else "") + f"data: {json.dumps(event)}\n\n" for event in events]
        self._send("text/event-stream", "".join(lines) + ("" if named else "data: [DONE]\n\n"))

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _send(self, kind: str, text: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Provider).serve_forever()
