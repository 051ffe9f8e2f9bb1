"""Livelock and contract drift."""

from __future__ import annotations

from comity.coordination.detectors.contract_drift import ContractDrift
from comity.coordination.detectors.livelock import Livelock

FIELD = "encoder/main.quality"


# ---- livelock


def test_the_fifth_deferral_alarms_once(tell):
    tell.watch(Livelock)
    told = [len(tell.defer(n, "node-1", "node-1/1", n)) for n in range(1, 9)]
    assert told == [0, 0, 0, 0, 1, 0, 0, 0]


def test_a_deferral_that_is_told_twice_or_late_counts_once(tell):
    tell.watch(Livelock)
    assert not [alarm for n in (1, 1, 2, 3, 2, 4, 4, 4) for alarm in tell.defer(n, "node-1", "node-1/1", n)]


def test_who_asks_again_under_another_name_waits_on(tell):
    tell.watch(Livelock)
    told = [alarm for call in "abc" for n in (1, 2) for alarm in tell.defer(n, "node-1", f"node-1/{call}", n)]
    assert [len(alarm.evidence) for alarm in told] == [3]


def test_two_calls_that_wait_at_the_same_time_do_not_add_up(tell):
    tell.watch(Livelock)
    assert not [alarm for n in range(1, 5) for call in "ab" for alarm in tell.defer(n, "node-1", f"node-1/{call}", n)]


def test_who_got_its_turn_starts_again(tell):
    tell.watch(Livelock)
    for turn in range(5):
        for n in range(1, 5):
            assert not tell.defer(turn * 10 + n, "node-1", f"node-1/{turn}", n, FIELD)
        tell.act(turn * 10 + 9, "node-1", FIELD, turn)


def busy(tell, acts, *, values, goal):
    tell.watch(Livelock)
    told = []
    for number in range(acts):
        tell.act(number * 10, "encoder", FIELD, values(number))
        told += tell.measure(number * 10 + 5, "encoder", goal(number))
    return told


def test_a_flat_goal_over_twenty_acts_that_repeat_themselves_alarms_once(tell):
    told = busy(tell, 50, values=lambda number: number % 3, goal=lambda number: 50.0 + number % 2 * 0.5)
    assert [alarm.facts["acts"] for alarm in told] == [20.0]


def test_a_goal_that_moves_or_acts_that_lead_somewhere_new_are_no_livelock(tell):
    assert not busy(tell, 50, values=lambda number: number % 3, goal=lambda number: 50.0 * 1.01**number)
    assert not busy(tell, 50, values=lambda number: number, goal=lambda number: 50.0)


def test_a_goal_of_somebody_who_does_nothing_is_no_livelock(tell):
    tell.watch(Livelock)
    assert not [alarm for number in range(50) for alarm in tell.measure(number, "idle", 1.0)]


# ---- contract drift


def test_a_sudden_growth_alarms_and_does_not_become_the_last_good_one(tell):
    tell.watch(ContractDrift)
    assert not tell.publish(0, 60)
    assert not tell.publish(300, 84)
    assert [alarm.facts["growth"] for alarm in tell.publish(600, 168)] == [2.0]
    assert not tell.publish(900, 168)
    assert not tell.publish(1200, 84)
    assert [alarm.facts["size"] for alarm in tell.publish(9000, 168)] == [168]


def test_rows_that_come_twice_alarm_where_the_last_good_one_had_none(tell):
    tell.watch(ContractDrift)
    tell.publish(0, 60)
    assert tell.publish(300, 62, duplicates=2)


def test_known_doubles_and_shrinking_do_not_alarm(tell):
    tell.watch(ContractDrift)
    for number, doubles in enumerate((6, 5, 6, 7, 6)):
        assert not tell.publish(number * 300, 60 - number, doubles)


def test_an_empty_file_is_no_measure_of_growth(tell):
    tell.watch(ContractDrift)
    tell.publish(0, 0)
    assert not tell.publish(300, 60)


def test_artefacts_are_told_apart(tell):
    tell.watch(ContractDrift)
    tell.publish(0, 60, artefact="file/a")
    assert not tell.publish(300, 600, artefact="file/b")
