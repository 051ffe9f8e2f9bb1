"""The picture: what is believed of the world now. Values and versions, what is in flight, claims, plans.

A flight is an act that was let through: it may have happened or not until its outcome is known, and is seen or not
until its settle time is over. Then it becomes part of the value, or of none. What was never observed is *proposed*.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

import msgspec

from comity.coordination.believed import (
    Effect,
    FieldRow,
    FieldState,
    Flight,
    Phase,
    WindowStep,
    applied,
    commute,
    fields_of,
    step_of,
)
from comity.coordination.handling import NUMBERS
from comity.coordination.invariant import Instance
from comity.coordination.world import World
from comity.journal.world import Claim, FieldValue, Observation, Plan

__all__ = ["Effect", "FieldRow", "FieldState", "Flight", "Group", "Phase", "Picture", "applied", "covers", "step_of"]


class Group:
    """The fields that match a pattern of an invariant, and what is in flight on them.

    What they add up to is kept until one of them changes (`changed`).
    """

    __slots__ = ("_steps", "_total", "flights", "members")

    def __init__(self) -> None:
        """Begin empty."""
        self.members: dict[str, FieldState] = {}
        self.flights: dict[str, Flight] = {}
        self._total: tuple[float, frozenset[str]] | None = None
        self._steps: list[WindowStep] | None = None

    def changed(self) -> None:
        """Take that a member came, went or changed."""
        self._total = self._steps = None

    def total(self, now_us: int) -> tuple[float, frozenset[str]]:
        """Return the sum of what is known of the members, and those of which nothing is."""
        if self._total is not None:
            return self._total
        total, unknown, is_lasting = 0.0, set[str](), True
        for name, state in self.members.items():
            value = state.value
            if state.max_age_us is not None:
                value, is_lasting = state.at(now_us), False
            if isinstance(value, NUMBERS):
                total += value
            else:
                unknown.add(name)
        found = total, frozenset(unknown)
        self._total = found if is_lasting else None
        return found

    def steps(self) -> list[WindowStep]:
        """Return the steps of the members for windows, oldest first."""
        if self._steps is None:
            self._steps = sorted(step for state in self.members.values() for step in state.steps)
        return self._steps


class Picture:
    """The mutable state that admission judges by. It knows no clock: every moment is given."""

    def __init__(self, world: World) -> None:
        """Begin with what the world file proposes."""
        self.world = world
        self.fields: dict[str, FieldState] = {}
        self.flights: dict[str, Flight] = {}
        self.flights_by_field: dict[str, dict[str, Flight]] = {}
        self.groups: dict[str, Group] = {}
        self.claims: dict[str, Claim] = {}
        self.plans: dict[str, Plan] = {}
        self.plan_steps: dict[str, int] = {}
        self.due: list[tuple[int, str]] = []
        self.over: set[str] = set()
        self.half_seen: set[str] = set()
        self._open: dict[str, dict[str, Instance]] = {}
        self._named = frozenset(world.named_fields())
        for name in sorted(self._named):
            self.state(name)

    # Fields

    def state(self, name: str) -> FieldState:
        """Return what is believed of a field, which exists from now on."""
        found = self.fields.get(name)
        return found if found is not None else self._appear(name, self.peek(name))

    def peek(self, name: str) -> FieldState:
        """Return what is believed of a field; one that does not exist is not made by looking."""
        found = self.fields.get(name)
        if found is not None:
            return found
        return FieldState(self.world.initial(name), max_age_us=_age_us(self.world, name))

    def known(self, name: str, now_us: int, max_age_s: float | None = None) -> FieldValue:
        """Return a field's value; None where it is not known, or was observed too long ago."""
        state = self.peek(name)
        if max_age_s is not None and state.observed_us + max_age_s * 1e6 < now_us:
            return None
        return state.at(now_us) if max_age_s is None else state.value

    def observe(self, seen: Observation, *, may_observe: bool) -> bool:
        """Take an observation; tell whether it was taken. Older ones than what is known change nothing.

        What somebody says who may not observe the field is kept beside, as proposed. A value that the field cannot
        have (`World.misfit`) leaves it unknown. What has landed since counts on top of an observation that comes late.
        """
        state = self.state(seen.field)
        if not may_observe:
            state.proposed = seen.value
            return False
        section = self.world.section(seen.field)
        value = None if self.world.misfit(seen.field, seen.value) else self.world.normal(seen.field, seen.value)
        taken = state.observe(seen, value, section.epsilon if section is not None else 0.0)
        if taken:
            self._changed(seen.field)
            for flight in self.on_field(seen.field):
                if state.was_seen_since(flight):
                    self.half_seen.add(flight.ticket)
        return taken

    def restore(self, name: str, row: FieldRow) -> None:
        """Take a field as it was stored."""
        state = FieldState.of(row)
        state.max_age_us = _age_us(self.world, name)
        self._appear(name, state)

    # Invariants

    def instances(self, field: str) -> tuple[Instance, ...]:
        """Return the invariants that speak of a field, with their templates filled in, for all that exists."""
        fixed = self.world.fixed_instances(field)
        if fixed is not None:
            return fixed
        made: dict[str, Instance] = {}
        for speaks in self.world.spoken_of(field):
            if speaks.bound is not None:
                item = self.world.instance(speaks.rule, speaks.bound)
                made[item.key] = item
            else:
                made.update(self._open.get(speaks.rule.name, {}))
        return tuple(made.values())

    def group(self, pattern: str) -> Group:
        """Return what exists of a pattern of an invariant."""
        return self.groups.get(pattern) or Group()

    def _appear(self, name: str, state: FieldState) -> FieldState:
        self.fields[name] = state
        for speaks in self.world.spoken_of(name):
            rule, bound = speaks.rule, speaks.bound
            for pattern in speaks.groups:
                group = self.groups.setdefault(pattern, Group())
                group.members[name] = state
                group.changed()
            if rule.is_open and bound is not None:
                item = self.world.instance(rule, bound)
                self._open.setdefault(rule.name, {})[item.key] = item
        return state

    def _changed(self, name: str) -> None:
        for pattern in self.world.groups_of(name):
            self.groups[pattern].changed()

    # Flights

    def hold(self, flight: Flight) -> None:
        """Count an act from now."""
        before = self.flights.get(flight.ticket)
        if before is not None:
            self._unlink(before)
        elif flight.plan:
            self.plan_steps[flight.plan] = self.plan_steps.get(flight.plan, 0) + 1
        self.flights[flight.ticket] = flight
        if flight.phase == "done":
            heapq.heappush(self.due, (flight.settled_us, flight.ticket))
        for effect in flight.effects:
            name = effect.field
            if self.state(name).was_seen_since(flight):
                self.half_seen.add(flight.ticket)
            there = self.flights_by_field.get(name)
            if there is None:
                there = self.flights_by_field[name] = {}
            there[flight.ticket] = flight
            for pattern in self.world.groups_of(name):
                self.groups[pattern].flights[flight.ticket] = flight

    def move(self, ticket: str, phase: Phase, done_us: int = 0) -> Flight | None:
        """Let an act in flight be meant, in doubt or done; one that is done stays so."""
        found = self.flights.get(ticket)
        if found is None or found.phase == "done":
            return found
        done_us = max(done_us, found.from_us) if phase == "done" else 0
        moved = msgspec.structs.replace(found, phase=phase, done_us=done_us)
        self.hold(moved)
        return moved

    def drop(self, ticket: str) -> Flight | None:
        """Forget an act that did not happen."""
        found = self._forget(ticket)
        if found is not None and found.plan:
            self.plan_steps[found.plan] = max(0, self.plan_steps.get(found.plan, 0) - 1)
        return found

    def on_field(self, name: str) -> Collection[Flight]:
        """Return what is in flight on a field."""
        there = self.flights_by_field.get(name)
        return there.values() if there else ()

    def may_be_seen(self, flight: Flight, effects: Iterable[Effect]) -> bool:
        """Tell whether the values of some of these fields may have an act already that is in flight."""
        is_half = flight.ticket in self.half_seen
        return is_half and any(self.state(effect.field).was_seen_since(flight) for effect in effects)

    def parted(self, flight: Flight, effects: Sequence[Effect]) -> list[list[Effect]]:
        """Return an act's effects as they come together: what was seen since it began may be there already, or not yet.

        So of these each field, and each lag, stands for itself.
        """
        if flight.ticket not in self.half_seen:
            return [list(effects)] if effects else []
        together: list[Effect] = []
        apart: dict[tuple[str, int], list[Effect]] = {}
        for effect in effects:
            was_seen = self.state(effect.field).was_seen_since(flight)
            (apart.setdefault((effect.field, effect.lag_us), []) if was_seen else together).append(effect)
        return [together, *apart.values()] if together else list(apart.values())

    def matured(self, now_us: int) -> list[Flight]:
        """Return the acts whose settle time is over and whose effect on each field is certain, oldest first.

        One is uncertain while its field was last seen between its beginning and its settling: nobody knows how much of
        it was seen then. So is one that overlaps another whose order matters, until both were seen or a later `set`
        stands over them.
        """
        while self.due and self.due[0][0] <= now_us:
            self.over.add(heapq.heappop(self.due)[1])
        found = [flight for ticket in self.over if (flight := self.flights.get(ticket)) is not None]
        self.over = {flight.ticket for flight in found}
        certain = [flight for flight in found if all(self._is_certain(flight, effect) for effect in flight.effects)]
        return sorted(certain, key=lambda flight: (flight.settled_us, flight.done_us, flight.ticket))

    def land(self, flight: Flight) -> list[str]:
        """Make an act that happened part of the values; return the fields whose rows that changed.

        A field that was observed after it had settled shows it already.
        """
        changed: list[str] = []
        for effect in flight.effects:
            state = self.state(effect.field)
            if state.land(flight, effect):
                changed.append(effect.field)
        changed += self._stepped(flight, flight.from_us, flight.done_us)
        self._forget(flight.ticket)
        for name in changed:
            self._changed(name)
        return list(dict.fromkeys(changed))

    def withdraw(self, flight: Flight, at_us: int) -> list[str]:
        """Forget an act that was taken back, or took one back; return the fields whose windows have its steps now."""
        changed = self._stepped(flight, 0, at_us)  # or it never happened: its steps may be in no window
        self.drop(flight.ticket)
        for name in changed:
            self._changed(name)
        return changed

    def _stepped(self, flight: Flight, from_us: int, done_us: int) -> list[str]:
        found: list[str] = []
        for effect in flight.effects:
            window_us = self.world.window_us(effect.field) if not effect.lag_us else 0
            if window_us:
                step = WindowStep(done_us, step_of(effect), done_us - from_us)
                self.state(effect.field).stepped(step, done_us - window_us)
                found.append(effect.field)
        return found

    def _forget(self, ticket: str) -> Flight | None:
        found = self.flights.pop(ticket, None)
        if found is not None:
            self._unlink(found)
            self.half_seen.discard(ticket)
        return found

    def _unlink(self, flight: Flight) -> None:
        for name in fields_of(flight.effects):
            there = self.flights_by_field.get(name, {})
            there.pop(flight.ticket, None)
            if not there:
                self.flights_by_field.pop(name, None)
            for pattern in self.world.groups_of(name):
                self.groups[pattern].flights.pop(flight.ticket, None)

    def _is_certain(self, flight: Flight, effect: Effect) -> bool:
        state = self.state(effect.field)
        if state.has(flight):
            return True
        others = [other for other in self.on_field(effect.field) if other.ticket != flight.ticket]
        if any(_stands_over(other, flight, effect.field) and other.ticket in self.over for other in others):
            return True
        if state.was_seen_since(flight) and not (effect.op == "set" and effect.value == state.value):
            return False
        return all(other.from_us > flight.settled_us or _commutes(other, effect) for other in others)

    # Claims

    def claims_over(self, name: str, now_us: int) -> Iterable[Claim]:
        """Return the claims in force over a field, oldest first."""
        if not self.claims:
            return ()
        found = [
            claim
            for claim in self.claims.values()
            if claim.since_us <= now_us < claim.until_us and covers(claim.scope, name)
        ]
        return sorted(found, key=lambda item: (item.since_us, item.id))

    # Whole

    def evict(self, now_us: int) -> list[str]:
        """Forget what says nothing any more; return the fields that went.

        These are claims and plans that are over, steps beyond every window, and fields of unnamed resources that
        nothing is in flight on and of which no more is known than of a new one.
        """
        self.claims = {name: claim for name, claim in self.claims.items() if claim.until_us > now_us}
        self.plans = {name: plan for name, plan in self.plans.items() if plan.until_us > now_us}
        self.plan_steps = {name: steps for name, steps in self.plan_steps.items() if name in self.plans}
        gone: list[str] = []
        for name, state in self.fields.items():
            if state.forget_steps(now_us - self.world.window_us(name)):
                self._changed(name)
            is_idle = name not in self._named and name not in self.flights_by_field and not state.steps
            if is_idle and state.observed_us == 0 and state.version == 0:
                gone.append(name)
        for name in gone:
            del self.fields[name]
            for pattern in self.world.groups_of(name):
                self.groups[pattern].members.pop(name, None)
                self.groups[pattern].changed()
                if not self.groups[pattern].members:
                    del self.groups[pattern]
        if gone:
            self._reopen()
        return gone

    def copy(self) -> Picture:
        """Return a picture of its own that starts like this one."""
        made = Picture(self.world)
        for name, state in self.fields.items():
            made.restore(name, state.row())
            made.fields[name].landed = list(state.landed)
        for flight in self.flights.values():
            made.hold(flight)
        made.claims, made.plans, made.plan_steps = dict(self.claims), dict(self.plans), dict(self.plan_steps)
        made.due, made.over, made.half_seen = list(self.due), set(self.over), set(self.half_seen)
        return made

    def _reopen(self) -> None:
        self._open = {}
        for name, state in list(self.fields.items()):
            if any(item.rule.is_open for item in self.world.spoken_of(name)):
                self._appear(name, state)


def covers(scope: str, name: str) -> bool:
    """Tell whether a scope (a resource, a field, or a pattern with `*`) covers a field."""
    return scope == name or name.startswith(f"{scope}.") or fnmatchcase(name, scope)


def _age_us(world: World, name: str) -> int | None:
    section = world.section(name)
    return None if section is None or section.max_age_s is None else round(section.max_age_s * 1e6)


def _on(flight: Flight, field: str) -> Iterator[Effect]:
    return (effect for effect in flight.effects if effect.field == field)


def _commutes(other: Flight, effect: Effect) -> bool:
    return all(commute(effect, there) for there in _on(other, effect.field))


def _stands_over(other: Flight, flight: Flight, field: str) -> bool:
    """Tell whether another act surely came after this one and set the field anew."""
    return other.from_us > flight.settled_us and any(effect.op == "set" for effect in _on(other, field))
