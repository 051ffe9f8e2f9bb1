"""Implicit conflict: nobody declared that two fields have to do with each other; it is seen in what comes of it.

Two signs. A goal of one actor falls each time another has acted, and hardly ever else. Or a field is, well after an
act on it has settled, not where the act was expected to bring it, more than once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import comb

import msgspec

from comity.coordination.detector import Alarm
from comity.coordination.detectors.motion import number_of, step_of
from comity.coordination.detectors.recent import EVIDENCE_MAX, SECOND_US, Latch, Recent
from comity.coordination.detectors.surroundings import Surroundings
from comity.journal.world import Acted, Measured, Seen, WorldEvent

ACTORS_MAX = 64
SPELLS_MAX = 16
COMPONENTS_MAX = 256
GOALS_MAX = 512


class ImplicitConflictParameters(msgspec.Struct, frozen=True):
    """A goal falls where it is below `fall_share` less than its running mean.

    Alarm at `falls_min` falls within `follow_s` of an actor's acts, where at least `after_share` of such spells had a
    fall, at most `else_share` of all falls came otherwise, and so many would come together by chance, with any
    of the actors, with at most `chance_max`. A field misses where it is, `horizon_settles` times its
    settling later, off by more than `miss_share` of the step; `misses_min` of them alarm.
    """

    fall_share: float = 0.1
    falls_min: int = 3
    after_share: float = 0.75
    else_share: float = 0.25
    chance_max: float = 0.1
    follow_s: float = 120.0
    horizon_settles: float = 2.0
    miss_share: float = 0.5
    misses_min: int = 2
    quiet_s: float = 1800.0


class _Count:
    """How many spells of an actor a fall came in, and how many it did not; up to which spell they are counted."""

    def __init__(self) -> None:
        self.hits = 0
        self.passes = 0
        self.done_us = -1


class _Goal:
    """A goal's running mean, and how its measures fell with each actor's acts."""

    def __init__(self, value: float, since_us: int) -> None:
        self.mean = value
        self.since_us = since_us
        self.was_low = False
        self.measures = 0
        self.falls = 0
        self.after: Recent[str, _Count] = Recent(ACTORS_MAX)


class _Doing:
    """An actor's latest acts, when its latest spells began, and the components in which it acts.

    A spell is what may follow an act; the next begins with the first act after it, so that spells never overlap.
    """

    def __init__(self) -> None:
        self.spells: deque[int] = deque(maxlen=SPELLS_MAX)
        self.calls: deque[str] = deque(maxlen=EVIDENCE_MAX)
        self.components: dict[str, None] = {}


class ImplicitConflict:
    """Watches goals and expectations.

    Source: the taxonomy of conflicts of O-RAN's near-real-time controller.
    """

    name = "implicit_conflict"

    def __init__(self, surroundings: Surroundings, parameters: ImplicitConflictParameters | None = None) -> None:
        self._surroundings = surroundings
        self._with = parameters or ImplicitConflictParameters()
        self._goals: Recent[tuple[str, str], _Goal] = Recent(GOALS_MAX)
        self._doing: Recent[str, _Doing] = Recent(ACTORS_MAX)
        self._expected: Recent[str, tuple[Acted, float, float]] = Recent()
        self._misses: Recent[str, int] = Recent()
        self._latch: Latch[str] = Latch(self._with.quiet_s)

    def feed(self, event: WorldEvent) -> Sequence[Alarm]:
        """Take the next event."""
        if isinstance(event, Acted):
            self._note(event)
        elif isinstance(event, Measured):
            return self._measure(event)
        elif isinstance(event, Seen):
            return self._see(event)
        return ()

    def would(self, act: Acted) -> Alarm | None:
        """Return None: what is not declared cannot be told beforehand."""
        return None

    def _note(self, act: Acted) -> None:
        doing = self._doing.use(act.actor, _Doing)
        doing.calls.append(act.call)
        if not doing.spells or act.at_us > doing.spells[-1] + self._with.follow_s * SECOND_US:
            doing.spells.append(act.at_us)
        for change in act.changes:
            place = self._surroundings.place(change.field)
            if len(doing.components) < COMPONENTS_MAX:
                doing.components[place.component or change.field] = None
            for moved in place.reaches:
                # What is moved over a declared dependency is no longer where an earlier act alone would bring it.
                self._expected.drop(moved)
            step, after = step_of(change), number_of(change.after)
            if step and after is not None:
                self._expected.put(change.field, (act, after, abs(step)))
            else:
                self._expected.drop(change.field)

    # ---- goals

    def _measure(self, event: Measured) -> Sequence[Alarm]:
        goal = self._goals.use((event.actor, event.goal), lambda: _Goal(event.value, event.at_us))
        is_low = event.value < goal.mean - self._with.fall_share * abs(goal.mean)
        # Only the start of a fall counts: how long it lasts says nothing of who made it.
        is_fall = is_low and not goal.was_low
        goal.was_low = is_low
        goal.measures += 1
        goal.falls += is_fall
        if not is_low:
            goal.mean += (event.value - goal.mean) * 0.1
        return self._attribute(goal, event, is_fall=is_fall)

    def _attribute(self, goal: _Goal, event: Measured, *, is_fall: bool) -> list[Alarm]:
        own = self._doing.get(event.actor)
        tied = own.components.keys() if own is not None else frozenset()
        alarms = []
        for actor, doing in self._doing.items():
            count = goal.after.get(actor) or _Count()
            is_counted = not doing.spells or doing.spells[-1] <= count.done_us
            if is_counted or actor == event.actor or not tied.isdisjoint(doing.components):
                continue
            hits = count.hits
            self._count(count, doing, event.at_us, is_fall=is_fall)
            goal.after.put(actor, count)
            alarm = self._judge(goal, event, actor, count) if count.hits > hits else None
            if alarm is not None and self._latch.begins(f"{event.actor} {event.goal} {actor}", event.at_us):
                alarms.append(alarm)
        return alarms

    def _count(self, count: _Count, doing: _Doing, at_us: int, *, is_fall: bool) -> None:
        follow_us = int(self._with.follow_s * SECOND_US)
        for start_us in doing.spells:
            if start_us <= count.done_us:
                continue
            if at_us > start_us + follow_us:
                count.passes += 1
                count.done_us = start_us
            elif is_fall and at_us >= start_us:
                count.hits += 1
                count.done_us = start_us

    def _judge(self, goal: _Goal, event: Measured, actor: str, count: _Count) -> Alarm | None:
        others = goal.falls - count.hits
        if count.hits < self._with.falls_min or others > self._with.else_share * goal.falls:
            return None
        if count.hits < self._with.after_share * (count.hits + count.passes):
            return None
        spells = max(count.hits + count.passes, 1)
        all_spells = int((event.at_us - goal.since_us) / (self._with.follow_s * SECOND_US)) + 1
        by_chance = _chance(all_spells, spells, goal.falls, count.hits) * len(self._doing)
        if by_chance > self._with.chance_max:
            return None
        doing = self._doing.get(actor)
        return Alarm(
            self.name,
            event.at_us,
            (),
            tuple(sorted({event.actor, actor})),
            tuple(doing.calls) if doing else (),
            count.hits / self._with.falls_min,
            f"`{event.goal}` of `{event.actor}` falls when `{actor}` acts",
            {
                "falls_after": float(count.hits),
                "without_fall": float(count.passes),
                "falls_else": float(others),
                "by_chance": by_chance,
            },
        )

    # ---- expectations

    def _see(self, seen: Seen) -> Sequence[Alarm]:
        expected = self._expected.get(seen.field)
        observed = number_of(seen.value)
        if expected is None or observed is None:
            return ()
        act, value, step = expected
        place = self._surroundings.place(seen.field)
        if seen.at_us < act.at_us + max(1.0, self._with.horizon_settles * place.settle_s) * SECOND_US:
            return ()
        self._expected.drop(seen.field)
        if abs(observed - value) <= max(place.epsilon, self._with.miss_share * step):
            self._misses.drop(seen.field)
            return ()
        misses = (self._misses.get(seen.field) or 0) + 1
        self._misses.put(seen.field, misses)
        if misses < self._with.misses_min or not self._latch.begins(seen.field, seen.at_us):
            return ()
        inverse = next(number_of(change.before) for change in act.changes if change.field == seen.field)
        facts = {"expected": value, "observed": observed, "misses": float(misses)}
        if inverse is not None:
            facts["inverse"] = inverse
        return (
            Alarm(
                self.name,
                seen.at_us,
                (seen.field,),
                (act.actor,),
                (act.call, *((seen.id,) if seen.id else ())),
                misses / self._with.misses_min,
                f"`{seen.field}` is not where `{act.actor}` expected to bring it",
                facts,
            ),
        )


def _chance(spells: int, of_actor: int, falls: int, hits: int) -> float:
    """Return how likely at least `hits` of `falls` are in an actor's spells by chance (hypergeometric)."""
    spells = max(spells, of_actor, falls)
    ways = sum(
        comb(of_actor, hit) * comb(spells - of_actor, falls - hit)
        for hit in range(hits, min(of_actor, falls) + 1)
        if falls - hit <= spells - of_actor
    )
    return ways / comb(spells, falls)
