"""What requests bring: bodies and queries, read strictly."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from comity.core.limits import NAME_CHARS_MAX
from comity.journal.spec import Deliberation, Divergence, Effect, Outside
from comity.journal.task import State

AGENT_NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,199}"
"""What an outside agent may be called: a regular expression."""
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARS_MAX)]
Label = Annotated[str, msgspec.Meta(max_length=NAME_CHARS_MAX)]
IdText = Annotated[
    str,
    msgspec.Meta(
        pattern="^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$",
        extra_json_schema={"format": "uuid"},
    ),
]
Pattern = Annotated[str, msgspec.Meta(max_length=1_000, extra_json_schema={"format": "regex"})]
"""A regular expression."""
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Priority = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
CallNumber = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
PositiveSeconds = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
Dollars = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
PageSize = Annotated[int, msgspec.Meta(ge=1, le=1_000)]


class CallLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How many calls of each effect class, and of models, a task may perform."""

    pure: Count | None = None
    read: Count | None = None
    idempotent: Count | None = None
    reconcilable: Count | None = None
    reversible: Count | None = None
    irreversible: Count | None = None
    model: Count | None = None


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Limits of a task; what is left out has none, or keeps the one that it has."""

    tokens: Count | None = None
    usd: Dollars | None = None
    calls: CallLimits = CallLimits()
    wall_s: PositiveSeconds | None = None
    context_tokens: Count | None = None


class NewTaskBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A task to create. `tools` narrows the agent's, `limit_key` is one of `[limits.concurrency]`."""

    agent: Name
    goal: Any
    session: Label = ""
    tenant: Name = "default"
    budget: Limits | None = None
    tools: tuple[Name, ...] | None = None
    model: Label = ""
    queue: Label = ""
    priority: Priority = 0
    delay_s: Seconds = 0.0
    limit_key: Label = ""


class ResumeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a parked task goes on: the limits that are given are set anew."""

    budget: Limits = Limits()


class RetryBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a failed task goes on: its last call once more, or its model asked once more."""

    how: Literal["redo", "rethink"]


class ForkBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a fork begins, and what it changes; its effects are performed only where it `live`s.

    Without `at`, one with another goal begins at entry 1, any other at the last before the task's end.
    """

    at: CallNumber | None = None
    goal: Any = msgspec.UNSET
    model: Label = ""
    live: bool = False


class SignalBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A signal to a task; with a `key` it is sent once, however often it is asked for."""

    name: Name
    value: Any = None
    key: Label = ""


class ResolveBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a call in doubt ended; `result` is what it returned, where it happened."""

    call: CallNumber
    verdict: Literal["happened", "not_happened", "again"]
    result: Any = None
    note: Annotated[str, msgspec.Meta(max_length=10_000)] = ""


class AdoptBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose program begins: `renew` takes another in the place of the one that the task has."""

    renew: bool = False


class FinishBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a program ended: with a `result`, or, where `error` says why, without one.

    `incarnation` tells which program: one that was replaced ends nothing. 0 is whichever is the task's.
    """

    result: Any = None
    error: Annotated[str, msgspec.Meta(max_length=10_000)] = ""
    incarnation: Annotated[int, msgspec.Meta(ge=0)] = 0


class AnswerBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answer to a question."""

    answer: Any


class StopBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to stop: `task:ID`, `agent:NAME`, `session:ID`, `tenant:NAME` or `fleet`."""

    scope: Annotated[str, msgspec.Meta(pattern="^(fleet|(agent|session|tenant):.+|task:[0-9a-fA-F-]{36})$")]


class OutsideBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How an outside program is recalled and heard; see `[agents.NAME.outside]` of the configuration."""

    volatile_text: tuple[Pattern, ...] = ()
    volatile_fields: tuple[Name, ...] = ()
    is_positional: bool = False
    retry_join_s: Seconds = Outside().retry_join_s
    stalled_after_s: PositiveSeconds = Outside().stalled_after_s
    hosted_tools: tuple[Name, ...] = ()
    deliberation: Deliberation = "off"
    deliberation_for: tuple[Effect, ...] = ()


class AgentBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An outside program as an agent: `tools` and `models` are names and patterns (`search.*`) of what it may use."""

    version: Label = ""
    description: Annotated[str, msgspec.Meta(max_length=10_000)] = ""
    tools: tuple[Name, ...] = ("*",)
    models: tuple[Name, ...] = ("*",)
    agents: tuple[Name, ...] = ()
    on_divergence: Divergence = "park"
    queue: Name = "default"
    concurrency_limit: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    outside: OutsideBody = OutsideBody()


class TasksQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which tasks to list, newest first; `before` is the last id of the page before.

    `part` is how an id begins or ends, without hyphens: so people name tasks.
    """

    state: tuple[State, ...] = ()
    agent: str = ""
    session: str = ""
    tenant: str = ""
    parent: IdText | None = None
    before: IdText | None = None
    part: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{4,32}$")] | None = None
    limit: PageSize = 100


class EntriesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"start": "from"}):
    """Which entries of a journal: from which number on, and how many."""

    start: CallNumber = 1
    limit: PageSize = 100


class ForkQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a fork would begin, as for `ForkBody`, and whether it would have another goal."""

    at: CallNumber | None = None
    has_goal: bool = False


class DiffQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The other task; a fork's origin where it is left out."""

    other: IdText | None = None


class SessionsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose sessions; everybody's where it is left out."""

    tenant: str = ""


class SessionQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose session, and how many of its last messages; 0 is all."""

    tenant: Name = "default"
    last: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
