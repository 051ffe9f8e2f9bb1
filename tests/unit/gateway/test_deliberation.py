"""Deliberation: asked for in the schema, taken out before the call, recorded before it, required where that is said."""

from __future__ import annotations

from typing import Any

import pytest

from comity.core.codec import decode, digest
from comity.gateway.proposed import as_asked
from comity.journal.call import Kind
from comity.journal.spec import AgentSpec, Effect, Outside, ToolSpec
from comity.models.stream import Thought
from mcp_stage import BOOK, TOOLS, Caller, PlayedDoor, calling, rpc

WHY = {"issue": "which room?", "options": ["7", "9"], "chosen": "7", "why": "it is quiet", "assumptions": ["free"]}
OWN = ToolSpec("poll", Effect.IDEMPOTENT, schema={"type": "object", "properties": {"deliberation": {"type": "string"}}})


def asking(deliberation: Any, *classes: Effect) -> AgentSpec:
    return AgentSpec("clerk", "outside", outside=Outside(deliberation=deliberation, deliberation_for=classes))


def door_of(deliberation: Any, *classes: Effect) -> PlayedDoor:
    return PlayedDoor(agent=asking(deliberation, *classes), tools=(*TOOLS, OWN))


async def schemas(caller: Caller) -> dict[str, Any]:
    return {tool["name"]: tool["inputSchema"] for tool in (await caller.old(rpc("tools/list")))["result"]["tools"]}


async def test_by_default_nothing_is_asked_for() -> None:
    async with calling(door_of("off")) as caller:
        assert "deliberation" not in (await schemas(caller))["book"]["properties"]
        error = (await caller.result("book", {"room": 7, "deliberation": WHY}))["error"]
        assert "`deliberation` is not among" in error["message"]


async def test_effects_are_asked_why_and_reads_are_not() -> None:
    async with calling(door_of("offered")) as caller:
        shown = await schemas(caller)
        assert shown["book"]["properties"]["deliberation"]["required"] == ["issue", "options", "chosen"]
        assert shown["book"]["required"] == ["room"]
        assert "deliberation" not in shown["look"]["properties"]
        assert "deliberation" not in shown["comity_wait"]["properties"]


async def test_classes_may_be_named() -> None:
    async with calling(door_of("required", Effect.READ)) as caller:
        shown = await schemas(caller)
        assert shown["look"]["required"] == ["deliberation"]
        assert "deliberation" not in shown["book"]["properties"]


async def test_a_deliberation_is_recorded_before_the_call_and_not_given_to_the_tool() -> None:
    door = door_of("offered")
    door.inner.thought = Thought("I book 7.", "quiet is best")
    async with calling(door) as caller:
        assert (await caller.result("book", {"room": 7, "deliberation": WHY}))["content"][0]["text"] == "booked"
    decision, call = door.inner.asked
    assert (call.kind, call.args) == (Kind.TOOL, b'{"room":7}')
    assert (decision.kind, decision.name, decision.is_retry) == (Kind.DECISION, "decide", True)
    assert decode(decision.args) == {
        "issue": "which room?",
        "options": [{"id": "7"}, {"id": "9"}],
        "chosen": "7",
        "assumptions": ["free"],
        "provenance": {
            "why": "it is quiet",
            "text": "I book 7.",
            "reasoning": "quiet is best",
            "tool": "crm.book",
            "arguments_sha256": digest(b'{"room":7}').hex(),
        },
    }
    (looked_for,) = door.inner.looked_for
    assert looked_for[0] == "crm.book"
    assert decode(looked_for[1]) == {"room": 7, "deliberation": WHY}  # as the model proposed it
    assert [reply.told for reply in door.inner.replies] == [["handed over"]] * 2


async def test_what_is_offered_may_be_left_out() -> None:
    door = door_of("offered")
    async with calling(door) as caller:
        for args in ({"room": 7}, {"room": 7, "deliberation": None}):
            assert (await caller.result("book", args))["content"]
    assert [question.args for question in door.inner.asked] == [b'{"room":7}'] * 2


async def test_what_is_required_and_missing_is_asked_for_with_an_example() -> None:
    door = door_of("required")
    async with calling(door) as caller:
        assert (await schemas(caller))["book"]["required"] == ["room", "deliberation"]
        result = await caller.result("book", {"room": 7})
        assert result["isError"] is True
        assert result["structuredContent"]["code"] == "no_deliberation"
        assert '"options"' in result["structuredContent"]["remedy"]
        assert not door.inner.asked
        assert (await caller.result("look", {"at": "7"}))["content"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("because", "`arguments.deliberation`: expected object"),
        ({}, "`arguments.deliberation`: `issue` is missing"),
        ({**WHY, "chosen": "8"}, "`8` is none of the options"),
        ({**WHY, "confidence": 7}, "`arguments.deliberation.confidence`"),
        ({**WHY, "mood": "good"}, "`mood` is not among"),
    ],
)
async def test_a_deliberation_that_is_none_is_told_what_is_wrong(given: Any, said: str) -> None:
    door = door_of("offered")
    async with calling(door) as caller:
        result = await caller.result("book", {"room": 7, "deliberation": given})
        assert result["isError"] is True
        assert said in result["structuredContent"]["reason"]
        assert not door.inner.asked


async def test_a_tool_keeps_its_own_argument_of_that_name() -> None:
    door = door_of("required")
    async with calling(door) as caller:
        shown = (await schemas(caller))["poll"]
        assert shown["properties"]["deliberation"] == {"type": "string"}
        assert shown["required"] == ["comity_deliberation"]
        await caller.result("poll", {"deliberation": "mine", "comity_deliberation": WHY})
    assert door.inner.asked[1].args == b'{"deliberation":"mine"}'


def test_a_proposed_call_is_compared_without_its_deliberation() -> None:
    agent, said = asking("offered"), b'{"deliberation":{"issue":"?"},"room":7}'
    for name in ("book", "crm_book", "mcp__crm__book"):
        assert as_asked(agent, (BOOK,), name, said) == (name, b'{"room":7}')
    assert as_asked(asking("off"), (BOOK,), "book", said) == ("book", said)
    assert as_asked(agent, (BOOK,), "cook", said) == ("cook", said)
    assert as_asked(agent, (BOOK,), "book", b"no json") == ("book", b"no json")
    assert as_asked(agent, (BOOK,), "book", b"[1]") == ("book", b"[1]")


def test_a_proposed_spawn_is_compared_as_the_spawning_that_it_asks_for() -> None:
    agent = AgentSpec("clerk", "outside", agents=("buyer",))
    name, args = as_asked(agent, (BOOK,), "mcp__comity__comity_spawn", b'{"agent":"buyer","goal":1,"tools":["book"]}')
    assert (name, decode(args)["tools"]) == ("buyer", ["crm.book"])
    for unfit in (b'{"agent":"thief","goal":1}', b"[]", b"x", b'{"agent":"buyer","goal":1,"tools":["steal"]}'):
        assert as_asked(agent, (BOOK,), "comity_spawn", unfit) == ("comity_spawn", unfit)
