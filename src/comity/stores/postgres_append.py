"""Units that only append, written by one statement: the function `comity_append` of the schema.

What they all name is sorted, so that two nodes wait for each other instead of deadlocking.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from comity.core.ids import Id
from comity.journal.unit import StateIs, TaskSubject, Unit
from comity.stores.codes import kind_code, phase_code

APPEND = "SELECT comity_append(" + ", ".join(["%s"] * 20) + ")"
SPLIT_FROM = 16
"""A batch with other units in it is split where it has so many plain ones: a second commit costs about as much."""


def plain_units(units: Sequence[Unit]) -> list[int]:
    """Return which units `APPEND` may write ahead of the others of their batch, as places in it.

    Such a unit has only entries, and guards on state that no unit of the batch writes; no other names its task.
    """
    if len(units) == 1:
        return [0] if _is_plain(units[0]) else []
    places: dict[Id, int] = {}
    mixed: set[Id] = set()
    written: set[tuple[str, str]] = set()
    for place, unit in enumerate(units):
        if _is_plain(unit):
            task = unit.subject.task  # type: ignore[union-attr]
            if task in places:
                mixed.add(task)
            places[task] = place
            continue
        written.update((write.namespace, write.key) for write in unit.state)
        mixed.update(spawn.id for spawn in unit.spawns)
        if isinstance(unit.subject, TaskSubject):
            mixed.add(unit.subject.task)
    found = [place for task, place in places.items() if task not in mixed]
    if written:
        found = [place for place in found if not any(_key(guard) in written for guard in units[place].guards)]
    return found if len(found) == len(units) or len(found) >= SPLIT_FROM else []


def _key(guard: Any) -> tuple[str, str]:
    return guard.namespace, guard.key


def _is_plain(unit: Unit) -> bool:
    return not (
        unit.transition is not None
        or unit.sends
        or unit.state
        or unit.consumes
        or unit.spawns
        or unit.segments
        or not unit.entries
        or type(unit.subject) is not TaskSubject
        or (unit.guards and any(type(guard) is not StateIs for guard in unit.guards))
    )


def append_params(units: Sequence[Unit], now_us: int | None, flusher: bytes, batch: int) -> list[Any]:
    """Return the parameters of `APPEND` for plain units that are sorted by their task."""
    subjects: list[tuple[Id, Id, int, int, int]] = []
    guarded: list[tuple[int, StateIs]] = []
    entries: list[tuple[Any, ...]] = []
    for number, unit in enumerate(units, 1):
        subject = unit.subject
        assert isinstance(subject, TaskSubject), "a plain unit is a task's"
        seq = subject.expected_seq
        subjects.append((subject.task, subject.lease_id, subject.epoch, seq, seq + len(unit.entries)))
        for guard in unit.guards:
            assert isinstance(guard, StateIs), "a plain unit guards state only"
            guarded.append((number, guard))
        for entry in unit.entries:
            kind, phase = kind_code(entry.kind), phase_code(entry.phase)
            entries.append((number, entry.at_us, entry.seq, kind, phase, entry.branch, entry.body))
    wanted = sorted({(guard.namespace, guard.key, guard.version) for _, guard in guarded})
    number_of = {guard: number for number, guard in enumerate(wanted, 1)}
    return [
        now_us,
        flusher,
        batch,
        *zip(*subjects, strict=True),
        *(zip(*wanted, strict=True) if wanted else ((), (), ())),
        [number for number, _ in guarded],
        [number_of[guard.namespace, guard.key, guard.version] for _, guard in guarded],
        *zip(*entries, strict=True),
    ]


def task_of(unit: Unit) -> Id:
    """Return the task of a plain unit, to sort by."""
    assert isinstance(unit.subject, TaskSubject), "a plain unit is a task's"
    return unit.subject.task
