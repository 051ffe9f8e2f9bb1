"""Baselines: learned, proposed, frozen; alarm windows are left out."""

from __future__ import annotations

import msgspec
import pytest

from comity.coordination.detectors.baseline import Baseline, BaselineLearner
from comity.core.errors import UsageError
from comity.journal.world import Acted, Change, Measured

S = 1_000_000
SIGNATURE = "renew token.age down"


def crowd(at_s: float, agents: int, plan: str = "") -> list[Acted]:
    return [
        Acted(int(at_s * S), f"{at_s}/{n}", f"a{n}", "renew", (Change(f"token/{n}.age", "add", -1, 5, 4),), plan=plan)
        for n in range(agents)
    ]


def learned(*crowds: list[Acted], until_s: float = 1e5) -> BaselineLearner:
    learner = BaselineLearner()
    for act in (act for one in crowds for act in one):
        learner.learn(act)
    learner.learn(Measured(int(until_s * S), "a", "goal", 1.0))
    return learner


def test_what_is_usual_is_the_mean_of_the_windows_in_which_it_happens():
    proposal = learned(crowd(100, 10), crowd(1000, 14)).propose()
    assert proposal.usual(SIGNATURE) == 12.0
    assert proposal.usual("unheard of") == 0.0
    assert proposal.windows == 2


def test_an_agent_that_acts_often_in_one_window_is_one():
    assert learned(crowd(100, 3) + crowd(101, 3)).propose().usual(SIGNATURE) == 3.0


def test_windows_around_an_alarm_are_left_out():
    learner = BaselineLearner()
    for act in (*crowd(100, 4), *crowd(1000, 90)):
        learner.learn(act)
    learner.exclude(1003 * S)
    for act in (*crowd(1100, 90), *crowd(3000, 4)):
        learner.learn(act)
    learner.learn(Measured(100_000 * S, "a", "goal", 1.0))
    proposal = learner.propose()
    assert proposal.usual(SIGNATURE) == 4.0
    assert proposal.excluded == 2


def test_a_plan_is_no_habit():
    assert learned(crowd(100, 30, plan="plan-1")).propose().windows == 0


def test_a_proposal_is_signed_once_somebody_answers_for_it():
    proposal = learned(crowd(100, 10)).propose()
    assert not proposal.signed_by
    frozen = proposal.freeze("eva", 7)
    assert (frozen.signed_by, frozen.signed_at_us) == ("eva", 7)
    assert msgspec.json.decode(msgspec.json.encode(frozen), type=Baseline) == frozen


def test_nobody_signs_nothing():
    with pytest.raises(UsageError, match="somebody"):
        learned(crowd(100, 10)).propose().freeze(" ", 7)
    with pytest.raises(UsageError, match="nothing was learned"):
        BaselineLearner().propose().freeze("eva", 7)


def test_learning_on_changes_nothing_that_was_frozen():
    learner = learned(crowd(100, 10))
    frozen = learner.propose().freeze("eva", 7)
    for act in crowd(200_000, 500):
        learner.learn(act)
    assert frozen.usual(SIGNATURE) == 10.0
