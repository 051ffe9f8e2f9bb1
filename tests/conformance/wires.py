"""The three wire formats as an upstream speaks them: what was asked, and the pieces of the answer.

The shapes are those that the providers document. Each answer comes as a list of byte pieces and the number of pieces
after which it is in its middle: after the first words of a stream, in the middle of a plain body.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from conformance.script import Thought, reference


class Asked(NamedTuple):
    """What a request says, whatever its format: the goal, the results so far, offered tools by their bare name."""

    goal: str
    results: list[str]
    tools: dict[str, str]
    model: str
    is_stream: bool


class Pieces(NamedTuple):
    """An answer in pieces, of which the first `middle` make its beginning."""

    pieces: list[bytes]
    middle: int


def text_of(content: Any) -> str:
    """Return the words of a message's content, which is a string or a list of parts."""
    if isinstance(content, list):
        return "\n".join(text_of(part.get("text") or part.get("content") or "") for part in content)
    return content if isinstance(content, str) else ""


def bare(name: str) -> str:
    """Return a tool's name without the server's in front of it."""
    return re.split(r"[._/-]+", name)[-1]


def asked(wire: str, body: dict[str, Any]) -> Asked:
    """Read a request."""
    items = body["input"] if wire == "responses" else body["messages"]
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    goals = [text for item in items if item.get("role") == "user" and reference(text := text_of(item["content"]))]
    names = [tool.get("function", tool)["name"] for tool in body.get("tools") or ()]
    return Asked(
        goals[0] if goals else "",
        _results(wire, items),
        {bare(name): name for name in names},
        body["model"],
        bool(body.get("stream")),
    )


def _results(wire: str, items: list[dict[str, Any]]) -> list[str]:
    if wire == "chat":
        return [text_of(item["content"]) for item in items if item["role"] == "tool"]
    if wire == "responses":
        return [text_of(item["output"]) for item in items if item.get("type") == "function_call_output"]
    blocks = [block for item in items if isinstance(item["content"], list) for block in item["content"]]
    return [text_of(block.get("content", "")) for block in blocks if block["type"] == "tool_result"]


def uses_of(thought: Thought, request: Asked, number: int) -> list[tuple[str, str, str]]:
    """Return (id, offered name, arguments as JSON) of each tool use; ids differ from thought to thought."""
    return [
        (f"call_{number}_{index}", request.tools.get(use.tool, use.tool), json.dumps(use.args))
        for index, use in enumerate(thought.uses)
    ]


def plain(body: dict[str, Any]) -> Pieces:
    """Return a JSON body, cut in two."""
    data = json.dumps(body).encode()
    return Pieces([data[: len(data) // 2], data[len(data) // 2 :]], 1)


def events(parts: list[tuple[str, Any]], middle_at: str, *, named: bool) -> Pieces:
    """Return an event stream; its middle is after the second event of type `middle_at` (for chat: of any)."""
    pieces, seen, middle = [], 0, 0
    for name, value in parts:
        data = value if isinstance(value, str) else json.dumps(value)
        pieces.append((f"event: {name}\n" if named else "").encode() + f"data: {data}\n\n".encode())
        seen += name == middle_at
        if seen == 2 and not middle:
            middle = len(pieces)
    return Pieces(pieces, middle)


def words(text: str) -> list[str]:
    """Return a text in the pieces in which it is streamed."""
    return re.findall(r"\S+\s*", text)


def chat(request: Asked, thought: Thought, number: int) -> Pieces:
    """Answer in OpenAI's Chat Completions format."""
    head = {"id": f"chatcmpl-{number}", "created": 1_700_000_000, "model": request.model}
    finish = "tool_calls" if thought.uses else "stop"
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    calls = [
        {"id": call, "type": "function", "function": {"name": name, "arguments": args}}
        for call, name, args in uses_of(thought, request, number)
    ]
    if not request.is_stream:
        message = {"role": "assistant", "content": thought.text, **({"tool_calls": calls} if calls else {})}
        choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
        return plain({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in words(thought.text)]
    for index, call in enumerate(calls):
        args = call["function"]["arguments"]
        deltas.append({"tool_calls": [{"index": index, **call, "function": {**call["function"], "arguments": ""}}]})
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": part}}]}
            for part in (args[: len(args) // 2], args[len(args) // 2 :])
        ]
    chunk = {**head, "object": "chat.completion.chunk"}
    parts: list[tuple[str, Any]] = [
        ("text" if "content" in delta else "", {**chunk, "choices": [{"index": 0, "delta": delta}]}) for delta in deltas
    ]
    parts.append(("", {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}))
    parts += [("", {**chunk, "choices": [], "usage": usage}), ("", "[DONE]")]
    return events(parts, "text", named=False)


def responses(request: Asked, thought: Thought, number: int) -> Pieces:
    """Answer in the format of OpenAI's Responses."""
    completed = {"status": "completed"}
    said = {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        **completed,
        "content": [{"type": "output_text", "text": thought.text, "annotations": []}],
    }
    calls = [
        {"type": "function_call", "id": f"fc_{call}", "call_id": call, "name": name, "arguments": args, **completed}
        for call, name, args in uses_of(thought, request, number)
    ]
    begun: dict[str, Any] = {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 1_700_000_000,
        "model": request.model,
        "status": "in_progress",
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "metadata": {},
        **dict.fromkeys(("error", "incomplete_details", "instructions", "usage")),
    }
    usage = {
        "input_tokens": 100,
        "output_tokens": 20,
        "total_tokens": 120,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    done = {**begun, "status": "completed", "output": [said, *calls], "usage": usage}
    if not request.is_stream:
        return plain(done)
    parts: list[tuple[str, dict[str, Any]]] = [("response.created", {"response": begun})]
    parts.append(("response.in_progress", {"response": begun}))
    parts += _said_in_parts(said, thought.text)
    for index, call in enumerate(calls, start=1):
        parts += _called_in_parts(call, index)
    parts.append(("response.completed", {"response": done}))
    numbered = [(name, {"type": name, "sequence_number": n, **data}) for n, (name, data) in enumerate(parts)]
    return events(numbered, "response.output_text.delta", named=True)


def _said_in_parts(said: dict[str, Any], text: str) -> list[tuple[str, dict[str, Any]]]:
    at = {"item_id": said["id"], "output_index": 0, "content_index": 0}
    part = said["content"][0]
    item = {**said, "status": "in_progress", "content": []}
    return [
        ("response.output_item.added", {"output_index": 0, "item": item}),
        ("response.content_part.added", {**at, "part": {**part, "text": ""}}),
        *(("response.output_text.delta", {**at, "delta": word, "logprobs": []}) for word in words(text)),
        ("response.output_text.done", {**at, "text": text, "logprobs": []}),
        ("response.content_part.done", {**at, "part": part}),
        ("response.output_item.done", {"output_index": 0, "item": said}),
    ]


def _called_in_parts(call: dict[str, Any], index: int) -> list[tuple[str, dict[str, Any]]]:
    at = {"item_id": call["id"], "output_index": index}
    item = {**call, "arguments": "", "status": "in_progress"}
    return [
        ("response.output_item.added", {"output_index": index, "item": item}),
        ("response.function_call_arguments.delta", {**at, "delta": call["arguments"]}),
        ("response.function_call_arguments.done", {**at, "arguments": call["arguments"], "name": call["name"]}),
        ("response.output_item.done", {"output_index": index, "item": call}),
    ]


def messages(request: Asked, thought: Thought, number: int) -> Pieces:
    """Answer in the format of Anthropic's Messages."""
    uses = uses_of(thought, request, number)
    content: list[dict[str, Any]] = [{"type": "text", "text": thought.text}]
    content += [
        {"type": "tool_use", "id": f"tool{call}", "name": name, "input": json.loads(args)} for call, name, args in uses
    ]
    stop = "tool_use" if uses else "end_turn"
    whole = {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 20},
    }
    if not request.is_stream:
        return plain(whole)
    begun = {**whole, "content": [], "stop_reason": None, "usage": {"input_tokens": 100, "output_tokens": 1}}
    parts: list[tuple[str, dict[str, Any]]] = [("message_start", {"message": begun})]
    for index, block in enumerate(content):
        if block["type"] == "text":
            empty = {**block, "text": ""}
            deltas = [{"type": "text_delta", "text": word} for word in words(thought.text)]
        else:
            empty = {**block, "input": {}}
            deltas = [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
        parts.append(("content_block_start", {"index": index, "content_block": empty}))
        parts += [("content_block_delta", {"index": index, "delta": delta}) for delta in deltas]
        parts.append(("content_block_stop", {"index": index}))
    end = {"delta": {"stop_reason": stop, "stop_sequence": None}, "usage": {"output_tokens": 20}}
    parts += [("message_delta", end), ("message_stop", {})]
    return events([(name, {"type": name, **data}) for name, data in parts], "content_block_delta", named=True)


WIRES: dict[str, Callable[[Asked, Thought, int], Pieces]] = {
    "chat": chat,
    "responses": responses,
    "messages": messages,
}


def error(wire: str, status: int) -> dict[str, Any]:
    """Return an error in a format's own shape."""
    if wire == "messages":
        return {"type": "error", "error": {"type": "overloaded_error", "message": f"told to answer {status}"}}
    return {"error": {"message": f"told to answer {status}", "type": "server_error", "param": None, "code": None}}
