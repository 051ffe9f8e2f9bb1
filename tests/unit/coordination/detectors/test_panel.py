"""The panel: settings, merging, repeated and late events, what would happen; and damping."""

from __future__ import annotations

import pytest

from comity.coordination.detectors.baseline import Baseline
from comity.coordination.detectors.damping import Damping, DampingParameters
from comity.coordination.detectors.panel import KINDS, Panel
from comity.coordination.detectors.surroundings import Described, Place
from comity.coordination.document import DetectorSection
from comity.core.errors import UsageError
from comity.core.expression import parse
from comity.journal.world import Published, Settled

FIELD = "service/web.replicas"
WORLD = Described({FIELD: Place(settle_s=20.0)})
S = 1_000_000


def pulls(tell, count, gap_s=25.0):
    """Return acts of two agents that pull by turns."""
    tell.values[FIELD] = 10
    made = []
    for turn in range(count):
        act = tell.acted(turn * gap_s, "ab"[turn % 2], FIELD, (4, -4)[turn % 2], "add")
        tell.values[FIELD], tell.versions[FIELD] = act.changes[0].after, act.changes[0].version
        made.append(act)
    return made


def test_detectors_observe_and_notify_until_they_are_told_otherwise():
    panel = Panel({"oscillation": DetectorSection("enforce", "damp", {"penalty_alarm": 4})}, WORLD)
    assert (panel.mode("oscillation"), panel.action("oscillation")) == ("enforce", "damp")
    assert (panel.mode("herding"), panel.action("herding")) == ("observe", "notify")
    standing = {one.name: one for one in panel.standing()}
    assert list(standing) == list(KINDS)
    assert standing["oscillation"].parameters["penalty_alarm"] == 4.0
    assert standing["cascade"].parameters["depth_min"] == 4


@pytest.mark.parametrize(
    ("sections", "code", "hint"),
    [
        ({"oscilation": DetectorSection()}, "unknown_detector", "did you mean `oscillation`?"),
        ({"herding": DetectorSection(parameters={"agent_min": 3})}, "unknown_parameter", "did you mean `agents_min`?"),
        ({"herding": DetectorSection(parameters={"agents_min": 3.5})}, "bad_parameter", "default"),
        ({"herding": DetectorSection(parameters={"agents_min": 0})}, "bad_parameter", "default"),
        ({"herding": DetectorSection(parameters={"window_s": -1})}, "bad_parameter", "default"),
        ({"herding": DetectorSection(parameters={"window_s": float("nan")})}, "bad_parameter", "default"),
    ],
)
def test_what_is_unknown_or_impossible_is_an_error_with_a_way_out(sections, code, hint):
    with pytest.raises(UsageError) as caught:
        Panel(sections, WORLD)
    assert caught.value.code == code
    assert hint in caught.value.hint


def test_an_unknown_parameter_names_the_known_ones():
    with pytest.raises(UsageError) as caught:
        Panel({"contract_drift": DetectorSection(parameters={"x": 1})}, WORLD)
    assert "`growth_max`, `quiet_s`" in caught.value.hint


def test_a_baseline_that_nobody_signed_is_refused():
    with pytest.raises(UsageError, match="signed off"):
        Panel({}, WORLD, Baseline({"x": 1.0}, windows=4))


def test_alarms_are_counted_and_dated(tell):
    panel = Panel({}, WORLD)
    found = [alarm for act in pulls(tell, 5) for alarm in panel.feed(act)]
    assert [alarm.detector for alarm in found] == ["oscillation"]
    standing = {one.name: one for one in panel.standing()}
    assert standing["oscillation"].alarms == 1
    assert standing["oscillation"].last_us == found[0].at_us


def test_an_event_that_comes_again_changes_nothing(tell):
    once, twice = Panel({}, WORLD), Panel({}, WORLD)
    acts = pulls(tell, 8)
    first = [alarm for act in acts for alarm in once.feed(act)]
    second = [alarm for act in acts for _ in range(3) for alarm in twice.feed(act)]
    assert first == second
    assert twice.statistics() == {"repeated": 16, "late": 0}


def test_an_event_that_comes_late_happens_now():
    panel = Panel({}, WORLD)
    panel.feed(Published(1000 * S, "g/1", "g", "file/a", 60))
    alarms = panel.feed(Published(10 * S, "g/2", "g", "file/a", 600))
    assert [alarm.at_us for alarm in alarms] == [1000 * S]
    assert panel.statistics()["late"] == 1


def test_an_outcome_of_a_call_that_nobody_knows_is_borne():
    panel = Panel({}, WORLD)
    assert not panel.feed(Settled(1, "unheard-of", "not_happened"))


def test_would_tells_which_detectors_an_act_would_set_off(tell):
    panel = Panel({}, WORLD)
    acts = pulls(tell, 4)
    for act in acts[:3]:
        panel.feed(act)
    assert [alarm.detector for alarm in panel.would(acts[3])] == ["oscillation"]
    assert [alarm.detector for alarm in panel.feed(acts[3])] == ["oscillation"]


def test_a_panel_gives_its_detectors_by_name():
    panel = Panel({}, WORLD)
    assert [panel.detector(name).name for name in KINDS] == list(KINDS)
    with pytest.raises(UsageError):
        panel.detector("weather")


def test_described_surroundings_claim_nothing_that_they_do_not_know():
    world = Described(
        {}, {"sum": (parse("a + b < 3"), {"a": "x/1.v", "b": "x/2.v"})}, {("t", "x/1.v"): parse("value > 1")}
    )
    assert world.place("x/1.v") == Place()
    assert world.holds("sum", {"x/1.v": 1, "x/2.v": 1}) is True
    assert world.holds("sum", {"x/1.v": 1, "x/2.v": 2}) is False
    assert world.holds("sum", {"x/1.v": 1}) is None
    assert world.holds("sum", {"x/1.v": 1, "x/2.v": "many"}) is None
    assert world.holds("other", {}) is None
    assert world.rests("t", "x/1.v", 2) is True
    assert world.rests("t", "x/2.v", 2) is None


# ---- damping


def test_a_hold_doubles_with_each_strike_up_to_its_cap():
    damping = Damping(DampingParameters(hold_s_min=30, hold_s_max=200))
    at_us, holds = 0, []
    for _ in range(6):
        until_us = damping.strike(FIELD, at_us)
        holds.append((until_us - at_us) / S)
        at_us = until_us
    assert holds == [30, 60, 120, 200, 200, 200]


def test_a_slow_field_is_held_for_longer():
    assert Damping().strike(FIELD, 0, settle_s=100.0) == 200 * S


def test_a_field_is_held_until_then_and_free_afterwards():
    damping = Damping()
    until_us = damping.strike(FIELD, 0)
    assert damping.until_us(FIELD, until_us - 1) == until_us
    assert damping.until_us(FIELD, until_us) == 0
    assert damping.until_us("other/1.x", 0) == 0
    assert damping.held(1) == {FIELD: until_us}


def test_rest_forgives_one_doubling_after_another():
    damping = Damping(DampingParameters(decay_s=900))
    until_us = damping.strike(FIELD, damping.strike(FIELD, damping.strike(FIELD, 0)))
    assert damping.strike(FIELD, until_us + 1800 * S) - (until_us + 1800 * S) == 60 * S
    assert damping.strike(FIELD, until_us + 90_000 * S) - (until_us + 90_000 * S) == 30 * S


def test_a_strike_never_shortens_a_hold_and_a_release_ends_it():
    damping = Damping()
    late_us = damping.strike(FIELD, 1000 * S)
    assert damping.strike(FIELD, 0) >= late_us
    damping.release(FIELD)
    assert damping.until_us(FIELD, 1000 * S) == 0
