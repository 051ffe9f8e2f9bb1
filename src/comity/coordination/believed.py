"""What is believed of a field, and what acts do to it: values, versions, landed acts, steps within windows.

Values that can be in no cycle are kept from the garbage collector (`gc=False`): it would look at all of them in vain.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from typing import Literal, NamedTuple

import msgspec

from comity.coordination.handling import NUMBERS, as_set
from comity.journal.world import Change, FieldValue, Observation, Op, Scalar

LANDED_MAX = 64
"""So many landed acts of a field are remembered for observations that come late; with more, such a one is dropped."""
Phase = Literal["held", "meant", "doubt", "done"]


class Effect(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What an act does to one field, `lag_us` after it happened (more than 0: it follows by a dependency).

    A `set` of None says that the field is not known from then on.
    """

    field: str
    op: Op
    value: Scalar | tuple[Scalar, ...]
    lag_us: int = 0


class Flight(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An act in flight: its reservation. `held` is tentative, `meant` durable; `done` waits for its settle time.

    `key` names the act (tool and canonical arguments), so that the same act by somebody else is seen.
    """

    ticket: str
    call: str
    task: str
    actor: str
    tool: str
    key: str
    effects: tuple[Effect, ...]
    changes: tuple[Change, ...]
    settle_us: int
    from_us: int
    phase: Phase = "held"
    done_us: int = 0
    plan: str = ""
    observation: str = ""

    @property
    def settled_us(self) -> int:
        """Return when it has settled; 0 while its outcome is not known."""
        return self.done_us + self.settle_us if self.phase == "done" else 0


class WindowStep(NamedTuple):
    """A step within windows: `by` how much. It happened by `at_us`, and at most `span_us` earlier."""

    at_us: int
    by: float
    span_us: int = 0


class FieldRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is believed of a field, as it is stored.

    `observed_us` is 0 for a value that nobody observed, `is_proposed` says that whoever said it may not observe it.
    `steps` are changes of it within the windows of invariants, oldest first. `until_us` is when the observation ended,
    `landed_us` when the last act that became part of the value had settled.
    """

    value: FieldValue
    version: int = 0
    observed_us: int = 0
    by: str = ""
    is_proposed: bool = True
    observation: str = ""
    steps: tuple[WindowStep, ...] = ()
    proposed: FieldValue = None
    until_us: int = 0
    landed_us: int = 0


class Landed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An act that became part of a value: it happened from `from_us` to `settled_us`."""

    from_us: int
    settled_us: int
    effect: Effect


class FieldState(msgspec.Struct, gc=False):
    """What is believed of a field now; names as in `FieldRow`. An observation counts for `max_age_us` (None: ever)."""

    value: FieldValue
    version: int = 0
    observed_us: int = 0
    by: str = ""
    is_proposed: bool = True
    observation: str = ""
    steps: list[WindowStep] = msgspec.field(default_factory=list)
    proposed: FieldValue = None
    until_us: int = 0
    landed_us: int = 0
    landed: list[Landed] = msgspec.field(default_factory=list)
    max_age_us: int | None = None

    def row(self) -> FieldRow:
        """Return it as it is stored."""
        return FieldRow(
            self.value,
            self.version,
            self.observed_us,
            self.by,
            self.is_proposed,
            self.observation,
            tuple(self.steps),
            self.proposed,
            self.until_us,
            self.landed_us,
        )

    @classmethod
    def of(cls, row: FieldRow) -> FieldState:
        """Return what was stored."""
        return cls(
            row.value,
            row.version,
            row.observed_us,
            row.by,
            row.is_proposed,
            row.observation,
            list(row.steps),
            row.proposed,
            row.until_us,
            row.landed_us,
        )

    def at(self, now_us: int) -> FieldValue:
        """Return its value, None where that was observed too long ago."""
        if self.max_age_us is not None and self.observed_us + self.max_age_us < now_us:
            return None
        return self.value

    def observe(self, seen: Observation, value: FieldValue, epsilon: float) -> bool:
        """Take an observation, with what landed since on top; tell whether it could be taken.

        It cannot where a newer one is known, or where an act has landed of which nobody knows whether it was seen.
        """
        until_us = max(seen.at_us, seen.until_us)
        later = [item for item in self.landed if item.settled_us >= seen.at_us]
        is_forgotten = self.landed_us >= seen.at_us and (not later or len(later) == LANDED_MAX)
        if seen.at_us <= self.observed_us or is_forgotten or any(item.from_us <= until_us for item in later):
            return False
        for item in later:
            value = applied(value, item.effect)
        if not is_same(self.value, value, epsilon):
            self.version += 1
        self.value, self.observed_us, self.by = value, seen.at_us, seen.by
        self.is_proposed, self.observation, self.until_us = False, seen.id, until_us
        return True

    def land(self, flight: Flight, effect: Effect) -> bool:
        """Make an act part of the value; False where the value was seen after it had settled, and has it already."""
        if self.has(flight):
            return False
        self.value = applied(self.value, effect)
        self.version += 1
        self.landed.append(Landed(flight.from_us, flight.settled_us, effect))
        del self.landed[:-LANDED_MAX]
        self.landed_us = max(self.landed_us, flight.settled_us)
        return True

    def stepped(self, step: WindowStep, since_us: int) -> None:
        """Remember a step for windows; those before `since_us` are in none any more."""
        insort(self.steps, step)
        self.forget_steps(since_us)

    def forget_steps(self, until_us: int) -> bool:
        """Forget the steps that happened by then; tell whether there were any."""
        if not self.steps or self.steps[0].at_us > until_us:
            return False
        self.steps = [step for step in self.steps if step.at_us > until_us]
        return True

    def was_seen_since(self, flight: Flight) -> bool:
        """Tell whether the field was seen since an act began: its value may have all or some of the act already."""
        return self.until_us >= flight.from_us

    def has(self, flight: Flight) -> bool:
        """Tell whether the field was seen after an act had settled: its value has it already."""
        return flight.phase == "done" and self.observed_us > flight.settled_us


def applied(value: FieldValue, effect: Effect) -> FieldValue:
    """Return a field's value after an effect; an unknown value stays unknown under a step."""
    if effect.op == "set":
        return effect.value
    if effect.op == "add":
        if isinstance(value, NUMBERS) and isinstance(effect.value, NUMBERS):
            return value + effect.value
        return None
    if not isinstance(value, tuple):
        return None
    given = set(effect.value) if isinstance(effect.value, tuple) else {effect.value}
    return as_set(set(value) | given if effect.op == "append" else set(value) - given)


def commute(one: Effect, other: Effect) -> bool:
    """Tell whether two effects on a field come to the same in either order."""
    if "set" in (one.op, other.op):
        return one.op == other.op and one.value == other.value
    if one.op == other.op or "add" in (one.op, other.op):
        return one.op == other.op
    return not _elements(one) & _elements(other)


def takes_back(effect: Effect, flight: Flight) -> bool:
    """Tell whether an effect takes back what a flight did to its field, and does nothing else."""
    made = [item for item in flight.effects if item.field == effect.field]
    if len(made) != 1:
        return False
    (done,) = made
    if effect.op == "set":
        return any(change.field == effect.field and change.before == effect.value for change in flight.changes)
    if effect.op == "add":
        is_step = isinstance(effect.value, int | float) and isinstance(done.value, int | float)
        return is_step and done.op == "add" and effect.value == -done.value  # type: ignore[operator]
    return {effect.op, done.op} == {"append", "remove"} and _elements(effect) == _elements(done)


def step_of(effect: Effect) -> float:
    """Return by how much an effect counts in a window: its step; 1 for anything that is no step."""
    if effect.op == "add" and isinstance(effect.value, NUMBERS):
        return float(effect.value)
    return 1.0


def is_same(left: FieldValue, right: FieldValue, epsilon: float) -> bool:
    """Tell whether two values are the same; numbers may differ by `epsilon`."""
    if isinstance(left, NUMBERS) and isinstance(right, NUMBERS):
        return abs(left - right) <= epsilon
    return left == right


def _elements(effect: Effect) -> set[Scalar]:
    return set(effect.value) if isinstance(effect.value, tuple) else {effect.value}


def fields_of(effects: Iterable[Effect]) -> tuple[str, ...]:
    """Return the fields that effects are on, each once."""
    return tuple(dict.fromkeys(effect.field for effect in effects))
