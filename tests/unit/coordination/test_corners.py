"""One invariant over everything in flight; the oracle's worlds are in `tests/simulation`."""

from __future__ import annotations

from typing import Any

import pytest

from comity.coordination.believed import Effect, Flight, WindowStep
from comity.coordination.corners import is_false, judge
from comity.coordination.document import Aggregate, InvariantSection
from comity.coordination.finding import Finding
from unit.coordination.small_world import LOAD, MODE, NOW, TAGS, Desk, N, S


def law(holds: str, horizon_s: float = 300, **let: Any) -> Desk:
    """Return a desk whose world has one invariant."""
    return Desk(invariants={"law": InvariantSection(let, holds, mode="enforce", horizon_s=horizon_s)})


def fly(desk: Desk, ticket: str, *effects: Effect) -> None:
    desk.picture.hold(Flight(ticket, ticket, "t", "bot", "x", "", effects, (), 60 * S, NOW))


def found(desk: Desk, *effects: Effect) -> Finding:
    (instance,) = [item for item in desk.picture.instances(effects[0].field) if item.rule == "law"]
    return judge(instance, desk.picture, effects, NOW)


def test_a_sum_counts_what_is_in_flight_at_its_worst() -> None:
    desk = law("n <= 10", n=N)
    fly(desk, "up", Effect(N, "add", 3))
    fly(desk, "down", Effect(N, "add", -2))
    assert not found(desk, Effect(N, "add", 3)).breaks
    worse = found(desk, Effect(N, "add", 4))
    assert (worse.breaks, worse.alone) == (True, False)
    assert found(desk, Effect(N, "add", 7)).alone


def test_strictly_less_is_strictly_less() -> None:
    assert found(law("n < 10", n=N), Effect(N, "add", 6)).breaks
    assert not found(law("n <= 10", n=N), Effect(N, "add", 6)).breaks


def test_steps_of_one_call_count_together_and_consequences_apart() -> None:
    desk = law("n + load <= 14", n=N, load=LOAD)
    assert not found(desk, Effect(N, "add", 3), Effect(LOAD, "add", -3)).breaks
    assert found(desk, Effect(N, "add", 3), Effect(LOAD, "add", -3, 1)).breaks


def test_what_follows_beyond_the_horizon_does_not_count() -> None:
    for lag_s, breaks in ((10, True), (11, False)):
        desk = law("load <= 12", load=LOAD, horizon_s=10)
        assert found(desk, Effect(LOAD, "add", 3, lag_s * S)).breaks is breaks


def test_what_was_beyond_the_horizon_counts_once_it_comes_near() -> None:
    desk = law("load <= 12", load=LOAD, horizon_s=10)
    fly(desk, "far", Effect(N, "add", 1), Effect(LOAD, "add", 2, 15 * S))
    assert not found(desk, Effect(LOAD, "add", 1)).breaks
    desk.picture.move("far", "done", NOW)
    (instance,) = [item for item in desk.picture.instances(LOAD) if item.rule == "law"]
    assert judge(instance, desk.picture, [Effect(LOAD, "add", 1)], NOW + 6 * S).breaks


def test_the_worst_order_of_sets_and_steps_counts() -> None:
    desk = law("n <= 9", n=N)
    fly(desk, "set", Effect(N, "set", 7))
    assert not found(desk, Effect(N, "add", 2)).breaks
    assert found(desk, Effect(N, "add", 3)).breaks
    assert not found(desk, Effect(N, "set", 9)).breaks


def test_a_field_of_which_nothing_is_known_is_unknown_unless_it_is_set() -> None:
    desk = law("q <= 9", q="svc/a.gen")
    assert found(desk, Effect("svc/a.gen", "add", 1)).is_unknown
    assert not found(desk, Effect("svc/a.gen", "add", -1)).is_unknown
    assert found(desk, Effect("svc/a.gen", "set", 3)) == Finding(presses=True)
    assert found(desk, Effect("svc/a.gen", "set", 10)).breaks


def test_a_consequence_that_nobody_knows_makes_a_field_unknown() -> None:
    desk = law("load <= 12", load=LOAD)
    assert found(desk, Effect(LOAD, "set", None, 1)).is_unknown


def test_what_is_broken_may_be_improved_and_not_made_worse() -> None:
    desk = law("n <= 2", n=N)
    better = found(desk, Effect(N, "add", -1))
    assert (better.breaks, better.is_broken, better.improves, better.presses) == (False, True, True, False)
    assert found(desk, Effect(N, "add", 1)).breaks


@pytest.mark.parametrize(
    ("holds", "effect", "breaks"),
    [
        ("mode == 'up' or n <= 4", Effect(MODE, "set", "down"), False),
        ("mode == 'up' or n <= 3", Effect(MODE, "set", "down"), True),
        ("n * load <= 50", Effect(N, "add", 1), False),
        ("n * load <= 50", Effect(N, "add", 2), True),
        ("n != 5", Effect(N, "add", 1), True),
        ("'x' not in tags", Effect(TAGS, "append", "x"), True),
        ("len(tags) <= 1", Effect(TAGS, "append", "x"), False),
        ("load / n <= 3", Effect(N, "add", -4), True),
    ],
)
def test_other_conditions_are_tried(holds: str, effect: Effect, breaks: bool) -> None:
    desk = law(holds, n=N, load=LOAD, mode=MODE, tags=TAGS)
    assert found(desk, effect).breaks is breaks


def test_many_calls_are_judged_by_ranges_and_soundly() -> None:
    desk = law("n * load <= 200 and mode != 'off'", n=N, load=LOAD, mode=MODE)
    for number in range(30):
        fly(desk, f"k{number}", Effect(N, "add", 1 if number % 2 else -1), Effect(LOAD, "add", 0.01 * number))
    assert found(desk, Effect(N, "add", 200)).breaks
    assert found(desk, Effect(N, "add", 1)).breaks
    assert not found(law("n * load <= 900", n=N, load=LOAD), Effect(N, "add", 1)).breaks


def test_an_aggregate_counts_all_that_exist_and_what_appears() -> None:
    desk = law("t <= 9", t=Aggregate(max="svc/*.n"))
    desk.see("svc/b.n", 8)
    assert found(desk, Effect(N, "add", 5)).breaks is False
    assert found(desk, Effect(N, "add", 6)).breaks
    counted = law("c <= 1", c=Aggregate(count="svc/*.n"))
    counted.see("svc/b.n", 8)
    assert found(counted, Effect("svc/b.n", "add", 1)).breaks is False
    assert found(counted, Effect(N, "add", 1)).breaks


def test_the_smallest_of_many_is_unknown_while_one_of_them_is() -> None:
    desk = law("t >= 1", t=Aggregate(min="svc/*.gen"))
    desk.picture.state("svc/b.gen")
    assert found(desk, Effect("svc/a.gen", "set", 3)).is_unknown


def test_a_window_counts_what_was_done_and_what_is_in_flight_once() -> None:
    desk = law("w <= 2", w=Aggregate(count="svc/{name}.n", within="60s"))
    desk.ask("one", "scale", {"by": 1})
    assert not found(desk, Effect(N, "add", 1)).breaks
    desk.done("one", 6)
    desk.land()
    assert not found(desk, Effect(N, "add", 1)).breaks
    desk.ask("two", "scale", {"by": 1})
    assert found(desk, Effect(N, "add", 1)).breaks
    (instance,) = [item for item in desk.picture.instances(N) if item.rule == "law"]
    assert not judge(instance, desk.picture, [Effect(N, "add", 1)], NOW + 60 * S).breaks


def test_what_was_taken_away_leaves_a_window_too() -> None:
    desk = law("w <= 5", w=Aggregate(sum="svc/{name}.n", within="60s"))
    desk.picture.state(N).steps = [WindowStep(NOW - 50 * S, -3.0), WindowStep(NOW - 1 * S, 4.0)]
    assert not found(desk, Effect(N, "add", 1)).breaks
    assert found(desk, Effect(N, "add", 2)).breaks


def judged(desk: Desk, *effects: Effect) -> Finding:
    (instance,) = [item for item in desk.picture.instances(effects[0].field) if item.rule == "law"]
    return judge(instance, desk.picture, effects, desk.now)


@pytest.mark.parametrize(
    ("how", "holds"),
    [
        ("sum", "w >= -3"),
        ("sum", "w >= -3 or load > 99"),
        ("count", "w <= 1"),
        ("count", "w <= 1 or load > 99"),
    ],
)
def test_a_step_stays_in_a_window_as_long_as_it_may_have_happened_late(how: str, holds: str) -> None:
    desk = law(holds, w=Aggregate(**{how: N, "within": "60s"}), load=LOAD)
    desk.ask("slow", "scale", {"by": -2})
    desk.now += 50 * S
    desk.done("slow", 15)
    assert desk.land() == ["slow"]
    assert judged(desk, Effect(N, "add", -2)).breaks
    desk.now += 45 * S
    assert not judged(desk, Effect(N, "add", -2)).breaks


@pytest.mark.parametrize("holds", ["load - w <= 12", "load - w <= 12 or load > 99"])
def test_a_step_leaves_a_window_as_early_as_it_may_have_happened(holds: str) -> None:
    desk = law(holds, w=Aggregate(sum=N, within="60s"), load=LOAD)
    desk.picture.state(N).steps = [WindowStep(NOW - 20 * S, -3.0), WindowStep(NOW - 10 * S, 4.0, 30 * S)]
    assert judged(desk, Effect(LOAD, "add", 1)).breaks
    desk.picture.state(N).steps = [WindowStep(NOW - 20 * S, -1.0), WindowStep(NOW - 10 * S, 4.0, 5 * S)]
    assert not judged(desk, Effect(LOAD, "add", 1)).breaks


@pytest.mark.parametrize("holds", ["w + load <= 15", "w + load <= 15 or load > 99"])
def test_what_is_in_flight_may_be_older_than_what_a_window_holds(holds: str) -> None:
    desk = law(holds, w=Aggregate(sum=N, within="60s"), load=LOAD)
    fly(desk, "old", Effect(N, "add", -3), Effect(LOAD, "add", 3))
    desk.now += 50 * S
    desk.picture.state(N).steps = [WindowStep(desk.now, 2.0)]
    assert judged(desk, Effect(N, "add", 1)).breaks


@pytest.mark.parametrize("holds", ["n - w + load <= 16", "n - w + load <= 16 or load > 99"])
def test_what_a_value_may_have_already_may_still_be_new_to_a_window(holds: str) -> None:
    desk = law(holds, n=N, w=Aggregate(sum=N, within="60s"), load=LOAD)
    fly(desk, "half", Effect(N, "add", -3))
    desk.see(N, 2, at=NOW + S)
    assert judged(desk, Effect(LOAD, "add", 3)).breaks
    assert not judged(desk, Effect(LOAD, "add", 1)).breaks


def test_a_window_whose_steps_have_left_is_empty_whatever_is_left_of_their_sum() -> None:
    desk = law("w + load <= 12 or load > 99", w=Aggregate(sum=N, within="60s"), load=LOAD)
    desk.picture.state(N).steps = [WindowStep(NOW - (40 - place) * S, by) for place, by in enumerate((0.1, 0.2, 0.3))]
    assert judged(desk, Effect(N, "add", -3), Effect(LOAD, "add", 3)).breaks


def test_a_half_seen_act_is_parted() -> None:
    desk = law("n + load <= 14", n=N, load=LOAD)
    fly(desk, "move", Effect(N, "add", 1), Effect(LOAD, "add", -1))
    assert not found(desk, Effect(N, "add", 0), Effect(LOAD, "add", -0)).breaks
    desk.see(LOAD, 9, at=NOW + S)
    assert found(desk, Effect(N, "add", 1)).breaks
    assert not found(desk, Effect(N, "add", 0)).breaks


def test_an_invariant_is_false_by_what_is_known_alone() -> None:
    desk = law("n <= 3", n=N)
    (instance,) = [item for item in desk.picture.instances(N) if item.rule == "law"]
    assert is_false(instance, desk.picture, NOW)
    desk.see(N, 3)
    assert not is_false(instance, desk.picture, NOW)
    unknown = law("q <= 3", q="svc/a.gen")
    assert not is_false(unknown.picture.instances("svc/a.gen")[0], unknown.picture, NOW)
