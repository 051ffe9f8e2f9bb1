"""The task row and its state machine: which state may follow which (drawn in `docs/internals/state-machine.md`)."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from comity.core.ids import Id
from comity.journal.entry import Entry


class State(StrEnum):
    """Where a task stands."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    PARKED = "parked"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Tell whether the task is over."""
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


class Wake(StrEnum):
    """Why a task waits: its reason in state `waiting`."""

    TIMER = "timer"
    SIGNAL = "signal"
    CHILD = "child"
    HUMAN = "human"
    DEFERRED = "deferred"


class ParkReason(StrEnum):
    """Why a task is parked: its reason in state `parked`."""

    IN_DOUBT = "in_doubt"
    OVER_BUDGET = "over_budget"
    OVER_CONTEXT = "over_context"
    STALLED = "stalled"
    SPINNING = "spinning"
    DIVERGED = "diverged"
    PAUSED = "paused"
    STOPPED = "stopped"
    COMPENSATION_BLOCKED = "compensation_blocked"


MOVES: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.CANCELLING, State.CANCELLED, State.PARKED}),
    State.RUNNING: frozenset(
        {
            State.QUEUED,
            State.WAITING,
            State.PARKED,
            State.CANCELLING,
            State.SUCCEEDED,
            State.FAILED,
            State.CANCELLED,
        }
    ),
    State.WAITING: frozenset({State.QUEUED, State.RUNNING, State.CANCELLING}),
    State.PARKED: frozenset({State.QUEUED, State.RUNNING, State.CANCELLING}),
    State.CANCELLING: frozenset({State.CANCELLED, State.PARKED, State.QUEUED, State.WAITING}),
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset({State.QUEUED}),
    State.CANCELLED: frozenset(),
}
"""From each state, those that may follow. `failed → queued` is `tasks retry`. A cancelling task holds a worker like a
running one; its row says `cancelling` so that people see it."""


class NewTask(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is asked for when a task is created; `dedupe` (unique for a tenant) makes creation happen once.

    `entries` are the journal's first, numbered from 1: a `Created`, for a fork also what it copies; the row's
    `last_seq` is their count.
    """

    id: Id
    agent: str
    agent_version: str = ""
    goal: str = ""
    tenant: str = "default"
    session: str = ""
    queue: str = "default"
    priority: int = 0
    not_before_us: int = 0
    dedupe: str = ""
    concurrency_key: str = ""
    concurrency_limit: int = 0
    parent: Id = b""
    entries: tuple[Entry, ...] = ()


class TaskRow(msgspec.Struct, frozen=True):
    """A task as the store keeps it. `goal` is its first 200 characters; all of it stands in the first entry.

    `lease_id` and `epoch` fence every append; `not_before_us` is when a queued or waiting task may be taken; `node`
    is who holds it or held it last (affinity). Higher `priority` is taken first.
    """

    id: Id
    tenant: str
    session: str
    agent: str
    agent_version: str
    goal: str
    state: State
    reason: str
    queue: str
    priority: int
    not_before_us: int
    node: Id
    lease_id: Id
    epoch: int
    incarnation: int
    last_seq: int
    parent: Id
    dedupe: str
    concurrency_key: str
    concurrency_limit: int
    created_us: int
    updated_us: int
