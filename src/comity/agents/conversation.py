"""A conversation: messages in OpenAI's chat shape that are only ever appended to, each encoded and hashed once.

A model call sends only what its kernel does not know yet, so that two hundred steps cost what their new messages cost.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from comity.core.codec import Digest, canonical, decode
from comity.core.errors import UsageError
from comity.journal.segment import EMPTY_HEAD, Segment, head_after, segment


class ToolCall(NamedTuple):
    """A tool call that a model proposes; `arguments` is the JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


class Message(dict[str, Any]):
    """A message in OpenAI's chat shape, as it was delivered: a dictionary with two shortcuts."""

    @property
    def text(self) -> str:
        """Return the content as text; parts that are no text are left out."""
        content = self.get("content")
        if isinstance(content, list):
            return "".join(part.get("text", "") for part in content if isinstance(part, dict))
        return content if isinstance(content, str) else ""

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """Return the tool calls that the model proposes, in its order."""
        found = []
        for item in self.get("tool_calls") or ():
            function = item.get("function") or {}
            found.append(ToolCall(item.get("id", ""), function.get("name", ""), function.get("arguments") or "{}"))
        return tuple(found)


class Conversation:
    """Messages, append-only, with the hash of each and of each beginning.

    Cost: appending encodes and hashes one message; a model call costs what is new in it.
    """

    def __init__(self, messages: Iterable[Mapping[str, Any]] = ()) -> None:
        """Begin with `messages`."""
        self.segments: list[Segment] = []
        self.heads: list[Digest] = [EMPTY_HEAD]
        for message in messages:
            self.append(message)

    def __len__(self) -> int:
        return len(self.segments)

    def __iter__(self) -> Iterator[Message]:
        return (Message(decode(item.data)) for item in self.segments)

    @property
    def head(self) -> Digest:
        """Return the hash that names all of it."""
        return self.heads[-1]

    @property
    def messages(self) -> list[Message]:
        """Return copies of the messages."""
        return list(self)

    def append(self, message: Mapping[str, Any]) -> None:
        """Add a message, for instance the one that `think` returned.

        Raises:
            UsageError: it has no role, or holds what is not JSON.
        """
        self.append_encoded(encoded(message))

    def append_encoded(self, data: bytes) -> None:
        """Add a message that is canonical JSON already."""
        item = segment(data)
        self.segments.append(item)
        self.heads.append(head_after(self.heads[-1], (item.sha256,)))

    def system(self, text: str) -> None:
        """Add a system message."""
        self.append({"role": "system", "content": text})

    def user(self, text: str) -> None:
        """Add a user message."""
        self.append({"role": "user", "content": text})

    def tool(self, call_id: str, result: Any) -> None:
        """Add the result of the tool call `call_id`; what is no text is written as JSON."""
        content = result if isinstance(result, str) else canonical(result, "result").decode()
        self.append({"role": "tool", "tool_call_id": call_id, "content": content})

    def since(self, known: set[Digest]) -> tuple[Digest, tuple[Segment, ...]]:
        """Return the longest beginning that is known, by its head, and what follows it."""
        at = len(self.segments)
        while at and self.heads[at] not in known:
            at -= 1
        return self.heads[at], tuple(self.segments[at:])

    def extended_to(self, messages: Iterable[bytes]) -> Conversation:
        """Return the conversation of exactly `messages` (canonical JSON each); a common beginning keeps its hashes."""
        other = Conversation()
        shared = True
        for index, data in enumerate(messages):
            shared = shared and index < len(self.segments) and self.segments[index].data == data
            if shared:
                other.segments.append(self.segments[index])
                other.heads.append(self.heads[index + 1])
            else:
                other.append_encoded(data)
        return other


def encoded(message: Mapping[str, Any]) -> bytes:
    """Return a message as canonical JSON.

    Raises:
        UsageError: it is no message: a mapping with a `role`.
    """
    if not isinstance(message.get("role") if hasattr(message, "get") else None, str):
        raise UsageError(
            "not_a_message",
            f"`{message!r:.80}` is not a message",
            hint='a message is a mapping such as {"role": "user", "content": "…"}',
        )
    return canonical(dict(message), "message")


def as_text(value: Any) -> str:
    """Return text as it is and anything else as readable JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
