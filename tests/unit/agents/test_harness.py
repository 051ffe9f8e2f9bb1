"""The declarative agent: think, call what is proposed, tell the model what came of it, answer."""

from __future__ import annotations

from typing import Any

import pytest

from comity import Agent, tool
from comity.core.codec import canonical, decode
from comity.journal.call import Call, Delivered
from comity.journal.protocol import Start
from comity.testing import ScriptedModel, call
from comity.testing.agent import FakeKernel, done, failed, messages_of, refused


@tool(effect="read")
def look(n: int) -> int:
    return n


@tool(effect="idempotent")
def book(seat: str) -> str:
    return seat


def ran(script: Any, outcome: Any = None, *, goal: Any = "find it", session: tuple[bytes, ...] = (), **options: Any):
    """Run a declarative agent; a scripted model answers from the messages that it was sent."""
    model = ScriptedModel(script)
    contexts: dict[bytes, list[dict[str, Any]]] = {bytes(32): []}

    def answer(asked: Call) -> Delivered:
        if asked.kind != "model":
            return outcome(asked) if outcome else done(f"{asked.name} {asked.args.decode()}")
        messages = contexts[asked.base] + messages_of([asked])
        contexts[bytes.fromhex(decode(asked.args)["head"])] = messages
        return done(model.answer(messages))

    options = {"instructions": "be brief", "tools": [look, book], **options}
    start = Start(bytes(16), "h", canonical(goal), 1, session_id="s", session=session, model="m")
    return FakeKernel(Agent("h", **options), answer=answer, start=start).run()


def told(kernel: FakeKernel) -> list[Any]:
    """What the model was told of its tool calls."""
    return [item["content"] for item in messages_of(kernel.asked) if item["role"] == "tool"]


def test_an_answer_without_tool_calls_is_the_result():
    kernel = ran(["42"])
    assert kernel.result == "42"
    assert messages_of(kernel.asked) == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "find it"},
    ]
    assert decode(kernel.asked[0].args)["tools"] == ["look", "book"]


def test_a_goal_that_is_no_text_is_given_as_json():
    kernel = ran(["ok"], goal={"find": "ü"}, instructions="")
    assert messages_of(kernel.asked) == [{"role": "user", "content": '{"find": "ü"}'}]


def test_proposed_calls_run_at_once_and_their_results_stand_in_the_order_of_the_proposals():
    calls = [call("look", n=1), call("look", n=2), call("book", seat="1A")]
    kernel = ran([calls, "done"])
    assert kernel.result == "done"
    assert [(item.branch, item.name) for item in kernel.asked if item.kind == "tool"] == [
        ("1", "look"),
        ("2", "look"),
        ("3", "book"),
    ]
    assert told(kernel) == ['look {"n":1}', 'look {"n":2}', 'book {"seat":"1A"}']


def test_a_result_that_is_no_text_is_told_as_json():
    assert told(ran([call("look", n=1), "done"], lambda _call: done({"b": [1], "a": None}))) == ['{"a":null,"b":[1]}']


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (
            refused("policy", "not at night", "wait for the morning"),
            {"code": "policy", "message": "not at night", "hint": "wait for the morning", "retry": "rethink"},
        ),
        (
            failed("not_happened", "sold out"),
            {"code": "not_happened", "message": "sold out", "hint": "", "retry": "never"},
        ),
        (failed("failed", "broken"), {"code": "failed", "message": "broken", "hint": "", "retry": "never"}),
    ],
)
def test_refusals_and_failures_are_told_to_the_model(outcome, error):
    kernel = ran([call("look", n=1), "I could not"], lambda _call: outcome)
    assert kernel.result == "I could not"
    assert [decode(item.encode()) for item in told(kernel)] == [{"error": error}]


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("look", '{"n": 1, "n": 2}', "not_json"),
        ("look", "{", "not_json"),
        ("look", "[1]", "not_an_object"),
        ("destroy", "{}", "unknown_tool"),
    ],
)
def test_proposals_that_cannot_be_called_are_explained_and_nothing_is_called(name, arguments, code):
    proposal = {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}
    kernel = ran([{"content": None, "tool_calls": [proposal]}, "sorry"])
    assert kernel.result == "sorry"
    assert [item.kind for item in kernel.asked] == ["model", "model"]
    (error,) = (decode(item.encode())["error"] for item in told(kernel))
    assert error["code"] == code
    assert error["hint"]


def test_the_session_gets_the_goal_what_was_said_and_the_answer():
    old = canonical({"role": "user", "content": "earlier"})
    kernel = ran([call("look", n=1), "done"], session=(old,))
    assert [item["role"] for item in messages_of(kernel.asked)][:3] == ["system", "user", "user"]
    assert kernel.finished is not None
    added = [decode(data) for data in kernel.finished.session]
    assert [item["role"] for item in added] == ["user", "assistant", "tool", "assistant"]
    assert added[0]["content"] == "find it"
    assert added[-1] == {"role": "assistant", "content": "done"}


def test_an_agent_is_ended_by_its_turns_only_where_it_declares_a_limit():
    many = [call("look", n=1)] * 30
    assert ran([*many, "done"]).result == "done"
    limited = ran([*many, "done"], turns_max=3)
    assert limited.finished is not None
    assert limited.finished.code == "turns_max"
    assert len(told(limited)) == 3


def test_each_turn_sends_only_what_is_new_and_a_restart_changes_nothing():
    script = [[call("look", n=1), call("look", n=2)], call("book", seat="2B"), "done"]
    kernel = ran(script)
    assert [len(item.segments) for item in kernel.asked if item.kind == "model"] == [2, 3, 2]
    journal = list(kernel.journal)
    for upto in range(len(journal) + 1):
        kernel.journal = list(journal)
        kernel.begin(upto)
        assert kernel.run().result == "done"
