"""Scores what watches traces of the corpus: hits, false alarms, culprits, lead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

from msgspec.structs import replace

from comity.coordination.detectors.baseline import Baseline, BaselineLearner
from comity.coordination.detectors.panel import KINDS, Panel
from comity.coordination.detectors.surroundings import Described, Place
from comity.core.expression import parse
from comity.journal.world import Acted, Claimed, WorldEvent
from comity.testing.corpus import TUNING, Setting, Trace, trace


class Watch(Protocol):
    """Watches one trace; tells for each event the alarms that begin with it, each as (what raised it, actors)."""

    def feed(self, event: WorldEvent) -> Iterable[tuple[str, Sequence[str]]]: ...


MakeWatch = Callable[[Setting], Watch]


@dataclass
class Score:
    """Counts over traces; `alarmed` are benign twins with any alarm.

    A trace is false where it is benign, or where an alarm names no culprit or comes too early.
    """

    harm: int = 0
    benign: int = 0
    alarmed: int = 0
    hits: int = 0
    false: int = 0
    overlaps: list[float] = field(default_factory=list)
    leads: list[int] = field(default_factory=list)
    leads_s: list[float] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def precision(self) -> float:
        """Of the traces with an alarm, the share in which it was right; 1 where there was none at all."""
        return self.hits / (self.hits + self.false) if self.hits + self.false else 1.0

    @property
    def recall(self) -> float:
        """Of the harms, the share of those that were told before they were done."""
        return self.hits / self.harm if self.harm else 1.0

    @property
    def overlap(self) -> float:
        """The mean Jaccard index of named actors and culprits, of those who had acted by then."""
        return sum(self.overlaps) / len(self.overlaps) if self.overlaps else 0.0

    def lead(self) -> tuple[float, float]:
        """Return the median lead of an alarm over the harm, in events and in seconds."""
        return (median(self.leads), median(self.leads_s)) if self.leads else (0.0, 0.0)

    def merge(self, other: Score) -> None:
        """Add the counts of another."""
        for name in ("harm", "benign", "alarmed", "hits", "false", "overlaps", "leads", "leads_s", "missed", "wrong"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def add(self, seen: Trace, alarms: Sequence[tuple[int, Sequence[str]]]) -> None:
        """Count one trace with its alarms, each with the index of its event."""
        self.harm += seen.is_harm
        self.benign += not seen.is_harm
        name = f"{seen.variant} {seen.seed}"
        culprits = set(seen.culprits)
        right = [(at, actors) for at, actors in alarms if seen.first_index <= at and culprits & set(actors)]
        if not seen.is_harm:
            right = []
            self.alarmed += bool(alarms)
        if len(right) < len(alarms):
            self.false += 1
            self.wrong.append(name)
        in_time = [(at, actors) for at, actors in right if at <= seen.harm_index]
        if in_time:
            self._hit(seen, *in_time[0])
        elif seen.is_harm:
            self.missed.append(name)

    def _hit(self, seen: Trace, at: int, actors: Sequence[str]) -> None:
        self.hits += 1
        acted = {getattr(event, "actor", "") for event in seen.events[: at + 1]}
        culprits = set(seen.culprits) & acted
        self.overlaps.append(len(culprits & set(actors)) / len(culprits | set(actors)))
        self.leads.append(seen.harm_index - at)
        self.leads_s.append((seen.events[seen.harm_index].at_us - seen.events[at].at_us) / 1e6)


def surroundings(setting: Setting) -> Described:
    """Return the world of a trace as detectors see it; what an invariant ties together is one component."""
    tied: dict[str, list[str]] = {name: [] for name in setting.fields}
    for rule in setting.rules:
        for name in rule.let.values():
            tied[name].append(rule.name)
    places = {
        name: Place(
            facts.settle_s,
            facts.epsilon,
            name.split("/")[0],
            facts.domain,
            facts.pool,
            tuple(tied[name]),
            facts.reaches,
        )
        for name, facts in setting.fields.items()
    }
    invariants = {rule.name: (parse(rule.holds), rule.let) for rule in setting.rules}
    premises = {key: parse(text) for key, text in setting.premises.items()}
    return Described(places, invariants, premises)


class Ours:
    """The whole panel, with its defaults and a baseline of the house's habits."""

    def __init__(self, setting: Setting) -> None:
        self.panel = Panel({}, surroundings(setting), house_baseline())

    def feed(self, event: WorldEvent) -> Iterable[tuple[str, Sequence[str]]]:
        return [(alarm.detector, alarm.actors) for alarm in self.panel.feed(event)]


class OursUntold:
    """The whole panel where nobody tells what is meant: no plans, no claims, no causes."""

    name = "ours, intent hidden"

    def __init__(self, setting: Setting) -> None:
        self._ours = Ours(setting)

    def feed(self, event: WorldEvent) -> Iterable[tuple[str, Sequence[str]]]:
        if isinstance(event, Claimed):
            return ()
        if isinstance(event, Acted):
            event = replace(event, plan="", claim="", caused_by="")
        return self._ours.feed(event)


_HOUSE: list[Baseline] = []


def house_baseline() -> Baseline:
    """Return what is usual in the house of the story `habit`, learned on seeds that are not reported."""
    if not _HOUSE:
        learner = BaselineLearner()
        for seed in TUNING[:5]:
            # Traces all start at the same moment: each is put a day after the one before.
            for event in trace("herding", "habit", seed).events:
                learner.learn(_later(event, seed * 86_400_000_000))
        _HOUSE.append(learner.propose().freeze("operator", 1))
    return _HOUSE[0]


def _later(event: WorldEvent, by_us: int) -> WorldEvent:
    return replace(event, at_us=event.at_us + by_us)


def alarms_of(make: MakeWatch, seen: Trace) -> list[tuple[int, str, Sequence[str]]]:
    """Let a watch see a trace; return its alarms, each with the index of its event and what raised it."""
    watch = make(seen.setting)
    return [(at, by, actors) for at, event in enumerate(seen.events) for by, actors in watch.feed(event)]


def score(make: MakeWatch, seen: Iterable[Trace], by: str = "") -> Score:
    """Score a watch on traces; with `by`, only what this detector of it raises."""
    total = Score()
    for one in seen:
        found = [(at, actors) for at, name, actors in alarms_of(make, one) if not by or name == by]
        total.add(one, found)
    return total


DETECTORS = tuple(KINDS)
