"""Livelock: much is done, and nothing comes of it: a call that is put off again and again, a goal that stays flat."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec

from comity.coordination.detector import Alarm
from comity.coordination.detectors.motion import goal_of
from comity.coordination.detectors.recent import EVIDENCE_MAX, Latch, Recent
from comity.coordination.detectors.surroundings import Surroundings
from comity.journal.world import Acted, FieldValue, Measured, Turned, WorldEvent

ACTS_MAX = 256


class LivelockParameters(msgspec.Struct, frozen=True):
    """What an actor wants of a field is deferred `defers_min` times, or a goal stays flat over `acts_min` acts.

    Flat is within `flat_share` of itself. The acts must repeat themselves (at most `distinct_share` of them lead
    somewhere new): a goal that stays where it should be while different things are done is no livelock.
    """

    defers_min: int = 5
    acts_min: int = 20
    flat_share: float = 0.05
    distinct_share: float = 0.5
    quiet_s: float = 1800.0


class _Doing:
    """An actor's latest acts: where each led, and its call."""

    def __init__(self) -> None:
        self.count = 0
        self.acts: deque[tuple[tuple[tuple[str, FieldValue], ...], str]] = deque(maxlen=ACTS_MAX)


class _Goal:
    """A goal's best value, and after how many acts of its actor it was reached."""

    def __init__(self, value: float) -> None:
        self.low = value
        self.high = value
        self.since = 0


class _Wait:
    """What an actor waits for: how often each of its calls for it was put off since it last got it.

    Calls one after the other add up (it gave up and asked again); calls at the same time do not.
    """

    def __init__(self) -> None:
        self.calls: Recent[str, int] = Recent(EVIDENCE_MAX)
        self.newest = ""
        self.are_together = False

    @property
    def count(self) -> int:
        """Return how often it was put off."""
        return max(self.calls.values()) if self.are_together else sum(self.calls.values())

    def add(self, event: Turned) -> None:
        """Count a deferral; one that is told again, or late, is not counted twice."""
        known = self.calls.get(event.call)
        if known is None:
            self.newest = event.call
        elif event.call != self.newest:
            self.are_together = True
        self.calls.put(event.call, max(known or 0, event.n) if event.n else (known or 0) + 1)


class Livelock:
    """Watches what is deferred, and what goals come to."""

    name = "livelock"

    def __init__(self, surroundings: Surroundings, parameters: LivelockParameters | None = None) -> None:
        self._surroundings = surroundings
        self._with = parameters or LivelockParameters()
        self._doing: Recent[str, _Doing] = Recent()
        self._goals: Recent[tuple[str, str], _Goal] = Recent()
        self._waits: Recent[tuple[str, str, tuple[str, ...]], _Wait] = Recent()
        self._latch: Latch[str] = Latch(self._with.quiet_s)

    def feed(self, event: WorldEvent) -> Sequence[Alarm]:
        """Take the next event."""
        if isinstance(event, Turned):
            return self._turn(event)
        if isinstance(event, Measured):
            return self._measure(event)
        if isinstance(event, Acted):
            for change in event.changes:
                self._waits.drop((event.actor, event.tool, (change.field,)))
            doing = self._doing.use(event.actor, _Doing)
            doing.count += 1
            doing.acts.append((tuple((change.field, goal_of(change)) for change in event.changes), event.call))
        return ()

    def would(self, act: Acted) -> Alarm | None:
        """Return None: what an act comes to is seen afterwards."""
        return None

    def _turn(self, event: Turned) -> Sequence[Alarm]:
        if event.verdict != "defer":
            return ()
        key = (event.actor, event.tool, event.fields[:1])
        wait = self._waits.use(key, _Wait)
        # Asked again under another name it is still the same that does not get its turn.
        wait.add(event)
        if wait.count < self._with.defers_min or not self._latch.begins(f"{event.actor} {key}", event.at_us):
            return ()
        text = f"`{event.tool}` of `{event.actor}` was put off {wait.count} times"
        score = wait.count / self._with.defers_min
        facts = {"defers": float(wait.count)}
        evidence = tuple(wait.calls)
        return (Alarm(self.name, event.at_us, event.fields, (event.actor,), evidence, score, text, facts),)

    def _measure(self, event: Measured) -> Sequence[Alarm]:
        doing = self._doing.get(event.actor)
        if doing is None:
            return ()
        key = (event.actor, event.goal)
        goal = self._goals.use(key, lambda: self._fresh(event, doing))
        low, high = min(goal.low, event.value), max(goal.high, event.value)
        if high - low > self._with.flat_share * max(abs(low), abs(high)):
            self._goals.put(key, self._fresh(event, doing))
            return ()
        goal.low, goal.high = low, high
        acts = doing.count - goal.since
        if acts < self._with.acts_min:
            return ()
        latest = list(doing.acts)[-min(acts, ACTS_MAX) :]
        distinct = len({led for led, _ in latest})
        is_futile = distinct <= self._with.distinct_share * len(latest)
        if not is_futile or not self._latch.begins(f"{event.actor} {event.goal}", event.at_us):
            return ()
        return (
            Alarm(
                self.name,
                event.at_us,
                tuple(sorted({field for led, _ in latest for field, _ in led})[:EVIDENCE_MAX]),
                (event.actor,),
                tuple(call for _, call in latest[-EVIDENCE_MAX:]),
                acts / self._with.acts_min,
                f"`{event.goal}` of `{event.actor}` is flat over {acts} acts, which repeat themselves",
                {"acts": float(acts), "distinct": float(distinct)},
            ),
        )

    @staticmethod
    def _fresh(event: Measured, doing: _Doing) -> _Goal:
        goal = _Goal(event.value)
        goal.since = doing.count
        return goal
