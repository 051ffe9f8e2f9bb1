"""The unit of commit: what one append writes, all or none, and what it may require.

Units are independent: a failing one never harms its neighbours in a batch. A `TaskSubject` is fenced: the unit lands
only while the task's row still carries the same lease id and epoch and `last_seq` is `expected_seq`.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from comity.core.ids import Id
from comity.journal.entry import Entry
from comity.journal.segment import Segment
from comity.journal.task import NewTask, State


class TaskSubject(msgspec.Struct, frozen=True):
    """The node that owns a task appends to its journal."""

    task: Id
    lease_id: Id
    epoch: int
    expected_seq: int


class OperatorSubject(msgspec.Struct, frozen=True):
    """A person or program outside any task: creates tasks, sends orders, writes state; appends no entries."""

    who: str


Subject = TaskSubject | OperatorSubject


class StateIs(msgspec.Struct, frozen=True):
    """Require that a state row exists at exactly this version; it is locked until the unit has committed."""

    namespace: str
    key: str
    version: int


class InboxSeen(msgspec.Struct, frozen=True):
    """Require that the subject task's inbox holds no message that this unit does not consume."""


Guard = StateIs | InboxSeen


class StateWrite(msgspec.Struct, frozen=True):
    """Write a state row by compare-and-set.

    `expected_version` 0 means that the row must be absent, None that any version is overwritten. The new version is
    the old plus 1 (1 for a new row). `value` None deletes the row.
    """

    namespace: str
    key: str
    value: bytes | None
    expected_version: int | None = None


class StateRow(msgspec.Struct, frozen=True):
    """A state row as it stands."""

    namespace: str
    key: str
    version: int
    value: bytes


class Wakes(StrEnum):
    """Whom a message wakes: a task that waits, or also one that is parked."""

    NOBODY = "nobody"
    WAITING = "waiting"
    PARKED = "parked"
    FAILED = "failed"


class Message(msgspec.Struct, frozen=True, array_like=True):
    """A row of a task's inbox: a signal, a child's end, an answer, an operator's order.

    (task, sender) is unique: sending the same again changes nothing. Sending locks the task's row, and queues the
    task where `wakes` covers its state (`parked` covers waiting too, `failed` all of them). `id` is the store's and 0
    before it is stored. `value` is canonical JSON.
    """

    task: Id
    sender: str
    kind: str
    name: str
    value: bytes = b"null"
    wakes: Wakes = Wakes.WAITING
    at_us: int = 0
    id: int = 0


class Transition(msgspec.Struct, frozen=True):
    """The subject task's new state. A state that holds no worker (all but running and cancelling) gives the lease up.

    `incarnation` and `agent_version` None keep the row's. The state may be the one it has (to write these two). A
    `waiting` task that only a message wakes has `not_before_us` `NEVER_US`.
    """

    state: State
    reason: str = ""
    not_before_us: int = 0
    incarnation: int | None = None
    agent_version: str | None = None


class Unit(msgspec.Struct, frozen=True):
    """One all-or-none append."""

    subject: Subject
    entries: tuple[Entry, ...] = ()
    guards: tuple[Guard, ...] = ()
    segments: tuple[Segment, ...] = ()
    tenant: str = "default"
    state: tuple[StateWrite, ...] = ()
    spawns: tuple[NewTask, ...] = ()
    sends: tuple[Message, ...] = ()
    consumes: tuple[int, ...] = ()
    transition: Transition | None = None


class Receipt(msgspec.Struct, frozen=True):
    """The unit is durable. `existing`: for each spawn, the task that already held its `dedupe` key, or b""."""

    existing: tuple[Id, ...] = ()


class Fenced(msgspec.Struct, frozen=True):
    """Nothing of the unit was written: the subject lost its lease, epoch or place in the journal."""

    why: str


class GuardFailed(msgspec.Struct, frozen=True):
    """Nothing of the unit was written: a guard or a compare-and-set did not hold.

    `guard` is the one that failed and `found` the state row as it stands (None where absent or for an inbox guard).
    """

    guard: Guard | StateWrite | Message
    found: StateRow | None


Answer = Receipt | Fenced | GuardFailed
