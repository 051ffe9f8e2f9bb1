"""Coordinated runs: admission, which is production's own, keeps every enforced invariant."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from comity.coordination.document import WorldDocument
from comity.rehearsal import Options, rehearse
from unit.rehearsal.worlds import numbers, random_worlds, scenario

FLAWS_OF_DEVICES = {"crash", "duplicate"}
"""Effects that happen once more than they were admitted; keys of idempotency are what helps against these."""


def enforced(document: WorldDocument) -> WorldDocument:
    rules = {name: msgspec.structs.replace(item, mode="enforce") for name, item in document.invariants.items()}
    return msgspec.structs.replace(document, invariants=rules)


def is_apt(document: WorldDocument) -> bool:
    section = document.rehearsal
    return section is not None and not section.environment and not set(section.faults) & FLAWS_OF_DEVICES


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(document=random_worlds().filter(is_apt))
def test_what_is_coordinated_breaks_no_enforced_invariant(document: WorldDocument) -> None:
    report = rehearse(enforced(document), Options(coordinated=True, has_fixes=False))
    assert report.outcome != "violated"


@pytest.mark.parametrize("name", ["0217", "two-drains"])
def test_the_scenarios_hold_coordinated(name: str) -> None:
    report = rehearse(enforced(scenario(name)), Options(coordinated=True, has_fixes=False))
    assert report.verdict == "safe (exhaustive)"


def test_an_act_is_trimmed_to_what_fits() -> None:
    rule = {"do": "raise", "when": "a < 3", "given": {"on": "'a'", "by": "5"}}
    tools = {"raise": {"touches": [{"field": "n/{on}.v", "op": "add", "value": "by"}], "trim": "by"}}
    agents = {"greedy": {"reads": {"a": "n/a.v"}, "goal": "a == 3", "rules": [rule]}}
    document = enforced(numbers(agents, holds="a <= 3", tools=tools, high=9))
    assert rehearse(document, Options(has_fixes=False)).outcome == "violated"
    assert rehearse(document, Options(coordinated=True)).verdict == "safe (exhaustive)"


def test_windows_count_over_all_agents() -> None:
    rule = {"do": "move", "when": "a < 9", "given": {"on": "'a'", "by": "1"}}
    agents = {name: {"reads": {"a": "n/a.v"}, "rules": [rule], "acts_max": 1} for name in ("sales", "support")}
    plain = msgspec.to_builtins(numbers(agents, high=9))
    plain["invariants"] = {
        "once": {"let": {"n": {"count": "n/a.v", "within": "24h"}}, "holds": "n <= 1", "mode": "enforce"}
    }
    document = msgspec.convert(plain, WorldDocument)
    assert rehearse(document, Options(has_fixes=False)).minimal_agents == ("sales", "support")
    assert rehearse(document, Options(coordinated=True)).outcome in ("safe", "starvation")
