"""On reported seeds, no detector is worse than it was: the stored floors may rise and never fall.

They are what was seen on these few seeds, cut to two digits; docs/benchmarks.md has it over many more.
"""

from __future__ import annotations

import pytest

from benchmarks.detection_score import Ours, Score, alarms_of
from comity.testing.corpus import FAMILIES, REPORTED, traces

FLOORS = {
    "oscillation": (1.0, 0.87),
    "limit_cycle": (1.0, 0.87),
    "direct_conflict": (1.0, 0.87),
    "indirect_conflict": (1.0, 1.0),
    "implicit_conflict": (0.8, 1.0),
    "stale": (1.0, 0.91),
    "undo_war": (1.0, 1.0),
    "intent_violation": (1.0, 1.0),
    "cascade": (1.0, 1.0),
    "herding": (1.0, 1.0),
    "domain_cap": (1.0, 1.0),
    "livelock": (1.0, 1.0),
    "contract_drift": (1.0, 1.0),
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
