"""Oscillation: a field that goes back and forth, mostly by different actors who undo each other's work.

Each reversal adds to a penalty that halves over time: by how much it takes back of the step before (so what converges
fades away), whole for another actor, less for the same, least for what was declared. The alarm begins where the
penalty is high *and* the way that the field went is long beside what it came to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from copy import copy

import msgspec

from comity.coordination.detector import Alarm
from comity.coordination.detectors.motion import goal_of, is_same, moves, step_of
from comity.coordination.detectors.recent import EVIDENCE_MAX, SECOND_US, Recent
from comity.coordination.detectors.surroundings import Place, Surroundings
from comity.journal.world import Acted, Change, FieldValue, WorldEvent

ACTORS_MAX = 16
LEFT_MAX = 4
"""A value that was left so many changes ago is still one to go back to."""


class OscillationParameters(msgspec.Struct, frozen=True):
    """The half-life is `half_life_settles` times what the field takes to settle, at least `half_life_s_min`.

    `weight_other`, `weight_same` and `weight_declared` are what a reversal counts by another actor, by the same, and
    under a claim or a plan. `path_to_net` is how much longer the way must be than what it came to.
    """

    half_life_settles: float = 5.0
    half_life_s_min: float = 60.0
    penalty_alarm: float = 2.5
    path_to_net: float = 4.0
    weight_other: float = 1.0
    weight_same: float = 0.5
    weight_declared: float = 0.25


class _Track:
    """How one field has moved; penalty, path and net fade with the same half-life."""

    def __init__(self, change: Change) -> None:
        self.at_us = 0
        self.penalty = 0.0
        self.path = 0.0
        self.net = 0.0
        self.step = 0.0
        self.actor = ""
        self.anchor: FieldValue = change.before
        self.left: deque[FieldValue] = deque(maxlen=LEFT_MAX)
        self.is_told = False
        self.actors: dict[str, float] = {}
        self.calls: deque[str] = deque(maxlen=EVIDENCE_MAX)

    def fork(self) -> _Track:
        """Return one that may be moved on without moving this one."""
        other = copy(self)
        other.actors = dict(self.actors)
        other.calls, other.left = self.calls.copy(), self.left.copy()
        return other


class Oscillation:
    """Watches each field for reversals that do not fade.

    Source: RFC 2439 (route-flap damping), with what RFC 7196 learnt of its harm to what converges.
    """

    name = "oscillation"

    def __init__(self, surroundings: Surroundings, parameters: OscillationParameters | None = None) -> None:
        self._surroundings = surroundings
        self._with = parameters or OscillationParameters()
        self._tracks: Recent[str, _Track] = Recent()

    def feed(self, event: WorldEvent) -> Sequence[Alarm]:
        """Take the next event."""
        if not isinstance(event, Acted):
            return ()
        alarms: list[Alarm] = []
        for change in event.changes:
            place = self._surroundings.place(change.field)
            if moves(change, place.epsilon):
                track = self._tracks.use(change.field, lambda change=change: _Track(change))  # type: ignore[misc]
                alarms += self._move(track, event, change, place)
        return alarms

    def would(self, act: Acted) -> Alarm | None:
        """Tell whether letting `act` through now would raise an alarm."""
        for change in act.changes:
            track = self._tracks.get(change.field)
            place = self._surroundings.place(change.field)
            if track is not None and moves(change, place.epsilon):
                for alarm in self._move(track.fork(), act, change, place):
                    return alarm
        return None

    def _move(self, track: _Track, act: Acted, change: Change, place: Place) -> Sequence[Alarm]:
        self._fade(track, act.at_us, place)
        step = step_of(change)
        reversal = self._reversal(track, change, step, place)
        track.path += abs(step) if step is not None else 1.0
        if step is not None:
            track.net += step
        else:
            track.net = 0.0 if is_same(goal_of(change), track.anchor) else 1.0
        if reversal:
            track.penalty += reversal * self._weight(track, act)
            for actor in (act.actor, track.actor):
                track.actors[actor] = track.actors.get(actor, 0.0) + reversal
            if len(track.actors) > ACTORS_MAX:
                track.actors.pop(min(track.actors, key=track.actors.__getitem__))
        track.step, track.actor = (step if step is not None else 1.0), act.actor
        track.left.append(change.before)
        track.calls.append(act.call)
        return self._told(track, act, change.field)

    def _fade(self, track: _Track, at_us: int, place: Place) -> None:
        elapsed_s = max(0, at_us - track.at_us) / SECOND_US
        kept = 0.5 ** (elapsed_s / self._half_life_s(place))
        track.at_us = max(track.at_us, at_us)
        track.penalty *= kept
        track.path *= kept
        track.net *= kept
        for actor in track.actors:
            track.actors[actor] *= kept
        if track.penalty < self._with.penalty_alarm / 2:
            track.is_told = False

    def _half_life_s(self, place: Place) -> float:
        return max(self._with.half_life_s_min, self._with.half_life_settles * place.settle_s, 1e-3)

    @staticmethod
    def _reversal(track: _Track, change: Change, step: float | None, place: Place) -> float:
        """Return how much of the step before is taken back, at most 1; 0 where it goes on the same way."""
        if not track.actor:
            return 0.0
        if step is None:
            goal = goal_of(change)
            return float(any(left is not None and is_same(goal, left, place.epsilon) for left in track.left))
        if step * track.step >= 0:
            return 0.0
        return min(1.0, abs(step) / abs(track.step))

    def _weight(self, track: _Track, act: Acted) -> float:
        if act.plan or act.claim:
            return self._with.weight_declared
        return self._with.weight_same if act.actor == track.actor else self._with.weight_other

    def _told(self, track: _Track, act: Acted, field: str) -> Sequence[Alarm]:
        is_there = track.penalty >= self._with.penalty_alarm and track.path >= self._with.path_to_net * abs(track.net)
        if not is_there or track.is_told:
            return ()
        track.is_told = True
        most = max(track.actors.values())
        actors = sorted(actor for actor, weight in track.actors.items() if weight >= most / 4)
        return (
            Alarm(
                self.name,
                act.at_us,
                (field,),
                tuple(actors),
                tuple(track.calls),
                track.penalty / self._with.penalty_alarm,
                f"`{field}` goes back and forth between {', '.join(f'`{actor}`' for actor in actors)}",
                {"penalty": track.penalty, "path": track.path, "net": track.net},
            ),
        )
