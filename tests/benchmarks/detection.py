"""Detection: how much of the corpus's harm is told, how early and how rightly, by ours and by simple peers.

`python -m benchmarks --only detection`; the seeds are those that no constant was chosen by.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.detection_peers import PEERS
from benchmarks.detection_score import DETECTORS, MakeWatch, Ours, OursUntold, Score, alarms_of
from comity.testing.corpus import FAMILIES, REPORTED, Trace, traces

SEEDS_FULL, SEEDS_QUICK = 30, 3
OURS, PANEL, HIDDEN = "ours", "ours, all detectors", OursUntold.name


@dataclass
class Row:
    """What one watch made of one family."""

    precision: float
    recall: float
    overlap: float
    lead_events: float
    lead_s: float
    harm: int
    benign: int
    alarmed: int


@dataclass
class DetectionFigures:
    """What a run showed.

    Attributes:
        seeds: Reported seeds of each variant.
        rows: By family, then by watch.
        totals: By watch, over all families: each detector on the traces of its own.
        update_us: Microseconds of CPU for an event, of each detector alone and of the whole panel.
        missed: By family, the stories that were missed or wrongly alarmed, with how often.
    """

    seeds: int
    rows: dict[str, dict[str, Row]] = field(default_factory=dict)
    totals: dict[str, Row] = field(default_factory=dict)
    update_us: dict[str, float] = field(default_factory=dict)
    missed: dict[str, list[str]] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """Return the figures as text."""
        yield f"detection: {self.seeds} reported seeds of each story; a hit is an alarm on a culprit before the harm"
        for family, rows in (*self.rows.items(), ("all families", self.totals)):
            any_row = next(iter(rows.values()))
            yield f"  {family} ({any_row.harm} harms, {any_row.benign} benign twins)"
            for watch, row in rows.items():
                lead = f"lead {row.lead_events:.0f} events, {row.lead_s:.0f} s" if row.recall else "no lead"
                figures = f"precision {row.precision:.2f}, recall {row.recall:.2f}, culprits {row.overlap:.2f}"
                figures += f", {row.alarmed} of {row.benign} twins alarmed, {lead}"
                yield f"    {watch:20} {figures}"
        for family, stories in self.missed.items():
            yield f"  {family}: {', '.join(stories)}"
        shown = ", ".join(f"{name} {us:.2f}" for name, us in self.update_us.items())
        yield f"  microseconds of CPU an event: {shown}"


def observe(*, is_quick: bool) -> DetectionFigures:
    """Let every watch see every trace."""
    found = DetectionFigures(SEEDS_QUICK if is_quick else SEEDS_FULL)
    totals: dict[str, Score] = {}
    watches: dict[str, MakeWatch] = {peer.name: peer for peer in PEERS}
    for family in FAMILIES:
        scores = {name: Score() for name in (OURS, PANEL, HIDDEN, *watches)}
        for seen in traces(family, REPORTED[: found.seeds]):
            alarms = alarms_of(Ours, seen)
            scores[OURS].add(seen, [(at, actors) for at, by, actors in alarms if by == family])
            hidden = alarms_of(OursUntold, seen)
            scores[HIDDEN].add(seen, [(at, actors) for at, by, actors in hidden if by == family])
            scores[PANEL].add(seen, [(at, actors) for at, _, actors in alarms])
            for name, make in watches.items():
                scores[name].add(seen, [(at, actors) for at, _, actors in alarms_of(make, seen)])
        found.rows[family] = {name: _row(score) for name, score in scores.items()}
        for name, score in scores.items():
            totals.setdefault(name, Score()).merge(score)
        stories = _told(scores[OURS])
        if stories:
            found.missed[family] = stories
    found.totals = {name: _row(score) for name, score in totals.items()}
    found.update_us = _update_us([next(iter(traces(family, REPORTED[:1]))) for family in FAMILIES])
    return found


def _row(score: Score) -> Row:
    return Row(score.precision, score.recall, score.overlap, *score.lead(), score.harm, score.benign, score.alarmed)


def _told(score: Score) -> list[str]:
    """Return which stories were missed or wrongly alarmed, with how often."""
    counts: dict[str, int] = {}
    for what, names in (("missed", score.missed), ("wrong", score.wrong)):
        for name in names:
            key = f"{what} `{name.rpartition(' ')[0]}`"
            counts[key] = counts.get(key, 0) + 1
    return [f"{key} {count} times" for key, count in counts.items()]


def _update_us(seen: list[Trace]) -> dict[str, float]:
    """Measure each detector alone and the panel, on the same events."""
    events = sum(len(one.events) for one in seen)
    figures = {}
    for name in (*DETECTORS, "panel"):
        panels = [(Ours(one.setting).panel, one) for one in seen]
        feeds = [(panel.feed if name == "panel" else panel.detector(name).feed, one) for panel, one in panels]
        begun_s = time.process_time()
        for feed, one in feeds:
            for event in one.events:
                feed(event)
        figures[name] = (time.process_time() - begun_s) / events * 1e6
    return figures
