"""Two tasks side by side: what was asked of them, and the first call that differs, down to the path in its JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from comity.journal.ports import Store
from comity.kernel.ledger import Record
from comity.runtime.account import Account, at_hand, content
from comity.runtime.words import arguments, one_line, preview

CHANGES_MAX = 50
ABSENT = "absent"


class Change(NamedTuple):
    """A place that differs, and what stands there on each side."""

    path: str
    left: str
    right: str


@dataclass(slots=True)
class Comparison:
    """What two tasks have in common and where they part."""

    heads: list[tuple[str, str, str]] = field(default_factory=list)
    same: int = 0
    call: str | None = None
    what: str = ""
    left_seq: int | None = None
    right_seq: int | None = None
    changes: list[Change] = field(default_factory=list)

    @property
    def differs(self) -> bool:
        """Tell whether they are not the same."""
        return self.call is not None or bool(self.heads)


async def compare(store: Store, left: Account, right: Account) -> Comparison:
    """Compare two tasks, call by call in each branch; the first that differs, by the left one's order, is told."""
    found = Comparison(_heads(left, right))
    ours, theirs = _by_place(left), _by_place(right)
    for place in sorted({*ours, *theirs}, key=lambda key: _first_seq(key, ours, theirs)):
        one, two = ours.get(place), theirs.get(place)
        if one is None or two is None:
            _only_one(found, one, two)
            break
        if await _differ(store, found, (left, one), (right, two)):
            break
        found.same += 1
    return found


def changes(left: Any, right: Any, path: str = "") -> Iterator[Change]:
    """Yield each place at which two JSON values differ."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in {**left, **right}:
            inner = f"{path}.{key}" if path else str(key)
            if key not in left or key not in right:
                yield Change(inner, _shown(left, key), _shown(right, key))
            else:
                yield from changes(left[key], right[key], inner)
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, (one, two) in enumerate(zip(left, right, strict=True)):
            yield from changes(one, two, f"{path}[{index}]")
    elif left != right or type(left) is not type(right):
        yield Change(path or "value", _json(left), _json(right))


Place = tuple[str, int]


def _by_place(account: Account) -> dict[Place, Record]:
    """Return the calls by branch and place in it; clean-up of the kernel's own apart."""
    found: dict[Place, Record] = {}
    counts: dict[str, int] = {}
    for record in account.calls:
        if record.cleans or record.key.branch.startswith("~"):
            continue
        number = counts.get(record.key.branch, 0)
        counts[record.key.branch] = number + 1
        found[record.key.branch, number] = record
    return found


def _first_seq(place: Place, ours: dict[Place, Record], theirs: dict[Place, Record]) -> tuple[int, int]:
    record = ours.get(place) or theirs[place]
    return record.seq, 0 if place in ours else 1


def _heads(left: Account, right: Account) -> list[tuple[str, str, str]]:
    one, two = left.created, right.created
    rows = [
        ("agent", one.agent, two.agent),
        ("version", left.row.agent_version, right.row.agent_version),
        ("goal", preview(at_hand(one.goal), 200), preview(at_hand(two.goal), 200)),
        ("model", one.model, two.model),
    ]
    return [(name, before or ABSENT, after or ABSENT) for name, before, after in rows if before != after]


def _only_one(found: Comparison, one: Record | None, two: Record | None) -> None:
    record = one or two
    assert record is not None, "a place comes from one of the two"
    found.call = told(record)
    found.what = "is only in the first task" if one is not None else "is only in the second task"
    found.left_seq, found.right_seq = one.seq if one else None, two.seq if two else None


async def _differ(store: Store, found: Comparison, left: tuple[Account, Record], right: tuple[Account, Record]) -> bool:
    (one_task, one), (two_task, two) = left, right
    if (one.key.kind, one.key.name) != (two.key.kind, two.key.name):
        found.what = "is another call in each"
        found.changes = [Change("call", told(one), told(two))]
    elif one.digest != two.digest:
        before = await content(store, one_task.row.tenant, one.args)
        after = await content(store, two_task.row.tenant, two.args)
        found.what, found.changes = "has other arguments", list(changes(before, after))[:CHANGES_MAX]
    else:
        before, after = await _outcome(store, one_task, one), await _outcome(store, two_task, two)
        found.changes = list(changes(before, after))[:CHANGES_MAX]
        found.what = "had another outcome"
    if found.changes:
        found.call, found.left_seq, found.right_seq = told(one), one.seq, two.seq
    return bool(found.changes)


async def _outcome(store: Store, account: Account, record: Record) -> dict[str, Any]:
    result = await content(store, account.row.tenant, record.result) if not record.open else None
    return {"phase": account.phase(record), "result": result, "code": record.code, "error": record.error}


def told(record: Record) -> str:
    """Return a call as it is written, with its number."""
    branch = f"[{record.key.branch}] " if record.key.branch else ""
    return f"{branch}{record.key.kind} {one_line(record.key.name, 60)}({arguments(at_hand(record.args), 120)})"


def _shown(table: dict[str, Any], key: str) -> str:
    return _json(table[key]) if key in table else ABSENT


def _json(value: Any) -> str:
    return one_line(msgspec.json.encode(value).decode(), 400)
