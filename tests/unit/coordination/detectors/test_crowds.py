"""Cascades, herds, and too much of one kind taken down."""

from __future__ import annotations

from comity.coordination.detectors.baseline import Baseline
from comity.coordination.detectors.cascade import Cascade
from comity.coordination.detectors.domain_cap import DomainCap
from comity.coordination.detectors.herding import Herding
from comity.coordination.detectors.surroundings import Place

# ---- cascade


def tree(tell, children, levels, gap_s=5.0, **named):
    """Let each act cause some others, level by level; return the alarms."""
    tell.watch(Cascade)
    causes, told, at_s = [""], [], 0.0
    for level in range(levels):
        made = []
        for cause in causes:
            for _ in range(children if level else 1):
                field = f"host/{tell.calls}.x"
                told += tell.act(at_s, f"healer-{tell.calls % 5}", field, 1, caused_by=cause, **named)
                made.append(tell.last.call)
                at_s += gap_s / max(1, len(causes))
        causes = made
    return told


def test_a_tree_that_is_deep_and_large_alarms(tell):
    told = tree(tell, 2, 6)
    assert told[0].facts["depth"] >= 4
    assert told[0].facts["size"] >= 24
    assert len(told[0].actors) == 5


def test_a_deep_tree_is_told_again_as_escalated(tell):
    told = tree(tell, 2, 7)
    assert [alarm.facts["is_escalated"] for alarm in told if alarm.facts["size"] > 60] == [1.0]


def test_a_long_chain_and_a_wide_fan_are_no_cascades(tell):
    assert not tree(tell, 1, 12)
    assert not tree(tell, 40, 2, gap_s=0.1)


def test_a_plan_may_be_four_times_as_large(tell):
    assert not tree(tell, 2, 6, plan="plan-1")
    assert tree(tell, 2, 7, plan="plan-1")


def test_more_children_than_parents_alarm_before_any_tree_is_large(tell):
    tell.watch(Cascade)
    told = []
    roots = []
    for number in range(30):
        told += tell.act(number * 0.1, f"a{number}", f"x/{number}.v", 1, call=f"root/{number}")
        roots.append(tell.last.call)
    for level, gap_s in ((0, 5.0), (1, 20.0), (2, 35.0)):
        made = []
        for number, cause in enumerate(roots):
            for twin in range(1 + (number % 2 if level else 0)):
                told += tell.act(gap_s + number * 0.1, f"b{number}", f"y/{level}-{number}-{twin}.v", 1, caused_by=cause)
                made.append(tell.last.call)
        roots = made
    assert told
    assert told[0].facts["reproduction"] > 1
    assert told[0].facts["size"] < 24


def test_an_act_that_is_told_twice_counts_once(tell):
    tell.watch(Cascade)
    tell.act(0, "a", "x/1.v", 1, call="a/1")
    for number in range(60):
        assert not tell.act(number, "b", "x/2.v", number, call="b/1", caused_by="a/1")


def test_a_cause_that_nobody_knows_starts_a_tree(tell):
    tell.watch(Cascade)
    assert not tell.act(0, "a", "x/1.v", 1, caused_by="unheard-of")
    assert tell.detector.would(tell.acted(1, "a", "x/1.v", 2, caused_by="unheard-of-too")) is None


# ---- herding


def herd(tell, agents, gap_s=0.5, baseline=None, observation="", **named):
    tell.watch(Herding, None, *([baseline] if baseline else []))
    told = []
    for number in range(agents):
        field = f"position/{number}.size"
        tell.values[field] = 100
        seen = observation or f"own-{number}"
        told += tell.act(number * gap_s, f"agent-{number}", field, -10, "add", tool="sell", observation=seen, **named)
    return told


def test_eight_agents_that_do_the_same_at_once_are_a_herd_told_once(tell):
    told = herd(tell, 30)
    assert [len(alarm.actors) for alarm in told] == [8]


def test_seven_are_none_nor_are_many_one_after_the_other(tell):
    assert not herd(tell, 7)
    assert not herd(tell, 30, gap_s=15.0)


def test_thirty_workers_of_one_plan_are_none(tell):
    assert not herd(tell, 30, plan="plan-1", observation="seen-1")


def test_a_slow_herd_on_one_observation_is_told(tell):
    told = herd(tell, 20, gap_s=5.0, observation="wrong-price")
    assert told[0].facts["observation_share"] == 1.0


def test_few_bets_of_many_agents_are_told(tell):
    tell.watch(Herding)
    told = []
    for number in range(24):
        tell.values[f"position/{number}.size"] = 100
        seen = f"seen-{number % 3}"
        told += tell.act(number * 6.0, f"agent-{number}", f"position/{number}.size", -10, "add", observation=seen)
    assert told


def test_what_is_usual_is_no_herd(tell):
    usual = Baseline({"sell position.size down": 3.0}, windows=10, signed_by="operator")
    assert not herd(tell, 14, gap_s=0.1, baseline=usual)
    assert herd(tell, 15, gap_s=0.1, baseline=usual)


def test_the_eighth_agent_is_foretold(tell):
    herd(tell, 7)
    tell.values["position/9.size"] = 100
    assert tell.detector.would(tell.acted(4, "agent-9", "position/9.size", -10, "add", tool="sell")) is not None
    assert tell.detector.would(tell.acted(4, "agent-9", "position/9.size", 10, "add", tool="sell")) is None


# ---- domain cap


def take_down(tell, domains, gap_s=60.0, pool=0):
    tell.watch(DomainCap)
    told = []
    for number, domain in enumerate(domains):
        field = f"control/{number}.up"
        tell.places[field] = Place(domain=domain, pool=pool)
        tell.values[field] = 1
        told += tell.act(number * gap_s, f"keeper-{number}", field, 0, is_destructive=True)
    return told


def test_a_second_domain_within_the_window_alarms(tell):
    told = take_down(tell, ["a", "a", "b"])
    assert [alarm.actors for alarm in told] == [("keeper-0", "keeper-1", "keeper-2")]


def test_one_domain_or_a_second_one_much_later_does_not(tell):
    assert not take_down(tell, ["a"] * 5)
    assert not take_down(tell, ["a", "b"], gap_s=901.0)


def test_more_than_a_quarter_of_a_pool_alarms_but_never_a_single_one(tell):
    assert take_down(tell, ["a"] * 4, pool=12)
    assert not take_down(tell, ["a"] * 3, pool=12)
    assert not take_down(tell, ["a"], pool=2)


def test_what_did_not_happen_took_nothing_down(tell):
    take_down(tell, ["a"])
    tell.settle(1, tell.last.call, "not_happened")
    tell.places["control/9.up"] = Place(domain="b")
    assert not tell.act(2, "keeper-9", "control/9.up", 0, is_destructive=True)


def test_a_second_domain_is_foretold(tell):
    take_down(tell, ["a"])
    tell.places["control/9.up"] = Place(domain="b")
    act = tell.acted(2, "keeper-9", "control/9.up", 0, is_destructive=True)
    assert tell.detector.would(act) is not None
    assert tell.detector.would(tell.acted(2, "keeper-9", "control/9.up", 0)) is None
