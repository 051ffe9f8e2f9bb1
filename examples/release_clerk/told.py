"""A task's journal, told live: each new entry becomes one line for people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from comity.journal.entry import (
    Asked,
    Attempted,
    Body,
    Ended,
    Entry,
    Incarnated,
    Intent,
    Moved,
    Outcome,
    Received,
    Resolved,
)
from comity.journal.ports import Store
from comity.journal.segment import Payload

WORDS = {
    "create_branch": "name",
    "tag": "version",
    "announce": "slot",
}
"""Which argument of a call is shown."""
VERDICTS = {"happened": "it happened", "not_happened": "it did not happen", "again": "it did not happen: perform it"}


class Line(NamedTuple):
    """One line: a sign, who or what it is about, and what is said of it."""

    sign: str
    name: str
    text: str
    tone: str


@dataclass
class Journal:
    """What was told of a task's journal so far. `doubt` is the call that waits for a person, 0 where none does."""

    store: Store
    task: bytes
    doubt: int = 0
    is_over: bool = False
    thoughts: int = 0
    _last: int = 0

    def __post_init__(self) -> None:
        """Know no call yet."""
        self._names: dict[int, str] = {}
        self._open: set[int] = set()

    async def news(self) -> list[Line]:
        """Return the lines of the entries that are new."""
        lines: list[Line] = []
        for entry in await self.store.load(self.task, self._last + 1):
            self._last = entry.seq
            body = entry.read()
            result = await self._content(body.result) if isinstance(body, Outcome) else b""
            lines.extend(self._lines(entry, body, result))
        return lines

    async def _content(self, payload: Payload) -> bytes:
        """Return what a payload says: it stands in its entry, or in a segment where it is large."""
        if not payload.sha256:
            return payload.inline or b"null"
        return (await self.store.segments("default", [payload.sha256]))[0]

    def _lines(self, entry: Entry, body: Body, result: bytes) -> Iterator[Line]:
        seq, kind = entry.seq, entry.kind
        if isinstance(body, Incarnated) and body.incarnation > 1:
            done = len(self._names) - len(self._open)
            yield Line("●", "a new brain", f"recalls {done} calls and makes none of them again", "cyan")
        elif isinstance(body, Intent):
            self._names[seq] = _name(kind, body.asked)
            self._open.add(seq)
            self.thoughts += kind == "model"
            yield Line("·", self._names[seq], f"is meant {_shown(body.asked)}".rstrip(), "dim")
        elif isinstance(body, Outcome):
            yield self._outcome(entry, body, json.loads(result))
        elif isinstance(body, Attempted):
            yield Line("↻", self._names.get(body.call, ""), body.why, "cyan")
        elif isinstance(body, Resolved):
            self._open.discard(body.call)
            self.doubt = 0
            yield Line("✓", self._names.get(body.call, ""), f"{VERDICTS[body.verdict]}, says {body.by}", "cyan")
        elif isinstance(body, Received) and body.kind == "order":
            yield Line("✉", "an order", f"`{body.name}` from {body.sender.split(':')[0]}", "cyan")
        elif isinstance(body, Moved) and body.state == "parked":
            self.doubt = max(self._open, default=0) if body.reason == "in_doubt" else 0
            yield Line("‖", "parked", f"{body.reason}: {body.detail}", "yellow")
        elif isinstance(body, Ended):
            self.is_over = True
            yield Line("■", body.state, body.error, "green" if body.state == "succeeded" else "red")

    def _outcome(self, entry: Entry, body: Outcome, value: Any) -> Line:
        kind = entry.kind
        call = body.call or entry.seq
        if body.asked is not None:
            self._names[call] = _name(kind, body.asked)
        name = self._names.get(call, "")
        if body.status == "unknown":
            return Line("?", name, f"nobody knows: {_why(body)}", "yellow")
        self._open.discard(call)
        if body.status == "done" and entry.branch.startswith("~"):
            return Line("✓", name, "looked whether it had happened", "cyan")
        if body.status == "done":
            return Line("✓", name, _result(kind, value), "")
        return Line("✗", name, f"{body.status}: {_why(body)}", "yellow")


def _name(kind: str, asked: Asked) -> str:
    return "think" if kind == "model" else asked.name


def _why(body: Outcome) -> str:
    return body.problem.error if body.problem is not None else ""


def _shown(asked: Asked) -> str:
    args = json.loads(asked.args.inline or b"null")
    key = WORDS.get(asked.name, "")
    return str(args[key]) if isinstance(args, dict) and key in args else ""


def _result(kind: str, value: Any) -> str:
    if kind == "model":
        return f"{len(str(value.get('content', '')).splitlines())} lines of notes"
    if isinstance(value, dict) and "commits" in value:
        return f"{len(value['commits'])} commits since {value['last'] or 'the beginning'}"
    return str(value)
