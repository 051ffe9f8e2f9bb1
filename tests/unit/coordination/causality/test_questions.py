"""What a call would touch, who interacts, where loops close, what is guessed, what a window shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from comity.coordination.causal import CausalMap
from comity.coordination.causality.declared import Bound, Habit, Influence
from comity.coordination.causality.loops import LOOPS_MAX, find_loops
from comity.journal.world import Acted, Change, Read, Seen
from unit.coordination.causality.plant_0217 import APP, BEGIN, DB, SECOND, SHARE, UTIL, Plant, events


@pytest.fixture
def night() -> CausalMap:
    made = CausalMap(Plant())
    made.feed_all(events())
    return made


class Chain(Plant):
    """A long chain of dependencies, with a circle at its end."""

    def changes(self, tool: str, args: Mapping[str, Any]) -> Sequence[Change]:
        return (Change("f0", "add", 2),)

    def is_declared(self, tool: str) -> bool:
        return tool == "push"

    def rests_on(self, tool: str, args: Mapping[str, Any]) -> Sequence[str]:
        return ()

    def influences(self, field: str) -> Sequence[Influence]:
        number = int(field[1:])
        relation = "requires" if number == 1 else "derives"
        back = (Influence(field, "f0"),) if number == 2 else ()
        return (Influence(field, f"f{number + 1}", relation, gain=0.5, lag_s=10.0), *back)

    def bounds(self, field: str) -> Sequence[Bound]:
        return (Bound("far", ("f3", "f9")),) if field == "f3" else ()


def test_a_call_touches_its_own_fields_and_what_follows_from_them(night: CausalMap) -> None:
    answer = night.would_touch("scale", {"to": 20, "from": 12})
    assert [(it.field, it.depth, it.step, it.lag_s) for it in answer.fields] == [(APP, 0, 8, 0), (UTIL, 1, -0.4, 30.0)]
    assert [bound.name for bound in answer.bounds] == ["connections"]
    assert answer.agents == ("cost", "performance", "routing")
    assert answer.rests_on == (SHARE,)


def test_a_new_value_is_held_against_the_last_known_one(night: CausalMap) -> None:
    [field, *_] = night.would_touch("scale", {"to": 20}).fields
    assert field.step == 8  # the last scale-up set 12


def test_dependencies_are_followed_three_deep_and_never_in_a_circle() -> None:
    made = CausalMap(Chain())
    deep = made.would_touch("push", {}, depth=9)
    assert [(it.field, it.depth, it.step, it.lag_s) for it in deep.fields] == [
        ("f0", 0, 2.0, 0.0),
        ("f1", 1, 1.0, 10.0),
        ("f2", 2, None, 20.0),  # what is only required does not move by a known step
        ("f3", 3, None, 30.0),
    ]
    assert deep.fields[-1].path == ("f0", "f1", "f2", "f3")
    assert [bound.name for bound in deep.bounds] == ["far"]
    assert [it.field for it in made.would_touch("push", {}, depth=0).fields] == ["f0"]


def test_nothing_declared_means_unknown_not_nothing(night: CausalMap) -> None:
    assert night.would_touch("rm", {}).is_undeclared
    assert CausalMap().would_touch("scale", {"to": 1}).is_undeclared
    assert not night.would_touch("scale", {"to": 1}).is_undeclared


def test_interactions_say_who_over_what_how_often_and_in_what_way(night: CausalMap) -> None:
    found = {(it.one, it.two, it.way): it for it in night.interactions()}
    assert found["cost", "routing", "read_from"].fields == (DB,)
    assert found["cost", "routing", "read_from"].count == 4
    assert found["routing", "performance", "read_from"].count == 3
    assert found["cost", "performance", "shared_invariant"].invariant == "connections"
    assert ("performance", "cost", "read_from") not in found


def test_two_that_write_one_field_interact_and_one_alone_does_not() -> None:
    made = CausalMap()
    for number, actor in enumerate(["one", "one", "two"], start=1):
        made.feed(Acted(number, f"{actor}/{number}", actor, "do", (Change("k/r.n", "add", 1, version=number),)))
    [found] = made.interactions()
    assert (found.one, found.two, found.way, found.count) == ("one", "two", "both_write", 3)


def test_counts_of_interactions_outlive_the_calls() -> None:
    made = CausalMap()
    made.recorded.limits = type(made.recorded.limits)(happenings_max=6)
    for number in range(1, 40, 2):
        made.feed(Acted(number, f"a/{number}", "a", "do", (Change("k/r.n", "add", 1, version=number),)))
        made.feed(Acted(number + 1, f"b/{number}", "b", "do", reads=(Read("k/r.n", number),)))
    [found] = made.interactions()
    assert (found.one, found.two, found.way, found.count) == ("a", "b", "read_from", 20)


def test_loops_are_found_where_they_are_recorded_and_where_they_are_declared(night: CausalMap) -> None:
    recorded, mixed = find_loops(night.recorded, night.declared).loops
    assert (recorded.ground, recorded.agents, recorded.fields) == ("recorded", ("performance", "routing"), (APP, SHARE))
    assert (mixed.ground, mixed.agents) == ("mixed", ("cost", "routing", "performance"))
    assert [loop.agents for loop in find_loops(night.recorded).loops] == [("performance", "routing")]


def test_loops_are_seen_before_anything_happened() -> None:
    made = CausalMap(Plant())
    [one, two] = find_loops(made.recorded, made.declared).loops
    assert {one.ground, two.ground} == {"declared"}


def test_a_dense_crowd_of_agents_ends_with_so_many_loops_and_says_that_there_are_more() -> None:
    class Crowd(Plant):
        def habits(self) -> Sequence[Habit]:
            return [Habit(f"agent-{number}", (APP,), (APP,)) for number in range(40)]

    made = CausalMap(Crowd())
    found = find_loops(made.recorded, made.declared)
    assert len(found.loops) == LOOPS_MAX
    assert found.is_cut
    assert all(len(loop.hops) == 2 for loop in found.loops)


def test_a_window_of_agents_counts_what_is_in_it(night: CausalMap) -> None:
    whole = night.window(BEGIN, BEGIN + 600 * SECOND)
    assert {node.kind for node in whole.nodes} == {"agent", "field", "invariant"}
    edges = {(edge.cause, edge.effect, edge.how): edge for edge in whole.edges}
    assert edges["agent:performance", f"field:{APP}", "wrote"].count == 4
    assert edges["agent:performance", f"field:{APP}", "wrote"].evidence == ("perf-1/2", "perf-1/3", "perf-1/4")
    first = night.window(BEGIN, BEGIN + 60 * SECOND)
    assert {edge.count for edge in first.edges if edge.how == "wrote"} == {1}


def test_a_focus_shows_what_is_near_it_and_a_limit_what_fits(night: CausalMap) -> None:
    near = night.window(0, BEGIN * 2, focus="cost", hops=1)
    assert {node.label for node in near.nodes} == {"cost", DB, UTIL}
    assert near.nodes_cut == 5
    few = night.window(0, BEGIN * 2, limit=3)
    assert len(few.nodes) == 3
    assert few.nodes_cut == 5
    assert few.edges_cut > 0
    assert night.window(0, BEGIN * 2, focus="nobody").nodes == ()


def test_a_window_of_calls_holds_no_more_than_the_limit_and_only_edges_between_them(night: CausalMap) -> None:
    window = night.window(0, BEGIN * 2, detail="calls", limit=10)
    shown = {node.id for node in window.nodes}
    assert len(shown) == 10
    assert all(edge.cause in shown and edge.effect in shown for edge in window.edges)
    assert night.window(0, BEGIN * 2, detail="calls", focus="perf-1/2", hops=1).nodes


def steps(made: CausalMap, *, lag: int, source: str = "a/x.load", target: str = "b/y.queue") -> None:
    """Feed a load that jumps about, and a queue that follows it so many buckets of ten seconds later."""
    load = [(number * 7919) % 23 for number in range(60)]
    for number in range(60):
        at_us = number * 10 * SECOND
        made.feed(Seen(at_us, source, load[number], id=f"l{number}"))
        made.feed(Seen(at_us + 1, target, 2 * load[max(0, number - lag)], id=f"q{number}"))


def test_numbers_that_follow_each_other_are_guessed_to_be_coupled_and_are_no_edge() -> None:
    made = CausalMap()
    steps(made, lag=3)
    [guess] = made.guesses()
    assert (guess.source, guess.target, guess.lag_s) == ("a/x.load", "b/y.queue", 30.0)
    assert guess.correlation > 0.9
    window = made.window(0, 10**12, detail="calls")
    assert window.edges == ()


def test_a_declared_coupling_is_not_guessed() -> None:
    made = CausalMap(Plant())
    steps(made, lag=3, source=APP, target=UTIL)
    assert made.guesses() == ()


def test_few_samples_and_numbers_without_relation_give_no_guess() -> None:
    few, apart = CausalMap(), CausalMap()
    for number in range(8):
        few.feed(Seen(number * 10 * SECOND, "a/x.n", number % 3, id=f"a{number}"))
        few.feed(Seen(number * 10 * SECOND, "b/y.n", number % 3, id=f"b{number}"))
    for number in range(200):
        apart.feed(Seen(number * 10 * SECOND, "a/x.n", (number * 7919) % 23, id=f"a{number}"))
        apart.feed(Seen(number * 10 * SECOND, "b/y.n", (number * number * 31) % 17, id=f"b{number}"))
    assert few.guesses() == ()
    assert apart.guesses() == ()


def test_booleans_texts_and_numbers_that_are_none_are_passed_over() -> None:
    made = CausalMap()
    for number in range(60):
        for field, value in (("a/x.n", number % 2 == 0), ("b/y.n", "up"), ("c/z.n", float("nan"))):
            made.feed(Seen(number * 10 * SECOND, field, value, id=f"{field}{number}"))
    assert made.guesses() == ()
