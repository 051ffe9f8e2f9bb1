"""Writes the golden journal of this version: every struct. Run before a release, never for an old file."""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec

from comity.core.codec import digest
from comity.core.ids import derived_id, show_id
from comity.core.limits import ENTRY_FORMAT
from comity.journal import entry as journal
from comity.journal.budget import Budget, Cost, Grant
from comity.journal.call import Kind, Status
from comity.journal.segment import Payload, payload
from comity.stores.codes import kind_code, phase_code

TASK = derived_id(b"golden")


def entries() -> list[journal.Entry]:
    """Return a journal in which every struct and, where it matters, every field is used."""
    small, (large, _) = Payload(b'{"to":"LIS"}'), payload(b'"' + b"x" * 2_000 + b'"')
    asked = journal.Asked("book_flight", 0, digest(small.inline), small)
    cost = Cost(10, 20, 30)
    context = journal.Context(b"h" * 32, b"b" * 32, (b"n" * 32,))
    bodies = [
        (
            Kind.TASK,
            journal.Created(
                ENTRY_FORMAT,
                "agent",
                small,
                "default",
                "session",
                b"p" * 16,
                Grant(tools=("book_flight",), models=("m",), agents=("a",), given_by="me", chain=("you",)),
                Budget(tokens=1, usd_micro=2, calls={"irreversible": 1}, wall_s=3.5, context_tokens=4),
            ),
        ),
        (Kind.TASK, journal.Incarnated(1, 1, b"n" * 16, "v1")),
        (Kind.TOOL, journal.Intent(asked, "irreversible", 1, cost, 2, "once", b"d" * 32, small)),
        (Kind.TOOL, journal.Attempted(3, 2, "not started")),
        (Kind.TOOL, journal.Evidence(3, 1, 1, "done", small, "", cost)),
        (
            Kind.TOOL,
            journal.Outcome(3, Status.UNKNOWN, problem=journal.Problem("lost", "e", "h", "never"), same_as="2"),
        ),
        (Kind.TOOL, journal.Resolved(3, "happened", "me", small, 1, "seen", cost)),
        (Kind.MODEL, journal.Intent(asked, "read", context=context)),
        (Kind.MODEL, journal.Outcome(8, Status.DONE, large, cost, 1)),
        (Kind.NOW, journal.Outcome(0, Status.DONE, Payload(b"5"), asked=asked)),
        (Kind.TOOL, journal.Outcome(0, Status.REFUSED, asked=asked, happened=False, held=True)),
        (Kind.SIGNAL, journal.Waiting(0, "signal", asked, 1, 99, "go")),
        (Kind.SIGNAL, journal.Received(7, "signal", "go", "me", small)),
        (Kind.TASK, journal.Moved("parked", "in_doubt", "why", 5)),
        (Kind.TASK, journal.Rethought(3, 1, "me", "why")),
        (Kind.TASK, journal.Reopened(3, "me")),
        (Kind.CONTINUE, journal.Continued(small, 1)),
        (Kind.TASK, journal.Progressed("half way", 0.5, 3)),
        (Kind.TOOL, journal.Verified(3, True, "seen")),
        (Kind.TASK, journal.Ended("succeeded", small, "", "", (3,))),
    ]
    return [
        journal.entry(seq, "" if seq % 2 else "1.2", kind, 1_700_000_000_000_000 + seq, body)
        for seq, (kind, body) in enumerate(bodies, 1)
    ]


def lines() -> list[dict[str, object]]:
    """Return one JSON object for each entry: what is stored, its leaf, and what it reads as."""
    return [
        {
            "seq": item.seq,
            "branch": item.branch,
            "kind": item.kind,
            "phase": item.phase,
            "at_us": item.at_us,
            "codes": [kind_code(item.kind), phase_code(item.phase)],
            "body": item.body.hex(),
            "leaf": journal.leaf(TASK, item).hex(),
            "reads": plain(item.read()),
        }
        for item in entries()
    ]


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: a struct with its name, bytes in hex."""
    if isinstance(value, msgspec.Struct):
        fields = {name: plain(getattr(value, name)) for name in value.__struct_fields__}
        return {"struct": type(value).__name__, **fields}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


if __name__ == "__main__":
    json.dump({"task": show_id(TASK), "format": ENTRY_FORMAT, "entries": lines()}, sys.stdout, indent=1)
    sys.stdout.write("\n")
