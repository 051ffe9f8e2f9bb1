"""Thinking: contexts cost what is new in them; decisions are recorded, and a model may choose."""

from __future__ import annotations

import msgspec
import pytest

from comity import Context, Conversation, Message, Refused, agent
from comity.core.codec import canonical, decode
from comity.core.errors import UsageError
from comity.journal.decision import Argument, Decision, Factor, Option
from comity.journal.protocol import Start
from comity.journal.segment import EMPTY_HEAD, head_after, segment
from comity.testing.agent import FakeKernel, done, messages_of, refused

HI = {"role": "assistant", "content": "hi"}


def said(text: str):
    return done({"role": "assistant", "content": text})


def ran(function, answer=lambda _call: done(HI), **options) -> FakeKernel:
    return FakeKernel(agent(function), answer=answer, **options).run()


def sent(kernel: FakeKernel) -> list[int]:
    return [len(call.segments) for call in kernel.asked if call.kind == "model"]


def holds(kernel: FakeKernel) -> bool:
    """Whether each context comes out as its head, extended from one that the kernel knows."""
    known = {EMPTY_HEAD}
    for call in kernel.asked:
        if call.kind != "model":
            continue
        head = head_after(call.base, [item.sha256 for item in call.segments])
        if call.base not in known or head.hex() != decode(call.args)["head"]:
            return False
        known.add(head)
    return True


# ---- contexts --------------------------------------------------------------------------------------------


def test_a_growing_conversation_sends_only_what_is_new():
    async def root(ctx: Context):
        talk = Conversation([{"role": "system", "content": "be brief"}])
        for n in range(4):
            talk.user(f"question {n}")
            talk.append(await ctx.think(talk, model="m"))
        return len(talk)

    kernel = ran(root)
    assert kernel.result == 9
    assert sent(kernel) == [2, 2, 2, 2]
    assert holds(kernel)
    assert messages_of(kernel.asked)[:4] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "question 0"},
        HI,
        {"role": "user", "content": "question 1"},
    ]


def test_a_plain_list_sends_only_what_is_new_too():
    async def root(ctx: Context):
        talk = [{"role": "user", "content": "first"}]
        for n in range(3):
            talk = [*talk, await ctx.think(talk, model="m"), {"role": "user", "content": str(n)}]
        talk[2] = {"role": "user", "content": "edited"}
        await ctx.think(talk, model="m")

    kernel = ran(root)
    assert sent(kernel) == [1, 2, 2, 6]
    assert holds(kernel)


def test_a_resumed_agent_extends_what_its_history_holds():
    async def root(ctx: Context):
        talk = Conversation()
        for n in range(3):
            talk.user(str(n))
            talk.append(await ctx.think(talk, model="m"))

    kernel = FakeKernel(agent(root), answer=lambda _call: done(HI))
    kernel.begin()
    kernel.end(kernel.open[0])
    kernel.end(kernel.open[0])
    (call,) = kernel.begin(4).calls
    assert len(call.segments) == 2
    kernel.close()


def test_a_session_that_the_kernel_knows_is_not_sent_again():
    old = (canonical({"role": "user", "content": "old"}), canonical(HI))
    head = head_after(EMPTY_HEAD, [segment(data).sha256 for data in old])

    async def root(ctx: Context):
        talk = Conversation(ctx.session.messages)
        talk.user("new")
        await ctx.think(talk, model="m")

    start = Start(bytes(16), "root", b"null", 1, session_id="s", session=old, session_head=head)
    kernel = ran(root, start=start)
    assert sent(kernel) == [1]
    assert kernel.asked[0].base == head


def test_a_context_that_was_refused_is_sent_again():
    async def root(ctx: Context):
        talk = Conversation([{"role": "user", "content": "a"}])
        try:
            await ctx.think(talk, model="m")
        except Refused:
            talk.user("b")
        await ctx.think(talk, model="m")

    kernel = FakeKernel(agent(root), answer=lambda _call: done(HI))
    kernel.begin()
    (again,) = kernel.end(kernel.open[0], refused("policy", "no")).calls
    assert (again.base, len(again.segments)) == (EMPTY_HEAD, 2)
    kernel.close()


def test_a_conversation_names_each_of_its_beginnings():
    talk = Conversation()
    heads = [talk.head]
    for text in ("a", "b"):
        talk.user(text)
        heads.append(talk.head)
    assert len(set(heads)) == 3
    assert Conversation(talk.messages).heads == talk.heads
    assert [message["content"] for message in talk] == ["a", "b"]
    assert talk.since({heads[1], EMPTY_HEAD}) == (heads[1], tuple(talk.segments[1:]))


def test_what_was_appended_does_not_change_with_the_message():
    message = {"role": "user", "content": "a"}
    talk = Conversation([message])
    message["content"] = "b"
    talk.messages[0]["content"] = "c"
    assert talk.messages == [{"role": "user", "content": "a"}]


def test_an_answer_tells_its_text_and_its_tool_calls():
    function = {"name": "look", "arguments": '{"n":1}'}
    answer = Message(
        role="assistant", content=None, tool_calls=[{"id": "c1", "type": "function", "function": function}]
    )
    assert answer.text == ""
    assert [tuple(call) for call in answer.tool_calls] == [("c1", "look", '{"n":1}')]
    parts = [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]
    assert Message(role="assistant", content=parts).text == "ab"
    assert Message(HI).tool_calls == ()


@pytest.mark.parametrize("message", [{"content": "x"}, "text", {"role": 1}, None])
def test_what_is_no_message_cannot_be_appended(message):
    with pytest.raises(UsageError, match="is not a message"):
        Conversation().append(message)


def test_an_answer_may_be_a_result():
    async def root(ctx: Context):
        return await ctx.think("hello", model="m")

    assert ran(root).result == HI


# ---- decisions -------------------------------------------------------------------------------------------


def test_a_decision_is_recorded_as_it_was_given():
    async def root(ctx: Context):
        record = await ctx.decide(
            "deploy?",
            ["now", Option("later", cost="1 h")],
            "later",
            factors=[Factor("load", "metrics", value=0.9, direction="against")],
            arguments=[Argument("load", "now", pro=False, why="busy")],
            rejected={"now": "load is high"},
            confidence=0.8,
            assumptions=["load < 1"],
            reads={"load": "v7"},
            ttl_s=60,
        )
        return record.chosen

    kernel = ran(root, lambda _call: done(None))
    assert kernel.result == "later"
    (call,) = kernel.asked
    assert (call.kind, call.name) == ("decision", "decide")
    record = msgspec.json.decode(call.args, type=Decision)
    assert [option.id for option in record.options] == ["now", "later"]
    assert (record.factors[0].value, record.arguments[0].why, record.ttl_s) == (0.9, "busy", 60)


def chooses(*answers: str):
    async def root(ctx: Context):
        record = await ctx.decide("deploy?", ["now", "later"], messages="The load is high.")
        return [record.chosen, record.confidence, record.provenance]

    left = list(answers)
    start = Start(bytes(16), "root", b"null", 1, model="m")
    return ran(root, lambda call: said(left.pop(0)) if call.kind == "model" else done(None), start=start)


def test_a_model_chooses_where_the_agent_did_not():
    kernel = chooses('{"chosen": "later", "why": "busy", "confidence": 0.7}')
    assert kernel.result == ["later", 0.7, {"model": "m", "why": "busy"}]
    model, decision = kernel.asked
    form = decode(model.args)["params"]["response_format"]["json_schema"]["schema"]
    assert form["properties"]["chosen"]["enum"] == ["now", "later"]
    assert messages_of([model])[0]["content"] == "The load is high."
    assert decision.kind == "decision"


@pytest.mark.parametrize(
    "bad", ["later", '{"chosen": "never"}', '{"chosen": "now", "chosen": "later"}', '{"chosen": "now", "x": 1}', "[]"]
)
def test_a_model_that_answers_badly_is_asked_once_more(bad):
    kernel = chooses(bad, '{"chosen": "now"}')
    assert kernel.result[0] == "now"
    assert sent(kernel) == [2, 2]


def test_a_model_that_answers_badly_twice_ends_the_decision():
    kernel = chooses("now", "later")
    assert kernel.finished is not None
    assert kernel.finished.code == "undecided"
