"""The scripted model: an answer computed from the messages, and nothing else."""

from __future__ import annotations

import pytest

from comity.core.errors import UsageError
from comity.testing import ScriptedModel, call

USER = {"role": "user", "content": "find the price"}


def test_a_function_answers_from_messages_and_tools():
    def script(messages, tools):
        return f"{len(messages)} {len(tools)}"

    assert ScriptedModel(script).answer([USER], [{}, {}]) == {"role": "assistant", "content": "1 2"}
    assert ScriptedModel(lambda messages: messages[0]["content"]).answer([USER])["content"] == "find the price"


def test_tool_calls_are_numbered_through_the_conversation():
    model = ScriptedModel([[call("look", n=1), call("look", n=2)], call("book", seat="1A"), "done"])
    messages = [USER]
    ids = []
    for _ in range(2):
        messages.append(model.answer(messages))
        ids += [item["id"] for item in messages[-1]["tool_calls"]]
    assert ids == ["call_1", "call_2", "call_3"]
    assert messages[1]["tool_calls"][1]["function"] == {"name": "look", "arguments": '{"n":2}'}
    assert model.answer(messages)["content"] == "done"


def test_rules_look_at_the_last_message_that_is_not_the_models_own():
    model = ScriptedModel({"price": call("look"), "": "what?"})
    assert model.answer([USER])["tool_calls"][0]["function"]["name"] == "look"
    assert model.answer([USER, {"role": "assistant", "content": "price"}])["tool_calls"]
    assert model.answer([USER, {"role": "tool", "content": "7"}])["content"] == "what?"


def test_a_whole_message_is_passed_on():
    assert ScriptedModel([{"content": "x", "refusal": None}]).answer([USER]) == {
        "role": "assistant",
        "content": "x",
        "refusal": None,
    }


@pytest.mark.parametrize(
    ("script", "code"), [({"weather": "x"}, "no_rule"), ([], "script_over"), (lambda _messages: [], "not_an_answer")]
)
def test_a_script_without_an_answer_says_so(script, code):
    with pytest.raises(UsageError) as caught:
        ScriptedModel(script).answer([USER])
    assert caught.value.code == code
