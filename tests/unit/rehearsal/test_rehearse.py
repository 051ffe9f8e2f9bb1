"""Verdicts, the smallest set of agents, counterexamples and what starts wrong."""

from __future__ import annotations

import pytest

from comity.core.errors import UsageError
from comity.rehearsal import Options, Report, rehearse, replay, stage_of
from comity.rehearsal.markdown import markdown
from unit.rehearsal.worlds import numbers, scenario

QUICK = Options(has_fixes=False)


def rule(do: str, when: str, **given: str) -> dict[str, object]:
    return {"do": do, "when": when, "given": given}


def test_three_agents_break_what_no_two_of_them_can() -> None:
    report = rehearse(scenario("0217"))
    assert report.outcome == "violated"
    assert report.minimal_agents == ("performance", "cost", "routing")
    smaller = [item for item in report.subsets if len(item.agents) < 3]
    assert len(smaller) == 7
    assert all(item.outcome == "safe" and item.is_exhaustive for item in smaller)
    assert report.counterexample is not None
    assert report.counterexample.broken[0].invariant == "connections(name=shop)"
    assert report.fixes[0].kind == "admission"
    assert report.fixes[0].is_safe


def test_write_skew_is_found_and_a_lock_on_what_is_written_does_not_help() -> None:
    report = rehearse(scenario("two-drains"))
    assert report.minimal_agents == ("node-a", "node-b")
    fixes = {fix.kind: fix for fix in report.fixes}
    assert fixes["premise"].is_safe
    assert not fixes["compare-and-set"].is_safe


def test_coordinated_the_same_agents_are_safe() -> None:
    document = scenario("two-drains")
    import msgspec

    enforced = msgspec.structs.replace(document.invariants["one-serves"], mode="enforce")
    world = msgspec.structs.replace(document, invariants={"one-serves": enforced})
    assert rehearse(world, QUICK).outcome == "violated"
    assert rehearse(world, Options(coordinated=True)).verdict == "safe (exhaustive)"


def test_a_counterexample_is_the_shortest_and_replays_to_the_same_end() -> None:
    document = scenario("0217")
    trace = rehearse(document, QUICK).counterexample
    assert trace is not None
    assert len(trace.steps) == 6
    again = replay(stage_of(document), trace)
    assert again == trace


def test_agents_that_chase_each_other_make_a_lasso() -> None:
    agents = {
        "up": {"reads": {"x": "n/a.v"}, "rules": [rule("put", "x == 0", on="'a'", to="1")]},
        "down": {"reads": {"x": "n/a.v"}, "rules": [rule("put", "x == 1", on="'a'", to="0")]},
    }
    report = rehearse(numbers(agents))
    assert report.outcome == "lasso"
    assert report.minimal_agents is not None
    assert set(report.minimal_agents) == {"up", "down"}
    assert report.counterexample is not None
    loop = report.counterexample.steps[report.counterexample.loop_from :]
    assert {step.by for step in loop} == {"up", "down"}
    assert "goes round" in markdown(report)


def test_going_there_and_back_once_is_no_lasso() -> None:
    agents = {
        "up": {"reads": {"x": "n/a.v"}, "acts_max": 1, "rules": [rule("put", "x == 0", on="'a'", to="1")]},
        "down": {"reads": {"x": "n/a.v"}, "acts_max": 1, "rules": [rule("put", "x == 1", on="'a'", to="0")]},
    }
    assert rehearse(numbers(agents)).verdict == "safe (exhaustive)"


def test_an_agent_that_is_refused_in_every_run_starves() -> None:
    tools = {
        "guarded": {
            "touches": [{"field": "n/{on}.v", "op": "set", "value": "1"}],
            "premises": [{"field": "n/b.v", "holds": "value == 1"}],
        }
    }
    agents = {"wants": {"reads": {"x": "n/a.v"}, "rules": [rule("guarded", "x == 0", on="'a'")]}}
    report = rehearse(numbers(agents, tools=tools))
    assert report.outcome == "starvation"
    assert report.starving[0].agent == "wants"


def test_a_goal_that_no_run_reaches_is_starvation() -> None:
    agents = {"one": {"reads": {"x": "n/a.v"}, "goal": "x == 5", "rules": [rule("move", "x < 2", on="'a'", by="1")]}}
    assert rehearse(numbers(agents)).outcome == "starvation"


def test_the_surroundings_alone_may_break_an_invariant() -> None:
    agents = {"idle": {"reads": {"x": "n/a.v"}, "rules": [rule("move", "x > 9", on="'a'", by="1")]}}
    tide = {"tide": {"reads": {"x": "n/b.v"}, "set": {"n/b.v": "x + 1"}, "times": 3}}
    report = rehearse(numbers(agents, holds="b < 3", rehearsal={"environment": tide}), QUICK)
    assert report.outcome == "violated"
    assert report.minimal_agents == ()


@pytest.mark.parametrize("fault", ["crash", "stale", "delay", "duplicate", "lose", "reorder"])
def test_each_fault_is_exercised(fault: str) -> None:
    agents = {
        "one": {"reads": {"x": "n/a.v"}, "rules": [rule("move", "x < 2", on="'a'", by="1")]},
        "two": {"reads": {"x": "n/a.v"}, "rules": [rule("move", "x < 1", on="'a'", by="1")]},
    }
    report = rehearse(numbers(agents, rehearsal={"faults": [fault]}), QUICK)
    assert report.coverage.faults[fault] > 0


def test_a_crash_between_effect_and_outcome_repeats_the_effect() -> None:
    agents = {"one": {"reads": {"x": "n/b.v"}, "acts_max": 1, "rules": [rule("move", "x == 0", on="'a'", by="1")]}}
    assert rehearse(numbers(agents, holds="a <= 1"), QUICK).outcome == "safe"
    report = rehearse(numbers(agents, holds="a <= 1", rehearsal={"faults": ["crash"]}), QUICK)
    assert report.outcome == "violated"
    assert report.counterexample is not None
    assert any(step.fault.startswith("crash") for step in report.counterexample.steps)


def test_leaving_low_or_high_is_a_violation() -> None:
    agents = {"one": {"reads": {"x": "n/a.v"}, "acts_max": 9, "rules": [rule("move", "True", on="'a'", by="1")]}}
    report = rehearse(numbers(agents, high=3), QUICK)
    assert report.outcome == "violated"


def test_what_was_never_exercised_is_named() -> None:
    agents = {"one": {"reads": {"x": "n/a.v"}, "rules": [rule("move", "x > 5", on="'a'", by="1")]}}
    assert rehearse(numbers(agents), QUICK).never == ("rule one, rule 1 (move)", "tool move")


def test_an_invariant_that_is_false_from_the_start_is_an_error() -> None:
    agents = {"one": {"reads": {"x": "n/a.v"}, "rules": [rule("move", "x > 5", on="'a'", by="1")]}}
    with pytest.raises(UsageError, match=r"`rule` is false from the start .*a = 0"):
        rehearse(numbers(agents, holds="a > 0"))


def test_a_world_without_agents_is_an_error() -> None:
    import msgspec

    document = msgspec.structs.replace(scenario("0217"), rehearsal=None)
    with pytest.raises(UsageError, match="no agents to rehearse"):
        rehearse(document)


def test_an_unknown_agent_is_an_error() -> None:
    with pytest.raises(UsageError, match="rehearses no agent `ghost`"):
        rehearse(scenario("0217"), Options(agents=("ghost",)))


def test_resources_that_turn_up_on_the_way_are_added() -> None:
    agents = {
        "one": {"reads": {"x": "n/a.v"}, "rules": [rule("put", "x == 0", on="'fresh'", to="1")]},
        "two": {"reads": {"x": "n/a.v"}, "rules": [rule("put", "x == 0", on="'fresh'", to="2")]},
    }
    report = rehearse(numbers(agents), QUICK)
    assert report.outcome in ("safe", "lasso")
    assert report.coverage.tools["put"] > 0


def _bounded(states_max: int, **more: object) -> Report:
    agents = {
        f"agent{number}": {
            "reads": {name: f"n/{name}.v" for name in "abcd"},
            "rules": [rule("move", "a + b + c < 99", on=f"'{on}'", by="1")],
            "acts_max": 3,
        }
        for number, on in enumerate("abc")
    }
    document = numbers(agents, holds="a + b + c + d <= 99", high=50, rehearsal={"states_max": states_max})
    return rehearse(document, Options(**more))  # type: ignore[arg-type]


def test_beyond_the_bound_the_verdict_names_it() -> None:
    report = _bounded(200)
    assert report.outcome == "safe"
    assert "the first 200 states" in report.bound
    assert "random schedules of depth 3 from seed 0" in report.bound
    assert _bounded(100_000).verdict == "safe (exhaustive)"


def test_who_stops_the_search_gets_the_verdict_so_far() -> None:
    report = _bounded(100_000, watch=lambda _more: "what was seen until Ctrl-C")
    assert report.outcome == "safe"
    assert "Ctrl-C" in report.bound


def _late(acts: int, states_max: int) -> Report:
    """Rehearse agents that break an invariant only behind many states."""
    agents = {
        f"agent{on}": {
            "reads": {name: f"n/{name}.v" for name in "abc"},
            "rules": [rule("move", "a + b + c < 99", on=f"'{on}'", by="1")],
            "acts_max": acts,
        }
        for on in "abc"
    }
    document = numbers(
        agents, holds=f"a + b + c < {3 * acts}", high=50, rehearsal={"states_max": states_max, "agents": agents}
    )
    return rehearse(document, QUICK)


def test_beyond_the_bound_few_preemptions_find_what_breadth_does_not() -> None:
    assert _late(4, 100_000).outcome == "violated"
    report = _late(4, 300)
    assert report.outcome == "violated"
    assert report.counterexample is not None
    assert report.counterexample.broken


def test_random_schedules_find_it_too() -> None:
    from comity.core.entropy import generator
    from comity.rehearsal.bounded import scheduled
    from comity.rehearsal.search import unwatched

    document = scenario("two-drains")
    stage = stage_of(document)
    run, _ = scheduled(stage.team(list(stage.agents)), generator(b"1"), unwatched)
    assert run is not None
    again, _ = scheduled(stage.team(list(stage.agents)), generator(b"1"), unwatched)
    assert again == run


def test_two_sellers_of_the_last_one_are_told_two_ways_out() -> None:
    agents = {
        name: {"reads": {"x": "n/a.v"}, "rules": [rule("move", "x > 0", on="'a'", by="-1")]}
        for name in ("web", "phone")
    }
    report = rehearse(numbers(agents, low=0, rehearsal={"values": {"n/a.v": 1}}))
    assert report.minimal_agents == ("web", "phone")
    assert [fix.kind for fix in report.fixes[:2]] == ["premise", "admission"]
    assert all(fix.is_safe for fix in report.fixes[:2])
    assert report.fixes[1].edits[0].path == ("rehearsal", "coordinated")
    assert "dwell" not in [fix.kind for fix in report.fixes], "nothing is taken back"
