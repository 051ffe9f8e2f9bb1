"""Stale decisions, and writes against what is claimed."""

from __future__ import annotations

import pytest

from comity.coordination.detectors.intent_violation import IntentViolation
from comity.coordination.detectors.stale import Stale
from comity.journal.world import Claim, Claimed, Turned

CASE, SENT = "customer/1.case", "customer/1.reminders"


# ---- stale


def decide(tell, *, meanwhile, thinks_s=30.0):
    tell.premise("remind", CASE, "value != 'open'")
    tell.watch(Stale)
    tell.values[SENT] = 0
    tell.see(0, CASE, "none")
    read = tell.versions[CASE]
    for number, value in enumerate(meanwhile):
        tell.act(1 + number, "complaints", CASE, value)
    return tell.acted(thinks_s, "collections", SENT, 1, "add", tool="remind", reads={CASE: read})


def test_an_act_whose_premise_is_false_by_now_is_stale(tell):
    act = decide(tell, meanwhile=["open"])
    assert tell.detector.would(act) is not None
    assert tell.detector.feed(act)[0].actors == ("collections", "complaints")
    assert not tell.detector.feed(act)


def test_a_premise_that_holds_again_is_not_stale_whatever_the_version(tell):
    act = decide(tell, meanwhile=["open", "closed"])
    assert not tell.detector.feed(act)


def test_a_decision_on_the_newest_version_is_not_stale(tell):
    act = decide(tell, meanwhile=[])
    assert not tell.detector.feed(act)


def test_a_standing_decision_that_loses_its_premise_is_told(tell):
    act = decide(tell, meanwhile=[])
    assert not tell.detector.feed(act)
    alarms = tell.act(40, "complaints", CASE, "open")
    assert [alarm.actors for alarm in alarms] == [("collections", "complaints")]
    assert alarms[0].at_us == 40_000_000


def test_a_decision_with_an_outcome_stands_no_longer(tell):
    act = decide(tell, meanwhile=[])
    tell.detector.feed(act)
    tell.settle(35, act.call)
    assert not tell.act(40, "complaints", CASE, "open")


@pytest.mark.parametrize(("value", "is_stale"), [(25.0, False), (45.0, False), (90.0, True)])
def test_without_a_premise_only_a_much_different_value_is_stale(tell, value, is_stale):
    tell.watch(Stale)
    tell.values["db/a.instances"] = 5
    tell.see(0, "db/a.used", 30.0)
    read = tell.versions["db/a.used"]
    tell.see(10, "db/a.used", value)
    assert bool(tell.act(20, "cost", "db/a.instances", -1, "add", reads={"db/a.used": read})) is is_stale


def test_an_older_plan_over_a_newer_one_is_stale(tell):
    tell.watch(Stale)
    tell.values["dns/a.plan"], tell.versions["dns/a.plan"] = "plan-1", 1
    tell.act(10, "enactor-2", "dns/a.plan", "plan-5", reads={"dns/a.plan": 1})
    assert tell.act(20, "enactor-1", "dns/a.plan", "plan-2", reads={"dns/a.plan": 1})


def test_what_an_actor_changed_itself_is_not_stale_to_it(tell):
    tell.watch(Stale)
    tell.values["dns/a.plan"], tell.versions["dns/a.plan"] = "plan-1", 1
    tell.act(10, "enactor-1", "dns/a.plan", "plan-5", reads={"dns/a.plan": 1})
    assert not tell.act(20, "enactor-1", "dns/a.plan", "plan-6", reads={"dns/a.plan": 1})


def test_being_turned_away_for_premises_again_and_again_is_told(tell):
    tell.watch(Stale)
    told = [
        tell.detector.feed(Turned(at * 1_000_000, f"c/{at}", "slow", "t", "reject", "premise: x", ("a/1.x",)))
        for at in range(4)
    ]
    assert [len(alarms) for alarms in told] == [0, 0, 1, 0]


# ---- intent violation

FIELD = "scaler/main.enabled"


def claimed(tell, mode, owner="agent:owner", rank="agent", scope="scaler/main.*", **named):
    claim = Claim("claim-1", scope, mode, owner, 0, 600_000_000, rank, **named)
    tell.watch(IntentViolation)
    tell.detector.feed(Claimed(0, claim))
    return claim


@pytest.mark.parametrize("mode", ["exclusive", "hands-off", "leave-as-is"])
def test_a_foreign_write_inside_a_claim_is_told_once(tell, mode):
    claimed(tell, mode)
    tell.values[FIELD] = False
    act = tell.acted(10, "corrector", FIELD, True)
    assert tell.detector.would(act).actors == ("corrector",)
    assert [alarm.evidence for alarm in tell.detector.feed(act)] == [(act.call, "claim-1")]
    assert not tell.act(20, "corrector", FIELD, True)


@pytest.mark.parametrize(
    ("mode", "step", "is_told"),
    [
        ("up-only", 1, False),
        ("up-only", -1, True),
        ("down-only", 1, True),
        ("down-only", -1, False),
        ("shared", 1, False),
    ],
)
def test_a_claim_on_a_direction_binds_the_other_direction(tell, mode, step, is_told):
    claimed(tell, mode, scope="service/*")
    tell.values["service/a.replicas"] = 5
    assert bool(tell.act(10, "cost", "service/a.replicas", step, "add")) is is_told


def test_the_owner_and_who_acts_under_the_claim_may_write(tell):
    claimed(tell, "exclusive")
    tell.values[FIELD] = False
    assert not tell.act(10, "owner", FIELD, True)
    assert not tell.act(11, "helper", FIELD, False, claim="claim-1")


def test_a_claim_binds_neither_outside_its_scope_nor_after_its_end(tell):
    claim = claimed(tell, "leave-as-is")
    tell.values |= {FIELD: False, "scaler/spare.enabled": False}
    assert not tell.act(10, "corrector", "scaler/spare.enabled", True)
    assert not tell.act(601, "corrector", FIELD, True)
    tell.detector.feed(Claimed(602_000_000, claim, is_over=True))
    assert not tell.act(300, "corrector", FIELD, False)


def test_people_stand_above_agents_but_no_operator_above_people(tell):
    claimed(tell, "exclusive")
    tell.values[FIELD] = False
    assert not tell.act(10, "person:eva", FIELD, True)
    claimed(tell, "exclusive", owner="person:eva", rank="person")
    assert tell.act(20, "operator:ops", FIELD, False)


def test_correcting_an_announced_change_is_told_whatever_its_mode(tell):
    claimed(tell, "shared", is_change=True)
    tell.values[FIELD] = False
    assert "announced" in tell.act(10, "corrector", FIELD, True)[0].text
