"""The shared world as values: what tools, agents and operators say of it, and what happens in it.

A *field* is named `RESOURCE.FIELD` (`db/main.instances`), a resource `KIND/NAME…`. A *template* is such a name with
`{argument.path}` in it; a *pattern* one with `*`. Values are numbers, booleans, text, and sets of these.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Scalar = bool | int | float | str | None
FieldValue = Scalar | tuple[Scalar, ...]
"""A field's value; a set is a sorted tuple."""

Op = Literal["set", "add", "remove", "append"]
ClaimMode = Literal["exclusive", "shared", "up-only", "down-only", "hands-off", "leave-as-is"]
Rank = Literal["person", "operator", "agent"]


class Touch(msgspec.Struct, frozen=True, omit_defaults=True):
    """A change that a tool makes to the world, as it is declared.

    `field` is a template over the call's arguments, `value` an expression over them (`count`, `-1`, `'up'`). `add` and
    `remove` move a number up and down, `append` and `remove` change a set. The change shows within `settle_s` of the
    outcome (None: what the field says).
    """

    field: str
    op: Op = "set"
    value: str = "value"
    settle_s: float | None = None


class Premise(msgspec.Struct, frozen=True, omit_defaults=True):
    """What must hold of a field at the moment of acting: `holds` is an expression over `value` and the arguments.

    An observation older than `max_age_s` is as good as none (None: what the field says).
    """

    field: str
    holds: str
    max_age_s: float | None = None


class Change(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A touch with its arguments in it: what a call is about to do, or did, to one field.

    `value` is the new value (`set`), the signed step (`add`, also for `remove` of a number) or the element. `before`
    is what was believed when it was admitted, `after` what was expected; `version` is the one that it writes.
    """

    field: str
    op: Op
    value: Scalar | tuple[Scalar, ...]
    before: FieldValue = None
    after: FieldValue = None
    version: int = 0
    settle_s: float = 0.0


class Read(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A field that a decision rested on, and the version that it saw."""

    field: str
    version: int


class Touched(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What admission let a call do: kept in its intent, so that reservations, detectors and the map read the journal.

    `components` are the parts of the world that judged it, with their epochs; `ticket` names its reservation. `plan`
    is the plan that it is a step of, `claim` the claim under which it acts; `caused_by` names the call or event that
    made it happen (`TASK/CALL`), `observation` the newest that its task had read. `would` lists what rules in *observe*
    would have said (`RULE: VERDICT`). An *undeclared* call matched a kind's scope without saying what it touches.
    """

    components: tuple[tuple[str, int], ...] = ()
    ticket: str = ""
    changes: tuple[Change, ...] = ()
    reads: tuple[Read, ...] = ()
    plan: str = ""
    claim: str = ""
    caused_by: str = ""
    would: tuple[str, ...] = ()
    is_undeclared: bool = False
    observation: str = ""


class Claim(msgspec.Struct, frozen=True, omit_defaults=True):
    """A declared intent over a scope (a field pattern), until `until_us`. `reason` goes to people alone.

    `owner` is `agent:NAME` (`agent:TENANT/NAME`), `operator:WHO` or `person:WHO`; `task` is the task of an agent that
    claims. `is_change` says that it announces a change outside Comity, past or under way, which correctors must leave
    alone.
    """

    id: str
    scope: str
    mode: ClaimMode
    owner: str
    since_us: int
    until_us: int
    rank: Rank = "agent"
    reason: str = ""
    task: str = ""
    is_change: bool = False


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """A set of steps that an authorised principal issued: its steps are no herd and no oscillation, within reason.

    `scope` is a field pattern, `direction` which way numbers may go under it; at most `steps` acts count as its own.
    """

    id: str
    scope: str
    issued_by: str
    until_us: int
    steps: int
    direction: Literal["up", "down", "any"] = "any"
    grant: str = ""


class Observation(msgspec.Struct, frozen=True, omit_defaults=True):
    """A field's value as `by` saw it at `at_us`. Where `by` may not observe the field it is only proposed.

    What took a while to read was true at some moment from `at_us` (it began) to `until_us` (it ended; 0: at once).
    """

    field: str
    value: FieldValue
    at_us: int
    by: str = ""
    id: str = ""
    until_us: int = 0


# What happens in the world, in the order in which it does: what detectors and the causal map are fed


class Acted(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A call with touches was let through. `actor` is its agent, `call` its name (`TASK/CALL`).

    `observation` is the one that its decision rested on, `domains` the failure domains of what it touches.
    """

    at_us: int
    call: str
    actor: str
    tool: str
    changes: tuple[Change, ...] = ()
    reads: tuple[Read, ...] = ()
    plan: str = ""
    claim: str = ""
    caused_by: str = ""
    observation: str = ""
    domains: tuple[str, ...] = ()
    is_destructive: bool = False
    task: str = ""


class Settled(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """What an act came to: it happened, did not, or nobody knows."""

    at_us: int
    call: str
    end: Literal["happened", "not_happened", "unknown"]


class Seen(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A field was observed, by `by`; `id` names the observation."""

    at_us: int
    field: str
    value: FieldValue
    version: int = 0
    by: str = ""
    id: str = ""


class Turned(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A call was turned away: trimmed, deferred for the n-th time, rejected, escalated, or found redundant."""

    at_us: int
    call: str
    actor: str
    tool: str
    verdict: Literal["trim", "defer", "reject", "escalate", "redundant"]
    rule: str
    fields: tuple[str, ...] = ()
    n: int = 0


class Claimed(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A claim began, or ended (`is_over`)."""

    at_us: int
    claim: Claim
    is_over: bool = False


class Published(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """An artefact (a configuration file, say) was produced: its size, how many of its entries repeat others."""

    at_us: int
    call: str
    actor: str
    artefact: str
    size: float
    duplicates: int = 0


class Measured(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A goal's metric, as `actor` pursues it; larger is better."""

    at_us: int
    actor: str
    goal: str
    value: float


WorldEvent = Acted | Settled | Seen | Turned | Claimed | Published | Measured
