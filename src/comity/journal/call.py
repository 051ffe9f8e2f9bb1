"""The call: the one way in which an agent reaches a device, and how it ended.

A call is named within its task by (branch, kind, name, occurrence). A branch is one strand of the agent's own
concurrency: the root is the empty string, `1.2` the second strand that the first strand started. Occurrence counts
calls of one kind and name in one branch from 0. Clean-up calls of the kernel live in branches that start with `~`.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Any, Literal, NamedTuple

import msgspec

from comity.core.codec import Digest
from comity.core.errors import Retry
from comity.core.ids import Id
from comity.journal.budget import NO_COST, Cost
from comity.journal.segment import EMPTY_HEAD, Segment


class Kind(StrEnum):
    """The device that a call reaches."""

    TASK = "task"
    TOOL = "tool"
    MODEL = "model"
    TIMER = "timer"
    SIGNAL = "signal"
    HUMAN = "human"
    SPAWN = "spawn"
    CHILD = "child"
    NOW = "now"
    RANDOM = "random"
    DECISION = "decision"
    CONTINUE = "continue"
    WORLD = "world"

    @property
    def waits(self) -> bool:
        """Tell whether the call may last days without holding a worker."""
        return self in (Kind.TIMER, Kind.SIGNAL, Kind.HUMAN, Kind.CHILD)


class CallKey(NamedTuple):
    """What names a call within its task."""

    branch: str
    kind: str
    name: str
    occurrence: int


class Call(msgspec.Struct, frozen=True, array_like=True):
    """What an agent asks: `args` is canonical JSON.

    A model call's `args` hold `model`, `head` (hex), `tools` and `params`; its context is `base` (a head that the
    kernel knows, or the empty one) extended by `segments` (messages as canonical JSON), and must come out as that
    head. One that came in by the gateway also has `wire` (the name of its format) and `rest` (the request's other
    fields, as text); its segments are messages as the program wrote them.
    """

    branch: str
    kind: str
    name: str
    occurrence: int
    args: bytes
    base: Digest = EMPTY_HEAD
    segments: tuple[Segment, ...] = ()
    consumed: int = 0

    @property
    def key(self) -> CallKey:
        """Return what names this call within its task."""
        return CallKey(self.branch, self.kind, self.name, self.occurrence)


class Permit(msgspec.Struct, frozen=True, array_like=True):
    """The right to start one attempt of one intent, until `expires_s` on the machine's monotonic clock."""

    task: Id
    call: int
    attempt: int
    expires_s: float
    key: str


AttemptEnd = Literal["done", "failed", "unknown", "expired"]


class Attempt(msgspec.Struct, frozen=True, array_like=True):
    """How an attempt ended: `done`, `failed` (known not to have happened), `unknown`, or `expired` (never started).

    `value` is canonical JSON, `error` a sentence for the agent; `code` and `hint` say more where the device did.
    """

    end: AttemptEnd
    value: bytes = b"null"
    error: str = ""
    cost: Cost = NO_COST
    code: str = ""
    hint: str = ""


class Status(StrEnum):
    """How a call ended, as its agent is told."""

    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Delivered(msgspec.Struct, frozen=True, array_like=True):
    """An outcome as a brain gets it: canonical JSON or an error with what may be tried."""

    status: Status
    value: bytes = b"null"
    code: str = ""
    error: str = ""
    hint: str = ""
    retry: Retry = "never"


def idempotency_key(task: Id, round: int, key: CallKey, generation: int) -> str:
    """Return the key that each attempt of one generation of a call carries to its provider.

    `redo` keeps it; performing again after a person or a reconciliation said *did not happen* bumps the generation; a
    rethink is a new `round`.
    """
    text = "\0".join((key.branch, key.kind, key.name, str(key.occurrence), str(round), str(generation)))
    return hashlib.sha256(task + text.encode()).hexdigest()[:40]


class CallContext(msgspec.Struct, frozen=True):
    """What a tool that asks for it is told of the call that it performs."""

    task: str
    key: str
    attempt: int
    tool: str
    args: dict[str, Any] = {}


def label_of(key: CallKey) -> str:
    """Return how a call is named within its task."""
    return ":".join((key.branch, key.name, str(key.occurrence)))


def ticket_of(task: Id, key: CallKey, round: int) -> str:
    """Return the ticket by which an act is reserved for; `round` counts its task's rethinks."""
    return f"{task.hex()}/{label_of(key)}#{round}"
