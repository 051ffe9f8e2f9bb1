"""Limit cycle: a part of the world comes back to where it was, again and again, and nothing outside has moved.

What repeats is a *step* (from one set of values to the next), not a set of values alone: a roll-out that drains one
zone after another is back at its start between any two, and goes somewhere else each time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from copy import copy

import msgspec

from comity.coordination.detector import Alarm
from comity.coordination.detectors.motion import goal_of, is_same, moves, number_of, resource_of
from comity.coordination.detectors.recent import KEYS_MAX, SECOND_US, Latch, Recent
from comity.coordination.detectors.surroundings import Surroundings
from comity.journal.world import Acted, FieldValue, Seen, WorldEvent

STEPS_MAX = 64
FIELDS_MAX = 64


class LimitCycleParameters(msgspec.Struct, frozen=True):
    """The same step `seen_min` times within `window_s`; steps under a plan or a claim count `weight_declared`.

    What agents do not set and is not moved by what they set is the surroundings: where a value of it changes by more
    than `environment_share` of itself, counting starts again.
    """

    window_s: float = 600.0
    seen_min: int = 3
    environment_share: float = 0.25
    weight_declared: float = 0.25


class _Part:
    """Resources that are tied together: the values that agents set, what was seen of the rest, the last steps."""

    def __init__(self) -> None:
        self.values: dict[str, FieldValue] = {}
        self.set_at_us: dict[str, int] = {}
        self.outside: dict[str, FieldValue] = {}
        self.moved: set[str] = set()
        self.steps: deque[tuple[int, int, float, str, str, str]] = deque(maxlen=STEPS_MAX)

    def fork(self) -> _Part:
        other = copy(self)
        other.values, other.set_at_us = dict(self.values), dict(self.set_at_us)
        other.moved, other.steps = set(self.moved), self.steps.copy()
        return other


class LimitCycle:
    """Watches each part of the world for steps that repeat.

    A component of the world is made of kinds, which is too wide here: resources that have nothing to do with each
    other would hide each other's cycles.
    """

    name = "limit_cycle"

    def __init__(self, surroundings: Surroundings, parameters: LimitCycleParameters | None = None) -> None:
        self._surroundings = surroundings
        self._with = parameters or LimitCycleParameters()
        self._parts: Recent[str, _Part] = Recent()
        self._ties: dict[str, str] = {}
        self._latch: Latch[str] = Latch(self._with.window_s)

    def feed(self, event: WorldEvent) -> Sequence[Alarm]:
        """Take the next event."""
        if isinstance(event, Seen):
            self._look(event)
            return ()
        if not isinstance(event, Acted):
            return ()
        alarms = []
        for change in event.changes:
            self._tie(change.field)
        for name in self._names(event):
            part = self._parts.use(name, _Part)
            alarm = self._step(part, name, event)
            if alarm is not None and self._latch.begins(name, event.at_us):
                alarms.append(alarm)
        return alarms

    def would(self, act: Acted) -> Alarm | None:
        """Tell whether letting `act` through now would raise an alarm."""
        for name in self._names(act):
            part = self._parts.get(name)
            if part is not None and self._latch.would_begin(name, act.at_us):
                alarm = self._step(part.fork(), name, act)
                if alarm is not None:
                    return alarm
        return None

    def _names(self, act: Acted) -> list[str]:
        return sorted({self._root(resource_of(change.field)) for change in act.changes})

    def _root(self, name: str) -> str:
        while name in self._ties:
            name = self._ties[name]
        return name

    def _tie(self, field: str) -> None:
        """Join a field's resource with what it shares an invariant with, and with what it moves."""
        place = self._surroundings.place(field)
        for other in (*place.invariants, *(resource_of(reached) for reached in place.reaches)):
            one, two = self._root(resource_of(field)), self._root(other)
            if one == two:
                continue
            if len(self._ties) >= KEYS_MAX:
                self._ties.clear()
            self._ties[one] = two
            merged, into = self._parts.drop(one), self._parts.use(two, _Part)
            if merged is not None:
                into.values |= merged.values
                into.set_at_us |= merged.set_at_us
                into.outside |= merged.outside
                into.moved |= merged.moved
                into.steps.clear()

    def _look(self, seen: Seen) -> None:
        """Start again where the surroundings have changed by themselves."""
        part = self._parts.get(self._root(resource_of(seen.field)))
        if part is None or seen.field in part.moved:
            return
        if seen.field in part.values:
            self._check(part, seen)
            return
        if seen.field not in part.outside and len(part.outside) >= FIELDS_MAX:
            return
        was = part.outside.setdefault(seen.field, seen.value)
        bound = self._surroundings.place(seen.field).epsilon
        number = number_of(was)
        if number is not None:
            bound = max(bound, self._with.environment_share * abs(number))
        if not is_same(was, seen.value, bound):
            part.outside[seen.field] = seen.value
            part.steps.clear()

    def _check(self, part: _Part, seen: Seen) -> None:
        """Start again where somebody outside has changed what agents set: it is elsewhere, well after it settled."""
        place = self._surroundings.place(seen.field)
        settled_us = part.set_at_us.get(seen.field, 0) + int(2 * place.settle_s * SECOND_US)
        value = part.values[seen.field]
        number = number_of(value)
        bound = max(place.epsilon, self._with.environment_share * abs(number) if number is not None else 0.0)
        if seen.at_us > settled_us and not is_same(value, seen.value, bound):
            part.values[seen.field] = _rounded(seen.value, place.epsilon)
            part.steps.clear()

    def _step(self, part: _Part, name: str, act: Acted) -> Alarm | None:
        start = _digest(part)
        weight = self._with.weight_declared if act.plan or act.claim else 1.0
        fields = []
        for change in act.changes:
            place = self._surroundings.place(change.field)
            if self._root(resource_of(change.field)) != name or not moves(change, place.epsilon):
                continue
            if change.field not in part.values and len(part.values) >= FIELDS_MAX:
                oldest = next(iter(part.values))
                del part.values[oldest], part.set_at_us[oldest]
            part.values[change.field] = _rounded(goal_of(change), place.epsilon)
            part.set_at_us[change.field] = act.at_us
            part.moved.update(list(place.reaches)[:FIELDS_MAX])
            fields.append(change.field)
        if not fields:
            return None
        # A field that is set for the first time was already there: before it no step could have been told.
        step = hash((start, _digest(part)))
        while part.steps and part.steps[0][0] < act.at_us - self._with.window_s * SECOND_US:
            part.steps.popleft()
        part.steps.append((act.at_us, step, weight, act.actor, fields[0], act.call))
        return self._judge(part, act, step)

    def _judge(self, part: _Part, act: Acted, step: int) -> Alarm | None:
        steps = list(part.steps)
        first = next(index for index, one in enumerate(steps) if one[1] == step)
        seen = sum(one[2] for one in steps if one[1] == step)
        if seen < self._with.seen_min:
            return None
        around = steps[first:]
        actors = tuple(sorted({one[3] for one in around}))
        return Alarm(
            self.name,
            act.at_us,
            tuple(sorted({one[4] for one in around})),
            actors,
            tuple(one[5] for one in around),
            seen / self._with.seen_min,
            f"the same step was taken {seen:g} times, and nothing outside has changed",
            {"seen": seen, "steps": float(len(around))},
        )


def _digest(part: _Part) -> int:
    return hash(tuple(sorted(part.values.items(), key=lambda item: item[0])))


def _rounded(value: FieldValue, epsilon: float) -> FieldValue:
    """Return the value as the middle of the others that are the same."""
    number = number_of(value)
    return value if epsilon <= 0 or number is None else round(number / epsilon) * epsilon
