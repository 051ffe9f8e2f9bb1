"""Oscillation, limit cycle, undo war: what alarms, what does not, and when."""

from __future__ import annotations

from comity.coordination.detectors.limit_cycle import LimitCycle
from comity.coordination.detectors.oscillation import Oscillation, OscillationParameters
from comity.coordination.detectors.surroundings import Place
from comity.coordination.detectors.undo_war import UndoWar

FIELD = "service/web.replicas"


def pull(tell, turns, gap_s=20.0, **named):
    """Let two agents pull by turns; return at which turns an alarm began."""
    tell.values.setdefault(FIELD, 10)
    told = []
    for turn in range(turns):
        step = 4 if turn % 2 == 0 else -4
        if tell.act(turn * gap_s, ("up", "down")[turn % 2], FIELD, step, "add", **named):
            told.append(turn)
    return told


# ---- oscillation


def test_a_field_that_goes_back_and_forth_alarms_once(tell):
    tell.watch(Oscillation)
    assert pull(tell, 12) == [4]


def test_the_alarm_names_who_pulls_and_not_who_passed_by(tell):
    tell.watch(Oscillation)
    tell.values[FIELD] = 10
    tell.act(0, "passer-by", FIELD, 1, "add")
    alarms = []
    for turn in range(1, 8):
        alarms += tell.act(turn * 20, ("up", "down")[turn % 2], FIELD, (4, -4)[turn % 2], "add")
    assert [alarm.actors for alarm in alarms] == [("down", "up")]
    assert alarms[0].facts["penalty"] >= 2.5
    assert set(alarms[0].fields) == {FIELD}


def test_what_converges_is_left_alone(tell):
    tell.watch(Oscillation)
    tell.values[FIELD] = 100.0
    step = 32.0
    for turn in range(10):
        assert not tell.act(turn * 10, ("up", "down")[turn % 2], FIELD, step, "add")
        step *= -0.5


def test_an_actor_against_itself_counts_half_and_a_plan_a_quarter(tell):
    tell.watch(Oscillation)
    tell.values[FIELD] = 10
    same = [turn for turn in range(12) if tell.act(turn * 10, "one", FIELD, (4, -4)[turn % 2], "add")]
    tell.watch(Oscillation)
    tell.values[FIELD] = 10
    assert pull(tell, 8, 10.0, plan="plan-1") == []
    assert same == [7]


def test_ten_reversals_alarm_under_any_plan(tell):
    tell.watch(Oscillation)
    assert pull(tell, 16, 1.0, plan="plan-1") == [11]


def test_reversals_far_apart_fade_away(tell):
    tell.watch(Oscillation)
    assert pull(tell, 20, gap_s=400.0) == []


def test_a_slow_field_remembers_for_longer(tell):
    tell.places[FIELD] = Place(settle_s=400.0)
    tell.watch(Oscillation)
    assert pull(tell, 20, gap_s=400.0) == [3]


def test_a_field_that_settles_at_once_has_the_shortest_half_life(tell):
    tell.places[FIELD] = Place(settle_s=0.0)
    tell.watch(Oscillation, OscillationParameters(half_life_s_min=0.0))
    assert pull(tell, 20) == []
    assert pull(tell, 20, gap_s=0.0) != []


def test_a_new_alarm_begins_after_the_field_was_quiet(tell):
    tell.watch(Oscillation)
    assert pull(tell, 8) == [4]
    tell.values[FIELD] = 10
    assert [turn for turn in range(8) if tell.act(5000 + turn * 20, "ab"[turn % 2], FIELD, (4, -4)[turn % 2], "add")]


def test_versions_that_come_back_oscillate_even_between_different_hot_fixes(tell):
    tell.places["release/shop.version"] = Place(settle_s=60.0)
    tell.watch(Oscillation)
    tell.values["release/shop.version"] = "v1"
    told = []
    for turn in range(6):
        told += tell.act(turn * 60, "fixer", "release/shop.version", f"fix-{turn}")
        told += tell.act(turn * 60 + 30, "guard", "release/shop.version", "v1")
    assert len(told) == 1
    assert "guard" in told[0].actors


def test_would_tells_the_same_as_feeding_and_changes_nothing(tell):
    detector = tell.watch(Oscillation)
    pull(tell, 4)
    act = tell.acted(80, "up", FIELD, 4, "add")
    assert detector.would(act) is not None
    assert detector.would(act) is not None
    assert tell.act(80, "up", FIELD, 4, "add")


def test_changes_within_epsilon_are_no_changes(tell):
    tell.places[FIELD] = Place(epsilon=5.0)
    tell.watch(Oscillation)
    assert pull(tell, 20) == []


# ---- limit cycle


def lap(tell, at_s, length_s=60.0):
    tell.values.setdefault("app/web.replicas", 6)
    tell.values.setdefault("db/main.instances", 4)
    told = []
    steps = [("app/web.replicas", 2), ("db/main.instances", -1), ("app/web.replicas", -2), ("db/main.instances", 1)]
    for number, (field, step) in enumerate(steps):
        told += tell.act(at_s + number * length_s / 4, field[:2], field, step, "add")
    return told


def test_a_step_that_is_taken_a_third_time_alarms(tell):
    tell.invariant("load", "a <= 2 * d", a="app/web.replicas", d="db/main.instances")
    tell.watch(LimitCycle)
    told = [alarm for number in range(5) for alarm in lap(tell, number * 60.0)]
    assert len(told) == 1
    assert told[0].actors == ("ap", "db")
    assert 120 * 1_000_000 <= told[0].at_us < 240 * 1_000_000


def test_a_change_of_the_surroundings_starts_the_count_again(tell):
    tell.invariant("load", "a * t <= d * 1000", a="app/web.replicas", d="db/main.instances", t="app/web.traffic")
    tell.watch(LimitCycle)
    for number in range(6):
        tell.see(number * 60.0 - 1.0, "app/web.traffic", (100.0, 180.0)[number % 2])
        assert not lap(tell, number * 60.0)


def test_resources_that_have_nothing_to_do_with_each_other_do_not_hide_a_cycle(tell):
    tell.invariant("load", "a <= 2 * d", a="app/web.replicas", d="db/main.instances")
    tell.watch(LimitCycle)
    tell.values["app/other.replicas"] = 0
    told = []
    for number in range(5):
        told += lap(tell, number * 60.0)
        tell.act(number * 60.0 + 50.0, "other", "app/other.replicas", 1, "add")
    assert len(told) == 1


def test_one_zone_after_another_is_no_cycle(tell):
    tell.watch(LimitCycle)
    for number in range(8):
        field = f"zone/{number}.drained"
        tell.values[field] = 0
        assert not tell.act(number * 20.0, "roll-out", field, 1)
        assert not tell.act(number * 20.0 + 10.0, "roll-out", field, 0)


def test_what_somebody_outside_changes_back_is_no_cycle(tell):
    tell.watch(LimitCycle)
    tell.values["scaler/a.enabled"] = True
    for number in range(6):
        tell.see(number * 60.0, "scaler/a.enabled", value=False)
        assert not tell.act(number * 60.0 + 20.0, "corrector", "scaler/a.enabled", True)


def test_a_limit_cycle_is_foretold(tell):
    tell.invariant("load", "a <= 2 * d", a="app/web.replicas", d="db/main.instances")
    detector = tell.watch(LimitCycle)
    lap(tell, 0)
    lap(tell, 60)
    tell.act(120, "ap", "app/web.replicas", 2, "add")
    act = tell.acted(135, "db", "db/main.instances", -1, "add")
    assert detector.would(act) == detector.would(act)


# ---- undo war

FLAG = "scaler/main.enabled"


def undo(tell, times, gap_s=60.0, **named):
    tell.values[FLAG] = True
    told = []
    for turn in range(times):
        told += tell.act(turn * gap_s, ("migrator", "corrector")[turn % 2], FLAG, turn % 2 == 1, **named)
    return told


def test_the_second_exact_restoration_alarms(tell):
    tell.watch(UndoWar)
    assert not undo(tell, 2)
    assert [alarm.actors for alarm in tell.act(120, "migrator", FLAG, False)] == [("corrector", "migrator")]
    assert not tell.act(180, "corrector", FLAG, True)


def test_an_undo_with_a_cause_or_a_claim_is_none(tell):
    tell.watch(UndoWar)
    assert not undo(tell, 8, caused_by="incident/1")
    assert not undo(tell, 8, claim="claim-1")


def test_undoing_what_did_not_happen_is_no_undo(tell):
    tell.watch(UndoWar)
    tell.values[FLAG] = True
    for turn in range(6):
        assert not tell.act(turn * 60, ("migrator", "corrector")[turn % 2], FLAG, turn % 2 == 1)
        tell.settle(turn * 60 + 1, tell.last.call, "not_happened")


def test_undos_far_apart_are_no_war(tell):
    tell.watch(UndoWar)
    assert not undo(tell, 8, gap_s=700.0)


def test_steps_of_numbers_are_no_restorations(tell):
    tell.watch(UndoWar)
    tell.values[FIELD] = 10
    assert pull(tell, 10) == []


def test_an_undo_war_is_foretold(tell):
    detector = tell.watch(UndoWar)
    undo(tell, 2)
    assert detector.would(tell.acted(120, "migrator", FLAG, False)) is not None
    assert detector.would(tell.acted(120, "migrator", FLAG, True)) is None
