"""Undo war: one agent restores exactly what another replaced, and the other does so in turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec

from comity.coordination.detector import Alarm
from comity.coordination.detectors.motion import goal_of, is_same, moves, step_of
from comity.coordination.detectors.recent import SECOND_US, Latch, Recent
from comity.coordination.detectors.surroundings import Place, Surroundings
from comity.journal.world import Acted, Change, Settled, WorldEvent

UNDOS_MAX = 16


class UndoWarParameters(msgspec.Struct, frozen=True):
    """`undos_min` times within `window_s` on one field."""

    undos_min: int = 2
    window_s: float = 600.0


class UndoWar:
    """Watches each field for exact restorations without cause, claim or plan."""

    name = "undo_war"

    def __init__(self, surroundings: Surroundings, parameters: UndoWarParameters | None = None) -> None:
        self._surroundings = surroundings
        self._with = parameters or UndoWarParameters()
        self._last: Recent[str, tuple[Acted, Change]] = Recent()
        self._undos: Recent[str, deque[tuple[int, Acted, Acted]]] = Recent()
        self._fields: Recent[str, tuple[str, ...]] = Recent()
        self._latch: Latch[str] = Latch(self._with.window_s)

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
            undone = self._undone(event, change, place)
            if undone is not None:
                undos = self._undos.use(change.field, lambda: deque(maxlen=UNDOS_MAX))
                undos.append((event.at_us, undone, event))
                alarm = self._judge(event, change, list(undos))
                if alarm is not None and self._latch.begins(change.field, event.at_us):
                    alarms.append(alarm)
            self._last.put(change.field, (event, change))
        self._fields.put(event.call, tuple(change.field for change in event.changes))
        return alarms

    def would(self, act: Acted) -> Alarm | None:
        """Tell whether letting `act` through now would raise an alarm."""
        for change in act.changes:
            place = self._surroundings.place(change.field)
            undone = self._undone(act, change, place) if moves(change, place.epsilon) else None
            if undone is not None and self._latch.would_begin(change.field, act.at_us):
                undos = [*(self._undos.get(change.field) or ()), (act.at_us, undone, act)]
                alarm = self._judge(act, change, undos)
                if alarm is not None:
                    return alarm
        return None

    def _forget(self, call: str) -> None:
        for field in self._fields.drop(call) or ():
            last = self._last.get(field)
            if last is not None and last[0].call == call:
                self._last.drop(field)

    def _undone(self, act: Acted, change: Change, place: Place) -> Acted | None:
        """Return the other agent's act that this one takes back without saying why.

        A step back is no restoration: it says by how much, not to what. Where steps go back and forth they oscillate.
        """
        last = self._last.get(change.field)
        if change.op != "set" and step_of(change) is not None:
            return None
        if last is None or act.caused_by or act.claim or act.plan:
            return None
        before, was = last
        if before.actor == act.actor or was.before is None:
            return None
        return before if is_same(goal_of(change), was.before, place.epsilon) else None

    def _judge(self, act: Acted, change: Change, undos: Sequence[tuple[int, Acted, Acted]]) -> Alarm | None:
        since_us = act.at_us - self._with.window_s * SECOND_US
        fresh = [(undone, undo) for at_us, undone, undo in undos if at_us >= since_us]
        if len(fresh) < self._with.undos_min:
            return None
        actors = tuple(sorted({one.actor for pair in fresh for one in pair}))
        return Alarm(
            self.name,
            act.at_us,
            (change.field,),
            actors,
            tuple(dict.fromkeys(one.call for pair in fresh for one in pair)),
            len(fresh) / self._with.undos_min,
            f"{', '.join(f'`{actor}`' for actor in actors)} take back what the other did to `{change.field}`",
            {"undos": float(len(fresh))},
        )
