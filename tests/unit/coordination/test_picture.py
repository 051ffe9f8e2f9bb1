"""The picture: acts in flight, what was seen of them and when, and how they become part of the values."""

from __future__ import annotations

import pytest

from comity.coordination.believed import Effect, Flight, WindowStep, applied, commute
from comity.coordination.document import Aggregate, DependencySection, FieldSection, InvariantSection, KindSection
from comity.coordination.picture import Picture, covers
from comity.coordination.world import World
from comity.journal.world import Claim, Observation, Plan
from unit.coordination.small_world import GEN, LOAD, MODE, NOW, TAGS, Desk, N, S, document


def flight(ticket: str, *effects: Effect, from_us: int = NOW, settle_s: float = 5, plan: str = "") -> Flight:
    return Flight(ticket, ticket, "t", "bot", "tool", "", effects, (), round(settle_s * S), from_us, plan=plan)


def test_looking_at_a_field_makes_none() -> None:
    desk = Desk()
    assert desk.picture.peek(N).value == 4
    assert desk.picture.known(N, NOW) == 4
    assert desk.picture.fields == {}


def test_an_act_that_happened_becomes_part_of_the_value_when_it_has_settled() -> None:
    desk = Desk()
    desk.ask("k", "scale", {"by": 2})
    desk.done("k", 4.9)
    assert desk.land() == []
    desk.now += S
    assert desk.land() == ["k"]
    assert (desk.picture.state(N).value, desk.picture.state(N).version) == (6, 1)
    assert desk.picture.flights == desk.picture.flights_by_field == {}


def test_an_act_that_did_not_happen_leaves_nothing() -> None:
    desk = Desk()
    desk.ask("k", "scale", {"by": 2})
    desk.admission.settle("k", "failed", NOW)
    desk.now += 60 * S
    assert desk.land() == []
    assert desk.picture.state(N).value == 4


def test_an_act_in_doubt_stays_until_somebody_knows() -> None:
    desk = Desk()
    desk.ask("k", "scale", {"by": 2})
    desk.admission.settle("k", "unknown", NOW)
    desk.now += 3_600 * S
    assert desk.land() == []
    assert desk.picture.flights["k"].phase == "doubt"
    desk.done("k", 6)
    assert desk.land() == ["k"]


def test_what_is_done_stays_done_whatever_is_said_later() -> None:
    desk = Desk()
    desk.ask("k", "scale", {"by": 2})
    desk.done("k", 1)
    desk.admission.settle("k", "unknown", desk.now)
    desk.admission.settle("k", "done", desk.now + 100 * S)
    assert desk.picture.flights["k"].settled_us == NOW + 5 * S


def test_what_was_seen_after_an_act_had_settled_has_it_already() -> None:
    desk = Desk()
    desk.ask("k", "scale", {"by": 2})
    desk.done("k", 6)
    desk.see(N, 6)
    assert desk.land() == ["k"]
    assert desk.picture.state(N).value == 6


def test_an_act_that_was_seen_half_stays_in_flight_until_it_is_seen_again() -> None:
    desk = Desk()
    desk.ask("k", "scale", {"by": 2})
    desk.now += S
    desk.see(N, 6)
    desk.done("k", 10)
    assert desk.land() == []
    desk.see(N, 6)
    assert desk.land() == ["k"]
    assert desk.picture.state(N).value == 6


def test_what_was_seen_before_an_act_at_the_same_moment_did_not_see_it() -> None:
    desk = Desk()
    desk.see(N, 3)
    desk.ask("k", "scale", {"by": 2})
    assert desk.picture.half_seen == set()
    desk.done("k", 6)
    assert desk.land() == ["k"]
    assert desk.picture.state(N).value == 5


def test_a_set_whose_value_was_seen_half_way_is_certain() -> None:
    desk = Desk()
    desk.ask("k", "size", {"to": 7})
    desk.now += S
    desk.see(N, 7)
    desk.done("k", 10)
    assert desk.land() == ["k"]
    assert desk.picture.state(N).value == 7


def test_a_read_that_took_long_may_have_seen_an_act_that_began_meanwhile() -> None:
    desk = Desk()
    desk.ask("k", "scale", {"by": 2})
    desk.now += 2 * S
    desk.see(N, 6, at=NOW - S, until=NOW + S)
    assert desk.picture.half_seen == {"k"}


def test_older_sights_change_nothing_and_twice_is_as_good_as_once() -> None:
    desk = Desk()
    assert desk.see(N, 7, at=NOW)
    assert not desk.see(N, 3, at=NOW)
    assert not desk.see(N, 3, at=NOW - 1)
    assert (desk.picture.state(N).value, desk.picture.state(N).version) == (7, 1)


def test_a_sight_that_comes_late_counts_with_what_landed_since() -> None:
    desk = Desk()
    desk.now += S
    desk.ask("k", "scale", {"by": 2})
    desk.done("k", 6)
    desk.land()
    assert desk.see(N, 3, at=NOW)
    assert desk.picture.state(N).value == 5


def test_a_sight_from_within_an_act_that_has_landed_is_dropped() -> None:
    desk = Desk()
    desk.ask("k", "scale", {"by": 2})
    desk.done("k", 6)
    desk.land()
    assert not desk.see(N, 6, at=NOW + S)
    assert desk.picture.state(N).value == 6
    assert desk.see(N, 6, at=NOW + 6 * S)


def test_a_late_sight_is_dropped_where_what_landed_is_forgotten() -> None:
    desk = Desk()
    desk.now += S
    desk.ask("k", "scale", {"by": 2})
    desk.done("k", 6)
    desk.land()
    desk.picture.restore(N, desk.picture.state(N).row())
    assert not desk.see(N, 3, at=NOW)


def test_acts_whose_order_matters_wait_for_a_sight_or_for_one_that_stands_over_them() -> None:
    desk = Desk(invariants={})
    desk.ask("one", "size", {"to": 3})
    desk.ask("two", "size", {"to": 8})
    desk.done("one")
    desk.done("two", 6)
    assert desk.land() == []
    desk.ask("three", "size", {"to": 5})
    desk.done("three", 6)
    assert set(desk.land()) == {"one", "two"}
    assert desk.land() == ["three"]
    assert desk.picture.state(N).value == 5


def test_steps_land_in_any_order() -> None:
    desk = Desk(invariants={})
    desk.ask("one", "scale", {"by": 2})
    desk.ask("two", "scale", {"by": -1})
    desk.done("two", 6)
    assert desk.land() == ["two"]
    desk.done("one", 6)
    assert desk.land() == ["one"]
    assert desk.picture.state(N).value == 5


def test_consequences_land_after_what_they_follow_from() -> None:
    links = (DependencySection("svc/{name}.n", "svc/{name}.load", gain=2.0, lag_s=10),)
    desk = Desk(dependencies=links)
    desk.ask("k", "scale", {"by": 2})
    desk.done("k", 14)
    assert desk.land() == []
    desk.now += 2 * S
    assert desk.land() == ["k"]
    assert desk.picture.state(LOAD).value == 14


def test_a_value_that_a_field_cannot_have_leaves_it_unknown() -> None:
    desk = Desk()
    for field, value in ((N, float("nan")), (N, "many"), (N, 1.5), (MODE, "off"), (TAGS, "x")):
        desk.now += 1
        assert desk.see(field, value)
        assert desk.picture.known(field, desk.now) is None


def test_a_set_is_kept_sorted_and_each_once() -> None:
    desk = Desk()
    desk.see(TAGS, ("b", "a", "b"))
    assert desk.picture.state(TAGS).value == ("a", "b")


def test_what_somebody_says_who_may_not_observe_is_only_proposed() -> None:
    desk = Desk()
    assert not desk.picture.observe(Observation(N, 9, NOW), may_observe=False)
    state = desk.picture.state(N)
    assert (state.value, state.proposed, state.is_proposed) == (4, 9, True)


def test_an_old_value_is_not_known() -> None:
    fields = {"n": FieldSection(type="integer", max_age_s=10)}
    desk = Desk(kinds={"svc": KindSection("svc/{name}", fields)}, invariants={}, tools={})
    assert desk.picture.known(N, NOW) is None
    desk.see(N, 3)
    assert desk.picture.known(N, NOW + 10 * S) == 3
    assert desk.picture.known(N, NOW + 10 * S + 1) is None
    assert desk.picture.known(N, NOW + 20 * S, max_age_s=30) == 3
    assert desk.picture.known(N, NOW + 2 * S, max_age_s=1) is None


def test_a_flight_under_a_ticket_of_old_takes_its_place() -> None:
    desk = Desk()
    desk.picture.hold(flight("k", Effect(N, "add", 2)))
    desk.picture.hold(flight("k", Effect(LOAD, "add", 2)))
    assert [item.ticket for item in desk.picture.on_field(N)] == []
    assert [item.ticket for item in desk.picture.on_field(LOAD)] == ["k"]


def test_steps_of_a_plan_are_counted_and_given_back() -> None:
    desk = Desk()
    desk.picture.hold(flight("k", Effect(N, "add", 2), plan="p"))
    desk.picture.move("k", "meant")
    assert desk.picture.plan_steps == {"p": 1}
    desk.picture.drop("k")
    assert desk.picture.plan_steps == {"p": 0}


def test_steps_are_kept_for_windows_alone_and_as_long_as_these() -> None:
    window = InvariantSection({"w": Aggregate(count="svc/{name}.n", within="60s")}, "w <= 99")
    desk = Desk(invariants={"window": window})
    for number in range(4):
        desk.ask(f"k{number}", "scale", {"by": 1})
        desk.done(f"k{number}", 25)
        desk.land()
    assert desk.picture.state(N).steps == [WindowStep(NOW + place * 25 * S, 1.0) for place in (1, 2, 3)]
    desk.picture.evict(desk.now + 1_000 * S)
    assert desk.picture.state(N).steps == []
    without = Desk()
    without.ask("k", "scale", {"by": 1})
    without.done("k", 25)
    without.land()
    assert without.picture.state(N).steps == []


def test_what_says_nothing_any_more_is_forgotten() -> None:
    desk = Desk()
    desk.picture.plans = {"p": Plan("p", "svc/*", "operator", NOW + S, 3)}
    desk.picture.plan_steps = {"p": 1}
    desk.ask("k", "scale", {"by": 1})
    desk.ask("l", "scale", {"name": "b", "by": 1})
    desk.admission.settle("l", "failed", NOW)
    desk.see("svc/c.n", 3)
    desk.picture.claims = {"c": Claim("c", "svc/*", "exclusive", "agent:x", NOW, NOW + S)}
    assert desk.picture.evict(NOW) == ["svc/b.n"]
    assert desk.picture.claims
    assert desk.picture.evict(NOW + S) == []
    assert desk.picture.claims == desk.picture.plans == desk.picture.plan_steps == {}
    assert set(desk.picture.fields) == {N, "svc/c.n"}
    assert set(desk.picture.group("svc/*.n").members) == {N, "svc/c.n"}


def test_a_field_is_stored_and_restored_as_it_was() -> None:
    desk = Desk()
    desk.see(N, 7)
    row = desk.picture.state(N).row()
    other = Picture(desk.world)
    other.restore(N, row)
    assert other.state(N).row() == row
    assert set(other.group("svc/*.n").members) == {N}


def test_a_copy_goes_its_own_way() -> None:
    desk = Desk()
    desk.ask("k", "scale", {"by": 2})
    copy = desk.picture.copy()
    copy.drop("k")
    copy.observe(Observation(N, 9, NOW + 1), may_observe=True)
    assert set(desk.picture.flights) == {"k"}
    assert desk.picture.state(N).value == 4
    assert not copy.group("svc/*.n").flights
    assert set(desk.picture.group("svc/*.n").flights) == {"k"}


@pytest.mark.parametrize(
    ("value", "effect", "after"),
    [
        (3, Effect(N, "add", 2), 5),
        (None, Effect(N, "add", 2), None),
        ("x", Effect(N, "add", 2), None),
        (3, Effect(N, "set", 9), 9),
        (("b",), Effect(TAGS, "append", "a"), ("a", "b")),
        (("a", "b"), Effect(TAGS, "remove", ("b", "c")), ("a",)),
        (None, Effect(TAGS, "append", "a"), None),
    ],
)
def test_an_effect_makes_of_a_value_what_it_says(value: object, effect: Effect, after: object) -> None:
    assert applied(value, effect) == after  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other", "is_so"),
    [
        (Effect(N, "add", 1), Effect(N, "add", 2), True),
        (Effect(N, "set", 1), Effect(N, "add", 2), False),
        (Effect(N, "set", 1), Effect(N, "set", 1), True),
        (Effect(N, "set", 1), Effect(N, "set", 2), False),
        (Effect(N, "append", "a"), Effect(N, "append", "b"), True),
        (Effect(N, "append", "a"), Effect(N, "remove", ("a", "b")), False),
        (Effect(N, "append", "a"), Effect(N, "remove", "b"), True),
    ],
)
def test_effects_commute_where_their_order_does_not_matter(one: Effect, other: Effect, is_so: bool) -> None:
    assert commute(one, other) is commute(other, one) is is_so


def test_a_scope_covers_a_resource_a_field_or_a_pattern() -> None:
    assert covers("svc/a", N)
    assert covers(N, N)
    assert covers("svc/*", N)
    assert not covers("svc/b", N)
    assert not covers("svc", N)


def test_fields_that_the_file_names_are_there_and_stay() -> None:
    from comity.coordination.document import ResourceSection

    world = World(document(resources={"svc/a": ResourceSection(values={"n": 2, "gen": 3})}))
    picture = Picture(world)
    assert (picture.fields[N].value, picture.fields[GEN].value) == (2, 3)
    picture.evict(NOW * 1_000)
    assert N in picture.fields
