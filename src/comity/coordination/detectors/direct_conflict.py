"""Direct conflict: two actors set one field against each other before the first change has settled."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from comity.coordination.detector import Alarm
from comity.coordination.detectors.motion import goal_of, is_same, moves, step_of
from comity.coordination.detectors.recent import SECOND_US, Latch, Recent
from comity.coordination.detectors.surroundings import Place, Surroundings
from comity.journal.world import Acted, Change, Settled, WorldEvent


class DirectConflictParameters(msgspec.Struct, frozen=True):
    """The second act comes within `gap_settles` times what the field takes to settle, at least `gap_s_min`."""

    gap_settles: float = 1.0
    gap_s_min: float = 1.0
    quiet_s: float = 600.0


class DirectConflict:
    """Watches each field for an act against one that has not settled.

    Two steps the same way, one that answers the other (`caused_by`), and steps of one plan are no conflict.

    Source: the taxonomy of conflicts of O-RAN's near-real-time controller.
    """

    name = "direct_conflict"

    def __init__(self, surroundings: Surroundings, parameters: DirectConflictParameters | None = None) -> None:
        self._surroundings = surroundings
        self._with = parameters or DirectConflictParameters()
        self._last: Recent[str, tuple[Acted, Change]] = Recent()
        self._fields: Recent[str, tuple[str, ...]] = Recent()
        self._latch: Latch[str] = Latch(self._with.quiet_s)

    def feed(self, event: WorldEvent) -> Sequence[Alarm]:
        """Take the next event."""
        if isinstance(event, Settled):
            if event.end == "not_happened":
                self._forget(event.call)
            return ()
        if not isinstance(event, Acted):
            return ()
        alarms = []
        for change in event.changes:
            place = self._surroundings.place(change.field)
            if not moves(change, place.epsilon):
                continue
            alarm = self._judge(event, change, place)
            if alarm is not None and self._latch.begins(change.field, event.at_us):
                alarms.append(alarm)
            self._last.put(change.field, (event, change))
        self._fields.put(event.call, tuple(change.field for change in event.changes))
        return alarms

    def would(self, act: Acted) -> Alarm | None:
        """Tell whether letting `act` through now would raise an alarm."""
        for change in act.changes:
            place = self._surroundings.place(change.field)
            if moves(change, place.epsilon) and self._latch.would_begin(change.field, act.at_us):
                alarm = self._judge(act, change, place)
                if alarm is not None:
                    return alarm
        return None

    def _forget(self, call: str) -> None:
        for field in self._fields.drop(call) or ():
            last = self._last.get(field)
            if last is not None and last[0].call == call:
                self._last.drop(field)

    def _judge(self, act: Acted, change: Change, place: Place) -> Alarm | None:
        last = self._last.get(change.field)
        if last is None:
            return None
        before, was = last
        gap_s = max(self._with.gap_s_min, self._with.gap_settles * max(place.settle_s, was.settle_s))
        if before.actor == act.actor or act.at_us - before.at_us > gap_s * SECOND_US:
            return None
        if act.caused_by == before.call or (act.plan and act.plan == before.plan):
            return None
        if not _is_against(was, change, place):
            return None
        return Alarm(
            self.name,
            act.at_us,
            (change.field,),
            tuple(sorted({before.actor, act.actor})),
            (before.call, act.call),
            1.0,
            f"`{act.actor}` acts against `{before.actor}` on `{change.field}`, which has not settled",
            {"gap_s": max(0, act.at_us - before.at_us) / SECOND_US, "settle_s": place.settle_s},
        )


def _is_against(was: Change, change: Change, place: Place) -> bool:
    one, other = step_of(was), step_of(change)
    if one is not None and other is not None:
        return one * other < 0
    if was.op != "set" or change.op != "set":
        return was.op != change.op and was.value == change.value
    return not is_same(goal_of(was), goal_of(change), place.epsilon)
