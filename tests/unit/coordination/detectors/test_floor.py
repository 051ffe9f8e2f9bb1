"""On reported seeds, no detector is worse than it was: the stored floors may rise and never fall.

They are below what was seen (docs/benchmarks.md has that, over many more seeds), by what few seeds waver.
"""

from __future__ import annotations

import pytest

from benchmarks.detection_score import Ours, Score, alarms_of
from comity.testing.corpus import FAMILIES, REPORTED, traces

FLOORS = {
    "oscillation": (0.95, 0.75),
    "limit_cycle": (0.85, 0.85),
    "direct_conflict": (0.95, 0.9),
    "indirect_conflict": (0.95, 0.9),
    "implicit_conflict": (0.75, 0.9),
    "stale": (0.95, 0.85),
    "undo_war": (0.95, 0.95),
    "intent_violation": (0.95, 0.95),
    "cascade": (0.95, 0.95),
    "herding": (0.9, 0.95),
    "domain_cap": (0.95, 0.95),
    "livelock": (0.85, 0.95),
    "contract_drift": (0.95, 0.95),
}
SEEDS = 4


@pytest.mark.parametrize("family", FAMILIES)
def test_precision_and_recall_do_not_fall_below_their_floor(family):
    score = Score()
    for seen in traces(family, REPORTED[:SEEDS]):
        score.add(seen, [(at, actors) for at, by, actors in alarms_of(Ours, seen) if by == family])
    precision, recall = FLOORS[family]
    assert score.precision >= precision, f"false alarms: {score.wrong}"
    assert score.recall >= recall, f"missed: {score.missed}"
    assert score.overlap >= 0.6
