"""The picture: what is believed of the world now. Values and versions, what is in flight, claims, plans.

A flight is an act that was let through: it may have happened or not until its outcome is known, and is seen or not
until its settle time is over. Then it becomes part of the value, or of none. What was never observed is *proposed*.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Literal

import msgspec

from comity.coordination.world import World
from comity.journal.world import Change, Claim, FieldValue, Observation, Op, Plan, Scalar

STEPS_MAX = 10_000
"""So many steps of a field are remembered for windows; older ones are counted as of the oldest's time."""
Phase = Literal["held", "meant", "doubt", "done"]


class Effect(msgspec.Struct, frozen=True, array_like=True):
    """What an act does to one field, `lag_us` after it happened (more than 0: it follows by a dependency)."""

    field: str
    op: Op
    value: Scalar | tuple[Scalar, ...]
    lag_us: int = 0


class Flight(msgspec.Struct, frozen=True, array_like=True):
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


class FieldRow(msgspec.Struct, frozen=True, array_like=True):
    """What is believed of a field, as it is stored.

    `observed_us` is 0 for a value that nobody observed, `is_proposed` says that whoever said it may not observe it.
    `steps` are changes of it within the windows of invariants: (when, by how much).
    """

    value: FieldValue
    version: int = 0
    observed_us: int = 0
    by: str = ""
    is_proposed: bool = True
    observation: str = ""
    steps: tuple[tuple[int, float], ...] = ()
    proposed: FieldValue = None


@dataclass(slots=True)
class FieldState:
    """What is believed of a field now; names as in `FieldRow`."""

    value: FieldValue
    version: int = 0
    observed_us: int = 0
    by: str = ""
    is_proposed: bool = True
    observation: str = ""
    steps: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=STEPS_MAX))
    proposed: FieldValue = None

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
        )


class Picture:
    """The mutable state that admission judges by. It knows no clock: every moment is given."""

    def __init__(self, world: World) -> None:
        """Begin with what the world file proposes."""
        self.world = world
        self.fields: dict[str, FieldState] = {}
        self.flights: dict[str, Flight] = {}
        self.flights_by_field: dict[str, dict[str, Flight]] = {}
        self.claims: dict[str, Claim] = {}
        self.plans: dict[str, Plan] = {}
        self.plan_steps: dict[str, int] = {}
        self.due: list[tuple[int, str]] = []
        self.over: set[str] = set()
        for name in world.named_fields():
            self.state(name)

    # Fields

    def state(self, name: str) -> FieldState:
        """Return what is believed of a field, which appears at the first look."""
        found = self.fields.get(name)
        if found is None:
            found = self.fields[name] = FieldState(self.world.initial(name))
        return found

    def known(self, name: str, now_us: int, max_age_s: float | None = None) -> FieldValue:
        """Return a field's value; None where it is not known, or was observed too long ago."""
        state = self.state(name)
        section = self.world.section(name)
        limit_s = max_age_s if max_age_s is not None else None if section is None else section.max_age_s
        if limit_s is not None and state.observed_us + limit_s * 1e6 < now_us:
            return None
        return state.value

    def observe(self, seen: Observation, *, may_observe: bool) -> bool:
        """Take an observation; tell whether it changes anything. Older ones than what is known change nothing.

        What somebody says who may not observe the field is kept beside, as proposed.
        """
        state = self.state(seen.field)
        if not may_observe:
            state.proposed = seen.value
            return False
        if seen.at_us <= state.observed_us:
            return False
        section = self.world.section(seen.field)
        if not _same(state.value, seen.value, section.epsilon if section is not None else 0.0):
            state.version += 1
        state.value, state.observed_us, state.by = seen.value, seen.at_us, seen.by
        state.is_proposed, state.observation = False, seen.id
        return True

    # Flights

    def hold(self, flight: Flight) -> None:
        """Count an act from now."""
        self.flights[flight.ticket] = flight
        if flight.phase == "done":
            heapq.heappush(self.due, (flight.settled_us, flight.ticket))
        for effect in flight.effects:
            self.flights_by_field.setdefault(effect.field, {})[flight.ticket] = flight

    def move(self, ticket: str, phase: Phase, done_us: int = 0) -> Flight | None:
        """Let an act in flight be meant, in doubt or done."""
        found = self.flights.get(ticket)
        if found is None:
            return None
        moved = msgspec.structs.replace(found, phase=phase, done_us=done_us)
        self.hold(moved)
        return moved

    def drop(self, ticket: str) -> Flight | None:
        """Forget an act that did not happen, or has become part of the values."""
        found = self.flights.pop(ticket, None)
        if found is not None:
            for effect in found.effects:
                there = self.flights_by_field.get(effect.field, {})
                there.pop(ticket, None)
                if not there:
                    self.flights_by_field.pop(effect.field, None)
        return found

    def matured(self, now_us: int) -> list[Flight]:
        """Return the acts whose settle time is over and whose effect on each field is certain, oldest first.

        One is uncertain while its field was last seen between its beginning and its settling: nobody knows how much of
        it was seen then.
        """
        while self.due and self.due[0][0] <= now_us:
            self.over.add(heapq.heappop(self.due)[1])
        found = [flight for ticket in self.over if (flight := self.flights.get(ticket)) is not None]
        self.over = {flight.ticket for flight in found}
        certain = [flight for flight in found if all(self._is_certain(flight, effect) for effect in flight.effects)]
        return sorted(certain, key=lambda flight: (flight.done_us, flight.ticket))

    def land(self, flight: Flight) -> list[str]:
        """Make an act that happened part of the values; return the fields whose rows that changed.

        A field that was observed after it had settled shows it already.
        """
        changed: list[str] = []
        for effect in flight.effects:
            state = self.state(effect.field)
            if state.observed_us < flight.settled_us:
                state.value = applied(state.value, effect)
                state.version += 1
                changed.append(effect.field)
            if not effect.lag_us:
                state.steps.append((flight.done_us, step_of(effect)))
                changed.append(effect.field)
        self.drop(flight.ticket)
        return list(dict.fromkeys(changed))

    def on_field(self, name: str) -> Iterable[Flight]:
        """Return what is in flight on a field."""
        return self.flights_by_field.get(name, {}).values()

    def _is_certain(self, flight: Flight, effect: Effect) -> bool:
        is_unclear = flight.from_us < self.state(effect.field).observed_us < flight.settled_us
        return not is_unclear or effect.op == "set"

    # Claims

    def claims_over(self, name: str, now_us: int) -> Iterator[Claim]:
        """Yield the claims in force over a field, oldest first."""
        for claim in sorted(self.claims.values(), key=lambda item: (item.since_us, item.id)):
            if claim.since_us <= now_us < claim.until_us and covers(claim.scope, name):
                yield claim

    # Whole

    def copy(self) -> Picture:
        """Return a picture of its own that starts like this one."""
        made = Picture.__new__(Picture)
        made.world = self.world
        made.fields = {
            name: replace(state, steps=deque(state.steps, maxlen=STEPS_MAX)) for name, state in self.fields.items()
        }
        made.flights = dict(self.flights)
        made.flights_by_field = {name: dict(there) for name, there in self.flights_by_field.items()}
        made.claims, made.plans, made.plan_steps = dict(self.claims), dict(self.plans), dict(self.plan_steps)
        made.due, made.over = list(self.due), set(self.over)
        return made

    def restore(self, name: str, row: FieldRow) -> None:
        """Take a field as it was stored."""
        self.fields[name] = FieldState(
            row.value,
            row.version,
            row.observed_us,
            row.by,
            row.is_proposed,
            row.observation,
            deque(row.steps, maxlen=STEPS_MAX),
            row.proposed,
        )


def covers(scope: str, name: str) -> bool:
    """Tell whether a scope (a resource, a field, or a pattern with `*`) covers a field."""
    return scope == name or name.startswith(f"{scope}.") or fnmatchcase(name, scope)


def applied(value: FieldValue, effect: Effect) -> FieldValue:
    """Return a field's value after an effect; an unknown number stays unknown under a step."""
    if effect.op == "set":
        return effect.value
    if effect.op == "add":
        if isinstance(value, int | float) and isinstance(effect.value, int | float):
            return value + effect.value
        return None
    if not isinstance(value, tuple):
        return None
    there = set(value)
    given = set(effect.value) if isinstance(effect.value, tuple) else {effect.value}
    made = there | given if effect.op == "append" else there - given
    return tuple(sorted(made, key=lambda item: (type(item).__name__, item)))


def step_of(effect: Effect) -> float:
    """Return by how much an effect counts in a window: its step; 1 for anything that is no step."""
    if effect.op == "add" and isinstance(effect.value, int | float):
        return float(effect.value)
    return 1.0


def _same(left: FieldValue, right: FieldValue, epsilon: float) -> bool:
    if isinstance(left, int | float) and isinstance(right, int | float):
        return abs(left - right) <= epsilon
    return left == right
