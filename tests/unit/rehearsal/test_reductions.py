"""Slicing, symmetry and moves that concern nobody else lose no violation that the plain search finds."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from comity.coordination.document import WorldDocument
from comity.rehearsal import Options, rehearse, stage_of
from comity.rehearsal.search import search
from unit.rehearsal.worlds import numbers, random_worlds

QUICK = Options(has_fixes=False)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(random_worlds())
def test_reductions_lose_no_violation(document: WorldDocument) -> None:
    stage = stage_of(document)
    plain = search(stage.team(list(stage.agents), is_reduced=False), states_max=200_000)
    assert plain.is_exhaustive
    report = rehearse(document, QUICK)
    assert (report.outcome == "violated") == bool(plain.bad)
    if plain.bad:
        assert report.counterexample is not None
        assert report.counterexample.broken
        assert len(report.counterexample.steps) >= len(plain.path(plain.bad[0]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(random_worlds())
def test_every_proper_subset_of_a_minimal_set_is_safe(document: WorldDocument) -> None:
    report = rehearse(document, QUICK)
    stage = stage_of(document)
    for name in report.minimal_agents or ():
        fewer = [other for other in report.minimal_agents or () if other != name]
        assert not search(stage.team(fewer, is_reduced=False), states_max=200_000).bad


def _counter(on: str, **more: object) -> dict[str, object]:
    return {
        "reads": {"x": f"n/{on}.v"},
        "rules": [{"do": "move", "when": "x < 3", "given": {"on": f"'{on}'", "by": "1"}}],
        "acts_max": 3,
        **more,
    }


def test_independent_agents_are_explored_apart() -> None:
    document = numbers({"a": _counter("a"), "b": _counter("b"), "c": _counter("c")}, holds="a <= 3")
    stage = stage_of(document)
    whole = search(stage.team(list(stage.agents), is_reduced=False), states_max=100_000)
    report = rehearse(document, QUICK)
    assert report.verdict == "safe (exhaustive)"
    assert report.states == 3 * 7
    assert len(whole.parents) == 7**3


def test_agents_that_are_alike_are_explored_once_in_any_order() -> None:
    same = {f"agent{number}": _counter("a", acts_max=2) for number in range(6)}
    stage = stage_of(numbers(same, holds="a <= 9", high=20))
    plain = search(stage.team(list(stage.agents), is_reduced=False), states_max=100_000)
    reduced = search(stage.team(list(stage.agents)), states_max=100_000)
    assert plain.is_exhaustive
    assert reduced.is_exhaustive
    assert len(reduced.parents) * 20 < len(plain.parents)
