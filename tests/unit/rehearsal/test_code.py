"""Real agent code on simulated devices behaves as the rules that it follows, and its models may answer either way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from comity.coordination.document import WorldDocument
from comity.core.errors import UsageError
from comity.rehearsal import Options, Report, rehearse, replay, stage_of
from unit.rehearsal.worlds import world

FOLDER = str(Path(__file__).parent)


def drains(mode: str = "observe", **agents: Any) -> WorldDocument:
    return world(
        {
            "kinds": {"replica": {"id": "replica/{node}", "fields": {"ready": {"type": "integer", "initial": 1}}}},
            "resources": {"replica/a": {}, "replica/b": {}},
            "invariants": {
                "serves": {"let": {"n": {"sum": "replica/*.ready"}}, "holds": "n >= 1", "mode": mode},
            },
            "tools": {
                "look": {"observes": {"replica/{node}.ready": "result"}},
                "drain": {"touches": [{"field": "replica/{node}.ready", "value": "0"}]},
            },
            "rehearsal": {"agents": {name: {"python": f"drainers.py:{where}"} for name, where in agents.items()}},
        }
    )


def rehearsed(document: WorldDocument, **options: Any) -> Report:
    return rehearse(document, Options(folder=FOLDER, **options))


def test_two_real_agents_break_what_neither_does_alone() -> None:
    report = rehearsed(drains(one="one", two="two"), has_fixes=False)
    assert report.minimal_agents == ("one", "two")
    trace = report.counterexample
    assert trace is not None
    assert [(step.kind, step.tool) for step in trace.steps] == [("think", "look")] * 2 + [("act", "drain")] * 2
    assert trace.steps[0].reads == {"replica/b.ready": 1}
    assert replay(stage_of(drains(one="one", two="two"), Options(folder=FOLDER)), trace) == trace


def test_admission_keeps_real_agents_safe_and_they_are_told_why() -> None:
    report = rehearsed(drains("enforce", one="one", two="two"), coordinated=True)
    assert report.verdict == "safe (exhaustive)"


def test_enforcing_the_invariant_is_the_first_fix_for_real_agents_too() -> None:
    report = rehearsed(drains(one="one", two="two"))
    assert report.fixes[0].kind == "admission"
    assert report.fixes[0].is_safe


def test_a_model_with_several_answers_is_taken_each_way() -> None:
    report = rehearsed(drains(moody="moody"), has_fixes=False)
    assert report.verdict == "safe (exhaustive)"
    assert report.states == 4, "before, either answer, drained"
    assert rehearsed(drains(moody="moody", two="two"), has_fixes=False).outcome == "violated"


def test_an_agent_that_fails_on_what_it_sees_is_an_error_with_its_words() -> None:
    with pytest.raises(UsageError, match="saw 1"):
        rehearsed(drains(failing="failing"))


def test_a_model_that_nobody_scripts_is_an_error() -> None:
    with pytest.raises(UsageError, match="asks model `gpt`"):
        rehearsed(drains(unscripted="unscripted"))


@pytest.mark.parametrize("where", ["nowhere.py:one", "drainers.py:nobody", "one", "no.such.module:one"])
def test_code_that_is_not_there_is_an_error(where: str) -> None:
    document = drains(one="one")
    plain = {"rehearsal": {"agents": {"one": {"python": where}}}, "tools": {"look": {}}}
    assert document.rehearsal is not None
    with pytest.raises(UsageError):
        rehearsed(world(plain))
