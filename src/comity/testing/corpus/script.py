"""A script: what happens when, written in the order of the story, played in the order of time.

A story says what is done at which second; what was there before, which version is written and what a decision had
read follows when the script is played. Nothing in here knows how harm is detected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from comity.core.entropy import Generator, generator
from comity.journal.world import (
    Acted,
    Change,
    Claim,
    Claimed,
    ClaimMode,
    FieldValue,
    Measured,
    Op,
    Published,
    Rank,
    Read,
    Scalar,
    Seen,
    Settled,
    Turned,
    WorldEvent,
)

SECOND_US = 1_000_000
START_US = 1_700_000_000 * SECOND_US
LOST, TWICE, LATE = 0.02, 0.01, 0.02
"""Shares of the events that are lost (observations, outcomes), told twice, told after the next."""


class FieldFacts(msgspec.Struct, frozen=True):
    """What the world file would say of a field; `reaches` are the fields that it moves, with their gains."""

    settle_s: float
    epsilon: float = 0.0
    domain: str = ""
    pool: int = 0
    reaches: dict[str, float] = {}


class Rule(msgspec.Struct, frozen=True):
    """An invariant: an expression over names, each of a field."""

    name: str
    holds: str
    let: dict[str, str]


class Setting(msgspec.Struct, frozen=True):
    """The world of a trace; `premises` are expressions over `value`, by tool and field."""

    fields: dict[str, FieldFacts]
    rules: tuple[Rule, ...] = ()
    premises: dict[tuple[str, str], str] = {}


class Trace(msgspec.Struct, frozen=True):
    """What happened, with its label.

    In harm, `first_index` is the event from which a careful observer could tell, `harm_index` the one with which the
    harm is done, `culprits` those whose acts made it. In a benign twin there are none, and both are -1.
    """

    family: str
    variant: str
    seed: int
    is_harm: bool
    setting: Setting
    events: tuple[WorldEvent, ...]
    culprits: tuple[str, ...] = ()
    first_index: int = -1
    harm_index: int = -1


class Deed(msgspec.Struct, frozen=True):
    """An act of a story: who does what to which field. `reads` are fields with the second at which they were read."""

    actor: str
    tool: str
    field: str
    value: Scalar
    op: Op = "set"
    reads: tuple[tuple[str, float], ...] = ()
    plan: str = ""
    claim: str = ""
    caused_by: str = ""
    observation: str = ""
    is_destructive: bool = False


class _Draft(msgspec.Struct):
    """An event that is still to be made, when its time has come."""

    at_us: int
    number: int
    make: Callable[[int], WorldEvent]


class Script:
    """Collects what happens and plays it."""

    def __init__(self, family: str, variant: str, seed: int) -> None:
        self.family = family
        self.variant = variant
        self.seed = seed
        self.chance: Generator = generator(f"{family} {variant} {seed}".encode())
        self._facts: dict[str, FieldFacts] = {}
        self._rules: list[Rule] = []
        self._premises: dict[tuple[str, str], str] = {}
        self._drafts: list[_Draft] = []
        self._values: dict[str, FieldValue] = {}
        # field → (since when, version), oldest first
        self._versions: dict[str, list[tuple[int, int]]] = {}
        self._first = self._harm = -1

    # ---- the world

    def field(self, name: str, initial: FieldValue, facts: FieldFacts) -> str:
        """Put a field there; return its name."""
        self._facts[name] = facts
        self._values[name] = initial
        self._versions[name] = [(0, 1)]
        return name

    def rule(self, name: str, holds: str, **let: str) -> None:
        """Say what must hold."""
        self._rules.append(Rule(name, holds, let))

    def premise(self, tool: str, field: str, holds: str) -> None:
        """Say what a tool requires of a field."""
        self._premises[tool, field] = holds

    # ---- chance

    def between(self, low: float, high: float) -> float:
        """Return a number between the two."""
        return self.chance.uniform(low, high)

    def count(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`."""
        return self.chance.randint(low, high)

    def is_so(self, share: float) -> bool:
        """Return True in that share of cases."""
        return self.chance.random() < share

    # ---- what happens; each returns its number, which labels refer to

    def act(self, at_s: float, deed: Deed, *, end: Literal["happened", "not_happened"] = "happened") -> str:
        """Let an actor act; its outcome follows. Return the call."""
        call = f"{deed.actor}-{len(self._drafts)}/{deed.tool}"
        self._draft(at_s, lambda at_us: self._acted(at_us, call, deed))
        self._draft(at_s + self.between(0.2, 3.0), lambda at_us: Settled(at_us, call, end))
        return call

    def see(self, at_s: float, field: str, value: FieldValue = None, *, noise: float = 0.0, id: str = "") -> int:
        """Let the monitor see a field: `value`, or what is there, with noise on numbers."""
        drawn = self.chance.gauss(0.0, noise) if noise else 0.0
        return self._draft(at_s, lambda at_us: self._seen(at_us, field, value, drawn, id))

    def turn(self, at_s: float, deed: Deed, call: str, n: int, rule: str = "capacity") -> int:
        """Let a call be put off for the n-th time."""
        fields = (deed.field,)
        return self._draft(
            at_s, lambda at_us: Turned(at_us, call, deed.actor, deed.tool, "defer", rule, fields=fields, n=n)
        )

    def claim(self, span_s: tuple[float, float], owner: str, scope: str, mode: ClaimMode, rank: Rank = "agent") -> str:
        """Let somebody claim a scope from one second to another; return the claim's id."""
        name = f"claim-{self.seed}-{len(self._drafts)}"
        since_us, until_us = (START_US + int(second * SECOND_US) for second in span_s)
        claim = Claim(name, scope, mode, owner, since_us, until_us, rank, is_change=rank != "agent")
        self._draft(span_s[0], lambda at_us: Claimed(at_us, claim))
        self._draft(span_s[1], lambda at_us: Claimed(at_us, claim, is_over=True))
        return name

    def publish(self, at_s: float, actor: str, artefact: str, size: float, duplicates: int = 0) -> int:
        """Let an artefact be published."""
        call = f"{actor}-{len(self._drafts)}/publish"
        return self._draft(at_s, lambda at_us: Published(at_us, call, actor, artefact, size, duplicates))

    def measure(self, at_s: float, actor: str, goal: str, value: float) -> int:
        """Let a goal's metric be measured."""
        return self._draft(at_s, lambda at_us: Measured(at_us, actor, goal, value))

    def number_of(self, call: str, *, outcome: bool = False) -> int:
        """Return the number of an act, or of its outcome."""
        return int(call.rpartition("/")[0].rpartition("-")[2]) + (1 if outcome else 0)

    def label(self, first: int, harm: int) -> None:
        """Say with which events harm can be told, and is done."""
        self._first, self._harm = first, harm

    # ---- playing it

    def play(self, culprits: Sequence[str] = ()) -> Trace:
        """Return the trace: harm where it was labelled, else a benign twin."""
        drafts = sorted(self._drafts, key=lambda draft: (draft.at_us, draft.number))
        told = [(draft.number, draft.make(draft.at_us)) for draft in drafts]
        told = self._as_told(told)
        # What is told twice is labelled by the first time.
        places = {number: place for place, (number, _) in reversed(list(enumerate(told)))}
        events = tuple(event for _, event in told)
        is_harm = self._harm >= 0
        assert not is_harm or places[self._first] <= places[self._harm], "harm is done before it can be told"
        return Trace(
            self.family,
            self.variant,
            self.seed,
            is_harm,
            Setting(self._facts, tuple(self._rules), self._premises),
            events,
            tuple(sorted(set(culprits))),
            places[self._first] if is_harm else -1,
            places[self._harm] if is_harm else -1,
        )

    def _as_told(self, happened: list[tuple[int, WorldEvent]]) -> list[tuple[int, WorldEvent]]:
        """Return what is told of what happened: observations and outcomes get lost, some come twice, some late."""
        told: list[tuple[int, WorldEvent]] = []
        for number, event in happened:
            is_labelled = number in {self._first, self._harm}
            if isinstance(event, Seen | Settled | Measured) and not is_labelled and self.is_so(LOST):
                continue
            told.append((number, event))
            if self.is_so(TWICE):
                told.append((number, event))
            if len(told) > 1 and not is_labelled and told[-2][0] not in {self._first, self._harm} and self.is_so(LATE):
                told[-1], told[-2] = told[-2], told[-1]
        return told

    def _draft(self, at_s: float, make: Callable[[int], WorldEvent]) -> int:
        number = len(self._drafts)
        self._drafts.append(_Draft(START_US + int(at_s * SECOND_US), number, make))
        return number

    def _acted(self, at_us: int, call: str, deed: Deed) -> Acted:
        before = self._values.get(deed.field)
        value = deed.value
        if deed.op == "remove" and isinstance(value, int | float):
            value = -value
        after = _added(before, value) if deed.op in {"add", "remove"} else value
        reads = tuple(Read(field, self._version_at(field, at_s)) for field, at_s in deed.reads)
        facts = self._facts[deed.field]
        change = Change(
            deed.field, deed.op, value, before, after, self._write(at_us, deed.field, after), facts.settle_s
        )
        return Acted(
            at_us,
            call,
            deed.actor,
            deed.tool,
            (change,),
            reads,
            deed.plan,
            deed.claim,
            deed.caused_by,
            deed.observation,
            (facts.domain,) if facts.domain else (),
            deed.is_destructive,
            f"task-{deed.actor}",
        )

    def _seen(self, at_us: int, field: str, value: FieldValue, drawn: float, id: str) -> Seen:
        there = self._values.get(field)
        if value is not None and value != there:
            self._write(at_us, field, value)
            there = value
        shown = there
        if drawn and isinstance(there, int | float) and not isinstance(there, bool):
            shown = round(there * (1.0 + drawn), 4)
        return Seen(at_us, field, shown, self._versions[field][-1][1], "monitor", id)

    def _write(self, at_us: int, field: str, value: FieldValue) -> int:
        self._values[field] = value
        version = self._versions[field][-1][1] + 1
        self._versions[field].append((at_us, version))
        return version

    def _version_at(self, field: str, at_s: float) -> int:
        at_us = START_US + int(at_s * SECOND_US)
        return max(version for since_us, version in self._versions[field] if since_us <= at_us)


def _added(before: FieldValue, step: Scalar) -> FieldValue:
    assert isinstance(before, int | float), f"`{before}` is no number to add to"
    assert isinstance(step, int | float), f"`{step}` is no number to add"
    return before + step


Story = Callable[[Script], Sequence[str]]
"""Writes a script; returns the culprits, none for a benign twin."""

Stories = Mapping[str, Story]
"""Stories by their variant."""
