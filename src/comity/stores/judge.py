"""Whether a unit may land, and what it then writes: one place for both stores.

A store offers `Rows`: the rows that a batch sees and changes, already locked. Each unit of a batch is judged in order,
after the writes of those before it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import msgspec

from comity.core.ids import Id
from comity.core.limits import NEVER_US
from comity.journal.entry import Entry
from comity.journal.segment import Segment
from comity.journal.task import NewTask, State
from comity.journal.unit import (
    Answer,
    Fenced,
    GuardFailed,
    Message,
    Receipt,
    StateIs,
    StateRow,
    StateWrite,
    TaskSubject,
    Transition,
    Unit,
    Wakes,
)
from comity.stores.units import HOLDING, check_move

WOKEN_BY: dict[Wakes, frozenset[State]] = {
    Wakes.NOBODY: frozenset(),
    Wakes.WAITING: frozenset({State.WAITING}),
    Wakes.PARKED: frozenset({State.WAITING, State.PARKED}),
    Wakes.FAILED: frozenset({State.WAITING, State.PARKED, State.FAILED}),
}
"""In which states a message wakes its task."""


class TaskHead(msgspec.Struct):
    """What of a task's row decides whether a unit lands; `n` is its number in the store, 0 before it is stored."""

    n: int
    id: Id
    state: State
    lease_id: Id
    epoch: int
    last_seq: int


class Rows(Protocol):
    """The rows that a batch sees and changes."""

    def task(self, id: Id) -> TaskHead | None:
        """Return a task's head."""
        ...

    def dedupe_holder(self, tenant: str, dedupe: str) -> Id:
        """Return the task that holds a de-duplication key, or b""."""
        ...

    def state(self, namespace: str, key: str) -> StateRow | None:
        """Return a state row."""
        ...

    def unread(self, task: TaskHead) -> Collection[int]:
        """Return the ids of messages that no entry has consumed."""
        ...

    def put_segments(self, tenant: str, segments: Sequence[Segment]) -> None:
        """Keep segments."""
        ...

    def put_state(self, row: StateRow) -> None:
        """Write a state row."""
        ...

    def drop_state(self, namespace: str, key: str) -> None:
        """Delete a state row."""
        ...

    def create(self, new: NewTask) -> None:
        """Write a task's row; its entries follow."""
        ...

    def append(self, task: TaskHead, entries: Sequence[Entry]) -> None:
        """Write entries and the row's `last_seq`."""
        ...

    def consume(self, task: TaskHead, messages: Sequence[int]) -> None:
        """Mark messages of the task as consumed."""
        ...

    def move(self, task: TaskHead, transition: Transition, due_us: int | None) -> None:
        """Write the new state; `due_us` as in the schema. `task` carries the new lease id already."""
        ...

    def send(self, task: TaskHead, message: Message) -> bool:
        """Write a message; return whether it is new."""
        ...

    def wake(self, task: TaskHead) -> None:
        """Queue a task at once."""
        ...


def judge(unit: Unit, rows: Rows) -> Answer:
    """Check a unit against `rows` and, where everything holds, write it there."""
    subject = unit.subject
    task: TaskHead | None = None
    if isinstance(subject, TaskSubject):
        task = rows.task(subject.task)
        if task is None:
            return Fenced("no such task")
        if task.lease_id != subject.lease_id or task.epoch != subject.epoch:
            return Fenced("lease lost")
        if task.last_seq != subject.expected_seq:
            return Fenced("out of sequence")
    new, existing = _plan_spawns(unit.spawns, rows) if unit.spawns else ((), ())
    failed = _first_failed_guard(unit, task, rows) if unit.guards else None
    if failed is not None:
        return failed
    writes = _plan_state(unit.state, rows) if unit.state else []
    if isinstance(writes, GuardFailed):
        return writes
    for message in unit.sends:
        if rows.task(message.task) is None and all(message.task != spawn.id for spawn in new):
            return GuardFailed(message, None)
    if task is not None and unit.transition is not None:
        check_move(task.state, unit.transition.state)
    _write(unit, task, new, writes, rows)
    return Receipt(existing) if existing else _RECEIPT


_RECEIPT = Receipt()


def due_us(state: State, lease_id: Id, not_before_us: int) -> int | None:
    """Return when a task may be taken: None for never, 0 for now."""
    if state in (State.QUEUED, State.WAITING) or (state is State.CANCELLING and not lease_id):
        return None if not_before_us >= NEVER_US else max(not_before_us, 0)
    return None


def _plan_spawns(spawns: Sequence[NewTask], rows: Rows) -> tuple[list[NewTask], tuple[Id, ...]]:
    new: list[NewTask] = []
    existing: list[Id] = []
    for spawn in spawns:
        holder = spawn.id if rows.task(spawn.id) or any(other.id == spawn.id for other in new) else b""
        if not holder and spawn.dedupe:
            holder = rows.dedupe_holder(spawn.tenant, spawn.dedupe) or next(
                (other.id for other in new if (other.tenant, other.dedupe) == (spawn.tenant, spawn.dedupe)), b""
            )
        existing.append(holder)
        if not holder:
            new.append(spawn)
    return new, tuple(existing)


def _first_failed_guard(unit: Unit, task: TaskHead | None, rows: Rows) -> GuardFailed | None:
    for guard in unit.guards:
        if isinstance(guard, StateIs):
            found = rows.state(guard.namespace, guard.key)
            if found is None or found.version != guard.version:
                return GuardFailed(guard, found)
        else:
            assert task is not None, "`InboxSeen` looks at the subject task's inbox"
            if any(message not in unit.consumes for message in rows.unread(task)):
                return GuardFailed(guard, None)
    return None


def _plan_state(writes: Sequence[StateWrite], rows: Rows) -> list[StateRow | StateWrite] | GuardFailed:
    planned: list[StateRow | StateWrite] = []
    overlay: dict[tuple[str, str], StateRow | None] = {}
    for write in writes:
        key = (write.namespace, write.key)
        found = overlay[key] if key in overlay else rows.state(*key)
        version = found.version if found else 0
        if write.expected_version is not None and write.expected_version != version:
            return GuardFailed(write, found)
        overlay[key] = None if write.value is None else StateRow(*key, version + 1, write.value)
        planned.append(overlay[key] or write)
    return planned


def _write(
    unit: Unit, task: TaskHead | None, new: Sequence[NewTask], writes: Sequence[StateRow | StateWrite], rows: Rows
) -> None:
    if unit.segments:
        rows.put_segments(unit.tenant, unit.segments)
    for write in writes:
        if isinstance(write, StateRow):
            rows.put_state(write)
        else:
            rows.drop_state(write.namespace, write.key)
    for spawn in new:
        rows.create(spawn)
    if task is not None:
        if unit.entries:
            rows.append(task, unit.entries)
            task.last_seq += len(unit.entries)
        if unit.consumes:
            rows.consume(task, unit.consumes)
        if unit.transition is not None:
            _move(task, unit.transition, rows)
    for message in unit.sends:
        target = rows.task(message.task)
        assert target is not None, "a message's target was found a moment ago"
        if rows.send(target, message) and target.state in WOKEN_BY[message.wakes]:
            target.state = State.QUEUED
            rows.wake(target)


def _move(task: TaskHead, transition: Transition, rows: Rows) -> None:
    task.state = transition.state
    if transition.state not in HOLDING:
        task.lease_id = b""
    rows.move(task, transition, due_us(transition.state, task.lease_id, transition.not_before_us))
