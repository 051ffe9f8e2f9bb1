"""Comity's own tools: each is the call that the SDK's `Context` makes, so that both doors are treated alike."""

from __future__ import annotations

import re
from typing import Any

import pytest

from comity.core.codec import canonical, decode
from comity.core.ids import show_id
from comity.gateway.own_tools_schemas import own_tools
from comity.gateway.question import Question
from comity.gateway.visit import OWN_TOOLS
from comity.journal.call import Delivered, Kind, Status
from comity.journal.spec import AgentSpec
from comity.models.stream import Thought
from mcp_stage import PlayedDoor, calling, done, never, plain, rpc

SPAWNER = AgentSpec("clerk", "outside", agents=("buyer", "seller"))
CHILD = show_id(bytes(range(16)))


async def asked(name: str, args: dict[str, Any], play: Any = plain, agent: AgentSpec | None = None) -> tuple[Any, Any]:
    """Call a tool; return what was asked and the result."""
    door = PlayedDoor(play, agent=agent)
    async with calling(door) as caller:
        result = await caller.result(name, args)
        questions = door.inner.asked
        return (questions[0] if questions else None), result


def same(question: Question, kind: Kind, name: str, args: Any) -> bool:
    return (question.kind, question.name, question.args) == (kind, name, canonical(args))


def test_those_are_offered_that_the_visit_knows_as_ours() -> None:
    assert sorted(own_tools(SPAWNER)) == sorted(OWN_TOOLS)
    assert set(own_tools(AgentSpec("clerk"))) == set(OWN_TOOLS) - {"comity_spawn"}  # it may spawn nobody


async def test_waiting_for_time_is_the_sdks_sleep() -> None:
    question, result = await asked("comity_wait", {"seconds": 5})
    assert same(question, Kind.TIMER, "sleep", {"seconds": 5})
    assert result["structuredContent"] == {"waited_s": 5}


async def test_waiting_for_a_signal_is_the_sdks() -> None:
    question, result = await asked("comity_wait", {"signal": "go", "timeout_s": 9}, lambda _: done({"value": [1]}))
    assert same(question, Kind.SIGNAL, "go", {"timeout_s": 9})
    assert result["structuredContent"] == {"value": [1]}
    question, _ = await asked("comity_wait", {"signal": "go"}, lambda _: done({"value": None}))
    assert same(question, Kind.SIGNAL, "go", {"timeout_s": None})


async def test_a_signal_that_does_not_come_in_time_is_told() -> None:
    late = Delivered(Status.FAILED, b"null", "timeout", "nothing came", "", "rethink")
    _, result = await asked("comity_wait", {"signal": "go", "timeout_s": 1}, lambda _: late)
    assert result["isError"] is True
    assert result["structuredContent"]["code"] == "timeout"
    assert result["content"][0]["text"].startswith("failed: nothing came")


async def test_a_child_is_started_and_waited_for_like_the_sdks() -> None:
    given = {"agent": "buyer", "goal": {"buy": "milk"}, "tools": ["book"], "budget": {"usd": 0.5, "tokens": 10}}
    question, result = await asked("comity_spawn", given, lambda _: done({"task": CHILD, "version": "1"}), SPAWNER)
    budget = {"tokens": 10, "usd_micro": 500_000}
    spawned = {"agent": "buyer", "goal": {"buy": "milk"}, "session": "", "budget": budget, "tools": ["crm.book"]}
    assert same(question, Kind.SPAWN, "buyer", spawned)
    child = result["structuredContent"]["child"]
    question, result = await asked("comity_wait", {"child": child}, lambda _: done({"bought": 1}), SPAWNER)
    assert same(question, Kind.CHILD, "buyer", {"task": CHILD})
    assert result["structuredContent"] == {"result": {"bought": 1}}


async def test_a_plain_spawn_leaves_open_what_the_sdk_leaves_open() -> None:
    question, _ = await asked("comity_spawn", {"agent": "buyer", "goal": "x"}, lambda _: done({"task": CHILD}), SPAWNER)
    spawned = {"agent": "buyer", "goal": "x", "session": "", "budget": None, "tools": None}
    assert same(question, Kind.SPAWN, "buyer", spawned)


@pytest.mark.parametrize(
    "given", [{"agent": "thief", "goal": "x"}, {"agent": "buyer"}, {"agent": "buyer", "goal": 1, "x": 1}]
)
async def test_a_spawn_that_does_not_fit_is_refused(given: dict[str, Any]) -> None:
    door = PlayedDoor(agent=SPAWNER)
    async with calling(door) as caller:
        assert (await caller.result("comity_spawn", given))["error"]["code"] == -32602
        assert not door.inner.asked


async def test_no_tool_is_handed_on_that_one_does_not_have() -> None:
    question, result = await asked("comity_spawn", {"agent": "buyer", "goal": "x", "tools": ["steal"]}, agent=SPAWNER)
    assert question is None
    assert result["structuredContent"]["code"] == "no_such_tool"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"seconds": 1, "signal": "go"},
        {"seconds": 1, "timeout_s": 1},
        {"child": "buyer"},
        {"child": f"/{CHILD}"},
        {"child": CHILD},
        {"child": "buyer/none"},
    ],
)
async def test_a_wait_for_nothing_clear_is_told_how_to_say_it(given: dict[str, Any]) -> None:
    question, result = await asked("comity_wait", given)
    assert question is None
    assert result["isError"] is True
    assert result["structuredContent"]["remedy"]


@pytest.mark.parametrize("given", [{"signal": "x" * 201}, {"signal": ""}, {"child": f"{'x' * 201}/{CHILD}"}])
async def test_a_name_that_no_call_may_have_is_refused(given: dict[str, Any]) -> None:
    question, answer = await asked("comity_wait", given)
    assert question is None
    assert answer["error"]["code"] == -32602


async def test_a_question_to_a_person_is_the_sdks() -> None:
    question, result = await asked(
        "comity_ask_human", {"question": "may I?", "options": ["yes"]}, lambda _: done("yes")
    )
    assert same(question, Kind.HUMAN, "ask", {"question": "may I?", "options": ["yes"], "timeout_s": None})
    assert result["structuredContent"] == {"answer": "yes"}


async def test_progress_is_said_and_asks_nothing() -> None:
    door = PlayedDoor(never)
    async with calling(door) as caller:
        assert (await caller.result("comity_progress", {"text": "half", "fraction": 0.5}))["content"]
        assert door.inner.said == [("half", 0.5)]
        assert not door.inner.asked


async def test_the_program_ends_its_task() -> None:
    door = PlayedDoor(never)
    async with calling(door) as caller:
        await caller.result("comity_finish", {"result": {"n": 1}})
        await caller.result("comity_finish")
        await caller.result("comity_finish", {"error": "no money"})
        assert door.inner.finished == [(b'{"n":1}', "", ""), (b"null", "", ""), (b"null", "agent_error", "no money")]
        both = await caller.result("comity_finish", {"result": 1, "error": "x"})
        assert both["structuredContent"]["code"] == "bad_finish"
        assert len(door.inner.finished) == 3


async def test_a_decision_is_recorded_with_what_the_model_said() -> None:
    door = PlayedDoor()
    door.inner.thought = Thought("I take b.", "b is cheaper")
    given = {
        "issue": "a or b?",
        "options": ["a", {"id": "b", "action": "take b"}],
        "chosen": "b",
        "why": "cheaper",
        "factors": ["price", {"name": "speed", "value": 3, "direction": "against"}],
        "rejected": {"a": "dear"},
        "confidence": 0.8,
        "ttl_s": 60,
    }
    async with calling(door) as caller:
        result = await caller.result("comity_decide", given)
    assert result["structuredContent"] == {"recorded": True, "chosen": "b"}
    question = door.inner.asked[0]
    assert (question.kind, question.name) == (Kind.DECISION, "decide")
    assert decode(question.args) == {
        "issue": "a or b?",
        "options": [{"id": "a"}, {"id": "b", "action": "take b"}],
        "chosen": "b",
        "factors": [{"name": "price"}, {"name": "speed", "value": 3, "direction": "against"}],
        "rejected": {"a": "dear"},
        "confidence": 0.8,
        "ttl_s": 60.0,
        "provenance": {"why": "cheaper", "text": "I take b.", "reasoning": "b is cheaper"},
    }
    assert door.inner.looked_for == [("comity_decide", canonical(given))]


@pytest.mark.parametrize(("options", "chosen"), [(["a", "b"], "c"), (["a", "a"], "a"), ([{"id": "a"}], "A")])
async def test_what_was_chosen_must_be_one_of_the_options(options: list[Any], chosen: str) -> None:
    question, result = await asked("comity_decide", {"issue": "?", "options": options, "chosen": chosen})
    assert question is None
    assert result["structuredContent"]["code"] == "not_an_option"


async def test_every_tool_and_argument_is_described_to_the_model() -> None:
    async with calling(PlayedDoor(agent=SPAWNER)) as caller:
        for tool in (await caller.old(rpc("tools/list")))["result"]["tools"]:
            if not tool["name"].startswith("comity_"):
                continue
            assert re.fullmatch(r"[A-Z].*\.", tool["description"])
            schema = tool["inputSchema"]
            assert schema["additionalProperties"] is False
            assert set(schema["required"]) <= set(schema["properties"])
            assert all(item["description"] for item in schema["properties"].values())


async def listed(*, has_world: bool) -> set[str]:
    """Return the names of the tools that a program is shown."""
    async with calling(PlayedDoor(has_world=has_world)) as caller:
        answer = await caller.new(rpc("tools/list"))
    return {tool["name"] for tool in answer["result"]["tools"]}


async def test_those_about_the_world_are_listed_where_one_is_in_force() -> None:
    more = await listed(has_world=True) - await listed(has_world=False)
    assert more == {"comity_claim", "comity_release", "comity_observe"}


async def test_a_claim_is_the_sdks() -> None:
    held = {"claim": "0123", "scope": "db/main", "mode": "up-only", "until": "2026-01-01T00:00:00Z"}
    given = {"scope": "db/main", "for_s": 60, "mode": "up-only"}
    question, result = await asked("comity_claim", given, lambda _: done(held))
    assert same(question, Kind.WORLD, "claim", {**given, "reason": ""})
    assert result["structuredContent"] == held
    question, _ = await asked("comity_claim", {"scope": "db/main", "for_s": 1}, lambda _: done(held))
    assert same(question, Kind.WORLD, "claim", {"scope": "db/main", "mode": "exclusive", "for_s": 1, "reason": ""})
    question, result = await asked("comity_release", {"claim": "0123"}, lambda _: done({"claim": "0123"}))
    assert same(question, Kind.WORLD, "release", {"claim": "0123"})


async def test_an_observation_is_the_sdks() -> None:
    given = {"field": "db/main.connections", "value": 41}
    taken = {"field": "db/main.connections", "taken": "proposed"}
    question, result = await asked("comity_observe", given, lambda _: done(taken))
    assert same(question, Kind.WORLD, "observe", given)
    assert result["structuredContent"] == taken


async def test_a_claim_that_is_refused_says_what_would_help() -> None:
    failed = Delivered(Status.FAILED, b"null", "claim_too_long", "it lasts at most 4 h", "claim for less", "rethink")
    _, result = await asked("comity_claim", {"scope": "db/main", "for_s": 1e9}, lambda _: failed)
    assert result["isError"] is True
    assert result["structuredContent"]["remedy"] == "claim for less"


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("comity_claim", {"scope": "db/main"}),
        ("comity_claim", {"scope": "db/main", "for_s": 0}),
        ("comity_claim", {"scope": "db/main", "for_s": 1, "mode": "mine"}),
        ("comity_claim", {"scope": "", "for_s": 1}),
        ("comity_release", {}),
        ("comity_observe", {"field": "db/main.connections"}),
        ("comity_observe", {"field": "db/main.connections", "value": {"is": 1}}),
    ],
)
async def test_what_does_not_fit_about_the_world_is_refused(name: str, given: dict[str, Any]) -> None:
    door = PlayedDoor(has_world=True)
    async with calling(door) as caller:
        assert (await caller.result(name, given))["error"]["code"] == -32602
        assert not door.inner.asked
