"""Recorded runs are done again in their order, and a new agent is tried against what happened."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from comity.core.codec import canonical, digest, pack
from comity.core.errors import UsageError
from comity.journal.call import Status
from comity.journal.entry import Asked, Entry, Intent, Outcome
from comity.journal.segment import Payload
from comity.rehearsal import Options, calls_of, conflicts, rehearse
from comity.rehearsal.recorded import RecordedCall, with_recording
from unit.rehearsal.worlds import numbers, scenario

NEW = {"reads": {"x": "n/a.v"}, "rules": [{"do": "move", "when": "x < 3", "given": {"on": "'a'", "by": "1"}}]}


def entry(seq: int, kind: str, body: object) -> Entry:
    return Entry(seq, "", kind, "", seq, pack(body))


def intent(seq: int, tool: str, **args: object) -> Entry:
    data = canonical(args)
    return entry(seq, "tool", Intent(Asked(tool, 0, digest(data), Payload(inline=data)), "irreversible"))


def test_a_journal_gives_the_calls_that_happened() -> None:
    entries = [
        intent(1, "drain", node="a"),
        entry(2, "tool", Outcome(1, Status.DONE)),
        intent(3, "drain", node="b"),
        entry(4, "tool", Outcome(3, Status.FAILED, happened=False)),
        intent(5, "drain", node="c"),
    ]
    assert [call.args for call in calls_of(entries)] == [{"node": "a"}, {"node": "c"}]


def test_a_new_agent_conflicts_with_what_happened() -> None:
    document = numbers({"new": NEW}, holds="a <= 3")
    calls = [RecordedCall("move", {"on": "a", "by": 1}, "old", at) for at in (1, 2)]
    found = conflicts(document, calls)
    assert found
    assert found[0].agent == "new"
    assert found[0].tool == "move"
    assert found[0].broken == ("rule",)
    assert any(step.by == "production" for step in found[0].run.steps)
    assert conflicts(document, []) == ()


def test_an_agent_that_looks_again_at_the_act_does_not_conflict() -> None:
    tools = {
        "careful": {
            "touches": [{"field": "n/{on}.v", "op": "add", "value": "1"}],
            "premises": [{"field": "n/{on}.v", "holds": "value < 2"}],
        }
    }
    agent = {"reads": {"x": "n/a.v"}, "rules": [{"do": "careful", "when": "x < 2", "given": {"on": "'a'"}}]}
    document = numbers({"new": agent}, holds="a <= 3", tools=tools)
    assert conflicts(document, [RecordedCall("move", {"on": "a", "by": 1})]) == ()


def test_calls_that_break_an_invariant_by_themselves_are_an_error() -> None:
    document = numbers({"new": NEW}, holds="a <= 3")
    with pytest.raises(UsageError, match="by themselves"):
        conflicts(document, [RecordedCall("move", {"on": "a", "by": 4})])


def test_a_recording_takes_the_part_of_an_agent(tmp_path: Path) -> None:
    calls = [{"tool": "drain", "args": {"service": "checkout", "node": "b"}}]
    (tmp_path / "calls.json").write_text(json.dumps(calls), encoding="utf-8")
    document = scenario("two-drains")
    assert document.rehearsal is not None
    agents = dict(document.rehearsal.agents)
    agents["node-b"] = msgspec.structs.replace(agents["node-b"], python="recorded:calls", rules=(), reads={})
    section = msgspec.structs.replace(document.rehearsal, agents=agents)
    report = rehearse(msgspec.structs.replace(document, rehearsal=section), Options(folder=str(tmp_path)))
    assert report.outcome == "violated"
    assert report.counterexample is not None
    assert len(report.counterexample.steps) == 3


def test_what_is_no_recording_is_an_error() -> None:
    document = with_recording(numbers({"new": NEW}), "old", [RecordedCall("nothing")])
    with pytest.raises(UsageError, match="no tool `nothing`"):
        rehearse(document)
