"""Indirect conflict: acts on different fields, each fine alone, that together break what both fields are part of.

Where an invariant can be evaluated, it decides. Where none can, acts that move the same field (over declared
dependencies) in opposite directions are a conflict.
"""

from __future__ import annotations

from collections import ChainMap, deque
from collections.abc import Sequence

import msgspec

from comity.coordination.detector import Alarm
from comity.coordination.detectors.motion import goal_of, moves, step_of
from comity.coordination.detectors.recent import SECOND_US, Latch, Recent
from comity.coordination.detectors.surroundings import Place, Surroundings
from comity.journal.world import Acted, Change, FieldValue, Seen, Settled, WorldEvent

UNDER_WAY_MAX = 16
"""So many changes are remembered for one invariant at most."""


class IndirectConflictParameters(msgspec.Struct, frozen=True):
    """Acts are together within `gap_settles` times what their fields take to settle, at least `gap_s_min`."""

    gap_settles: float = 1.0
    gap_s_min: float = 1.0
    quiet_s: float = 600.0


class _Step(msgspec.Struct, frozen=True):
    """A change that is under way, and until when."""

    until_us: int
    call: str
    actor: str
    plan: str
    change: Change
    gain: float = 0.0


class IndirectConflict:
    """Watches what is tied together by an invariant, or by a field that several others move.

    Source: the taxonomy of conflicts of O-RAN's near-real-time controller.
    """

    name = "indirect_conflict"

    def __init__(self, surroundings: Surroundings, parameters: IndirectConflictParameters | None = None) -> None:
        self._surroundings = surroundings
        self._with = parameters or IndirectConflictParameters()
        self._values: Recent[str, FieldValue] = Recent()
        self._ties: Recent[str, deque[_Step]] = Recent()
        self._calls: Recent[str, tuple[str, ...]] = Recent()
        self._latch: Latch[str] = Latch(self._with.quiet_s)

    def feed(self, event: WorldEvent) -> Sequence[Alarm]:
        """Take the next event."""
        if isinstance(event, Seen):
            self._values.put(event.field, event.value)
        elif isinstance(event, Settled):
            self._settle(event)
        elif isinstance(event, Acted):
            return self._act(event)
        return ()

    def would(self, act: Acted) -> Alarm | None:
        """Tell whether letting `act` through now would raise an alarm."""
        for change in act.changes:
            place = self._surroundings.place(change.field)
            if moves(change, place.epsilon):
                for tie, alarm in self._judge(act, change, place):
                    if self._latch.would_begin(tie, act.at_us):
                        return alarm
        return None

    def _settle(self, event: Settled) -> None:
        """Forget what did not happen."""
        ties = self._calls.drop(event.call) or ()
        if event.end != "not_happened":
            return
        for tie in ties:
            steps = self._ties.get(tie)
            if steps is not None:
                kept = [step for step in steps if step.call != event.call]
                self._ties.put(tie, deque(kept, UNDER_WAY_MAX))

    def _act(self, act: Acted) -> Sequence[Alarm]:
        alarms: list[Alarm] = []
        ties: list[str] = []
        for change in act.changes:
            place = self._surroundings.place(change.field)
            if not moves(change, place.epsilon):
                continue
            found = [alarm for tie, alarm in self._judge(act, change, place) if self._latch.begins(tie, act.at_us)]
            alarms += found[:1]
            ties += self._note(act, change, place)
            if goal_of(change) is not None:
                self._values.put(change.field, goal_of(change))
        self._calls.put(act.call, tuple(ties))
        return alarms

    def _note(self, act: Acted, change: Change, place: Place) -> list[str]:
        gap_s = max(self._with.gap_s_min, self._with.gap_settles * max(place.settle_s, change.settle_s))
        until_us = act.at_us + int(gap_s * SECOND_US)
        ties = dict.fromkeys(place.invariants, 0.0) | {f"→ {field}": gain for field, gain in place.reaches.items()}
        for tie, gain in ties.items():
            steps = self._ties.use(tie, lambda: deque(maxlen=UNDER_WAY_MAX))
            steps.append(_Step(until_us, act.call, act.actor, act.plan, change, gain))
        return list(ties)

    def _judge(self, act: Acted, change: Change, place: Place) -> list[tuple[str, Alarm]]:
        found = []
        is_decided = False
        for tie in place.invariants:
            steps = self._under_way(tie, act, change)
            if steps:
                culprits = self._breaking(tie, change, steps)
                is_decided = is_decided or culprits is not None
                if culprits:
                    found.append((tie, self._alarm(tie, act, change, culprits)))
        if is_decided:
            return found
        for field, gain in place.reaches.items():
            tie = f"→ {field}"
            pull = (step_of(change) or 0.0) * gain
            against = [
                step
                for step in self._under_way(tie, act, change)
                if (step_of(step.change) or 0.0) * step.gain * pull < 0 and step.call != act.caused_by
            ]
            if against:
                found.append((tie, self._alarm(field, act, change, against)))
        return found

    def _under_way(self, tie: str, act: Acted, change: Change) -> list[_Step]:
        """Return the changes of others to other fields that have not settled, and are of no common plan."""
        steps = self._ties.get(tie)
        if steps is None:
            return []
        return [
            step
            for step in steps
            if step.until_us >= act.at_us
            and step.actor != act.actor
            and step.change.field != change.field
            and not (act.plan and act.plan == step.plan)
        ]

    def _breaking(self, invariant: str, change: Change, steps: list[_Step]) -> list[_Step] | None:
        """Return the fewest steps that break the invariant with this change; [] for none, None for unknown."""
        mine = {change.field: goal_of(change)}
        reverted = {step.change.field: step.change.before for step in reversed(steps)}
        if self._holds(invariant, reverted | mine) is False:
            # It would have broken it alone: no conflict, a matter of the invariant itself.
            return []
        together = self._holds(invariant, {step.change.field: goal_of(step.change) for step in steps} | mine)
        if together is None:
            return None
        if together:
            return []
        needed = list(steps)
        for step in steps:
            fewer = [other for other in needed if other is not step]
            values = reverted | {other.change.field: goal_of(other.change) for other in fewer} | mine
            if self._holds(invariant, values) is False:
                needed = fewer
        return needed

    def _holds(self, invariant: str, changed: dict[str, FieldValue]) -> bool | None:
        return self._surroundings.holds(invariant, ChainMap(changed, self._values.view()))

    def _alarm(self, tie: str, act: Acted, change: Change, steps: list[_Step]) -> Alarm:
        actors = sorted({act.actor, *(step.actor for step in steps)})
        return Alarm(
            self.name,
            act.at_us,
            tuple(sorted({change.field, *(step.change.field for step in steps)})),
            tuple(actors),
            (*(step.call for step in steps), act.call),
            1.0,
            f"together {', '.join(f'`{actor}`' for actor in actors)} act against `{tie}`, each alone would not",
            {"acts": float(len(steps) + 1)},
        )
