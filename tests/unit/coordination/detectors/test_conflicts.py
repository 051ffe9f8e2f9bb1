"""Direct, indirect and implicit conflicts."""

from __future__ import annotations

from comity.coordination.detectors.direct_conflict import DirectConflict
from comity.coordination.detectors.implicit_conflict import ImplicitConflict
from comity.coordination.detectors.indirect_conflict import IndirectConflict
from comity.coordination.detectors.surroundings import Place

FIELD = "service/web.replicas"


# ---- direct


def two(tell, gap_s, first=4, second=-2, settle_s=60.0, **named):
    tell.places[FIELD] = Place(settle_s=settle_s)
    tell.watch(DirectConflict)
    tell.values[FIELD] = 10
    assert not tell.act(0, "one", FIELD, first, "add")
    return tell.act(gap_s, named.pop("by", "two"), FIELD, second, "add", **named)


def test_acts_against_each_other_before_the_first_has_settled_conflict(tell):
    assert [alarm.actors for alarm in two(tell, 30)] == [("one", "two")]


def test_the_same_way_or_later_or_by_oneself_is_no_conflict(tell):
    assert not two(tell, 30, second=2)
    assert not two(tell, 61)
    assert not two(tell, 30, by="one")


def test_an_answer_that_names_its_cause_is_no_conflict(tell):
    assert two(tell, 30, caused_by="somebody/1")
    call = f"one/{tell.calls + 1}"
    assert not two(tell, 30, caused_by=call)


def test_a_field_that_settles_at_once_conflicts_only_at_once(tell):
    assert two(tell, 0.5, settle_s=0.0)
    assert not two(tell, 1.5, settle_s=0.0)


def test_what_did_not_happen_conflicts_with_nothing(tell):
    tell.places[FIELD] = Place(settle_s=60.0)
    tell.watch(DirectConflict)
    tell.values[FIELD] = 10
    tell.act(0, "one", FIELD, 4, "add")
    tell.settle(1, tell.last.call, "not_happened")
    assert not tell.act(10, "two", FIELD, -2, "add")


def test_two_values_for_one_switch_conflict(tell):
    tell.places["db/main.primary"] = Place(settle_s=60.0)
    detector = tell.watch(DirectConflict)
    tell.values["db/main.primary"] = "a"
    tell.act(0, "failover", "db/main.primary", "b")
    assert detector.would(tell.acted(20, "rescue", "db/main.primary", "a")) is not None
    assert tell.act(20, "rescue", "db/main.primary", "a")


# ---- indirect


def drains(tell, gap_s):
    tell.places |= {"replica/a.ready": Place(settle_s=60.0), "replica/b.ready": Place(settle_s=60.0)}
    tell.invariant("one is ready", "a + b >= 1", a="replica/a.ready", b="replica/b.ready")
    tell.watch(IndirectConflict)
    for field in ("replica/a.ready", "replica/b.ready"):
        tell.see(0, field, 1)
    assert not tell.act(10, "node-a", "replica/a.ready", 0)
    return tell.acted(10 + gap_s, "node-b", "replica/b.ready", 0)


def test_two_drains_of_which_each_is_fine_alone_conflict(tell):
    act = drains(tell, 30)
    assert tell.detector.would(act).actors == ("node-a", "node-b")
    assert tell.detector.feed(act)[0].fields == ("replica/a.ready", "replica/b.ready")


def test_a_drain_that_breaks_the_invariant_alone_is_no_conflict(tell):
    act = drains(tell, 61)
    assert not tell.detector.feed(act)


def test_three_conflict_where_every_pair_is_fine(tell):
    names = {"a": "app/web.replicas", "r": "route/web.share", "d": "db/main.instances"}
    tell.places |= {field: Place(settle_s=60.0) for field in names.values()}
    tell.invariant("load", "a * r <= d * 1.9", **names)
    tell.watch(IndirectConflict)
    for field, value in zip(names.values(), (6, 0.6, 4), strict=True):
        tell.see(0, field, value)
    assert not tell.act(10, "performance", names["a"], 2, "add")
    assert not tell.act(20, "cost", names["d"], -1, "add")
    alarms = tell.act(30, "routing", names["r"], 0.2, "add")
    assert [alarm.actors for alarm in alarms] == [("cost", "performance", "routing")]


def test_who_is_not_needed_for_the_harm_is_not_named(tell):
    act = drains(tell, 30)
    tell.invariants.clear()
    tell.places.clear()
    names = {"a": "replica/a.ready", "b": "replica/b.ready", "c": "replica/c.ready"}
    tell.invariant("one of the first is ready", "a + b + 0 * c >= 1", **names)
    tell.places |= {field: Place(60.0, invariants=tell.places[field].invariants) for field in names.values()}
    tell.watch(IndirectConflict)
    for field in names.values():
        tell.see(0, field, 1)
    tell.act(10, "node-c", names["c"], 0)
    tell.act(11, "node-a", names["a"], 0)
    assert tell.detector.feed(act)[0].actors == ("node-a", "node-b")


def test_without_an_invariant_opposite_pulls_on_one_field_conflict(tell):
    tell.places |= {
        "app/web.replicas": Place(settle_s=60.0, reaches={"db/main.load": 2.0}),
        "db/main.instances": Place(settle_s=60.0, reaches={"db/main.load": -5.0}),
    }
    tell.watch(IndirectConflict)
    tell.values |= {"app/web.replicas": 5, "db/main.instances": 5}
    tell.act(0, "one", "app/web.replicas", 1, "add")
    assert not tell.act(10, "two", "db/main.instances", -1, "add")
    assert tell.act(20, "two", "db/main.instances", 1, "add")


def test_an_unknown_value_decides_nothing(tell):
    tell.invariant("sum", "a + b + c <= 3", a="x/a.v", b="x/b.v", c="x/c.v")
    tell.watch(IndirectConflict)
    tell.values |= {"x/a.v": 1, "x/b.v": 1}
    tell.act(0, "one", "x/a.v", 9)
    assert not tell.act(0.5, "two", "x/b.v", 9)


# ---- implicit


def goal(tell, acts, falls, until_s=2400, actor="replacer"):
    tell.watch(ImplicitConflict)
    told = []
    for at_s in range(0, until_s, 20):
        if at_s in acts:
            tell.values.setdefault(f"cache/{at_s}.warm", 1)
            tell.act(at_s, actor, f"cache/{at_s}.warm", 0)
        low = any(start <= at_s < start + 60 for start in falls)
        told += tell.measure(at_s + 1, "keeper", 50.0 if low else 100.0)
    return told


ACTS = (200, 600, 1000, 1400, 1800, 2200)


def test_a_goal_that_falls_each_time_another_acts_is_told(tell):
    told = goal(tell, ACTS, [at_s + 40 for at_s in ACTS])
    assert [alarm.actors for alarm in told] == [("keeper", "replacer")]
    assert told[0].facts["falls_else"] == 0


def test_falls_at_other_times_are_not_its_doing(tell):
    assert not goal(tell, ACTS, [at_s + 240 for at_s in ACTS])


def test_an_actor_that_acts_all_the_time_is_not_blamed(tell):
    assert not goal(tell, tuple(range(0, 2400, 60)), [at_s + 40 for at_s in ACTS])


def test_who_acts_on_the_same_part_of_the_world_conflicts_openly_or_not_at_all(tell):
    tell.places |= {f"cache/{at_s}.warm": Place(component="one") for at_s in ACTS} | {"db/a.x": Place(component="one")}
    tell.watch(ImplicitConflict)
    keeper = tell.acted(0, "keeper", "db/a.x", 1)
    for at_s in range(0, 2400, 20):
        tell.detector.feed(keeper)
        if at_s in ACTS:
            tell.values[f"cache/{at_s}.warm"] = 1
            tell.act(at_s, "replacer", f"cache/{at_s}.warm", 0)
        assert not tell.measure(at_s + 1, "keeper", 50.0 if any(a + 40 <= at_s < a + 100 for a in ACTS) else 100.0)


def test_a_field_that_twice_is_not_where_it_was_expected_is_told_with_its_inverse(tell):
    tell.places[FIELD] = Place(settle_s=10.0)
    tell.watch(ImplicitConflict)
    tell.values[FIELD] = 10
    told = []
    for turn in range(2):
        tell.values[FIELD] = 10
        tell.act(turn * 100, "one", FIELD, 4, "add")
        told += tell.see(turn * 100 + 5, FIELD, 10)
        told += tell.see(turn * 100 + 25, FIELD, 10)
    assert [alarm.actors for alarm in told] == [("one",)]
    assert told[0].facts["inverse"] == 10
