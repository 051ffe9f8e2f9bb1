"""Chat Completions as a wire format: what requests say, what of an answer may go out, and both shapes of it."""

from __future__ import annotations

import json

import openai
import pytest

from comity.core.errors import ComityError, UsageError
from comity.journal.wire import SSE, Answer
from comity.models.formats import FORMATS
from comity.models.stream import Proposal
from unit.models.fake_upstream import Reply, upstream
from unit.models.recorded import DONE, TEXT, TEXT_SAID, TOOLS, TOOLS_CALLED, call, event, piece, usage

CHAT = FORMATS["chat"]
USER = {"role": "user", "content": "hello"}
JSON = {"content-type": "application/json"}
BOTH = b'{"stream":true,"stream_options":{"include_usage":true}}'


def take(*messages: dict[str, object], **rest: object):
    return CHAT.take_apart(json.dumps({"model": "m", "messages": messages or [USER], **rest}).encode())


def test_functions_and_hosted_tools_are_told_apart():
    function = {"type": "function", "function": {"name": "pay", "parameters": {}}}
    custom = {"type": "custom", "custom": {"name": "draw"}}
    parts = take(tools=[function, custom, {"type": "web_search"}], functions=[{"name": "old"}], web_search_options={})
    assert parts.tools == ("pay", "draw", "old")
    assert parts.hosted == ("web_search", "web_search")


def test_results_name_their_function():
    calls = [{"id": "a", "type": "function", "function": {"name": "pay", "arguments": "{}"}}]
    parts = take(
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "a", "content": "paid"},
        {"role": "tool", "tool_call_id": "lost", "content": "?"},
        {"role": "function", "name": "old", "content": "x"},
    )
    assert parts.results == (("pay", "a"), ("", "lost"), ("old", ""))
    assert parts.roles == ("assistant", "tool", "tool", "function")


@pytest.mark.parametrize(
    ("rest", "most"),
    [
        ({}, None),
        ({"max_tokens": 9, "max_completion_tokens": 7}, 7),
        ({"max_tokens": 5, "n": 3}, 15),
        ({"max_tokens": None}, None),
    ],
)
def test_the_most_that_an_answer_may_have_counts_all_of_its_choices(rest, most):
    assert take(**rest).output_tokens_max == most


@pytest.mark.parametrize("rest", [{"max_tokens": 0}, {"n": "2"}, {"stream_options": []}, {"stream": 1}])
def test_fields_of_a_wrong_type_are_refused(rest):
    with pytest.raises(UsageError) as caught:
        take(**rest)
    assert caught.value.code == "bad_request"


def test_a_stream_is_asked_to_report_usage():
    rest = b'{"stream":true,"stream_options":{"include_obfuscation":false,"include_usage":false},"seed":1}'
    sent = json.loads(CHAT.put_together("m", (b"{}",), rest))
    assert sent["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    assert json.loads(CHAT.put_together("m", (b"{}",), b'{"stream":true}'))["stream_options"] == {"include_usage": True}
    assert "stream_options" not in json.loads(CHAT.put_together("m", (b"{}",), b'{"stream":false}'))


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_words_may_go_out_and_the_end_may_not(size):
    reader, out = CHAT.reader(BOTH), b""
    data = TEXT.encode()
    for at in range(0, len(data), size):
        out += reader.feed(data[at : at + size])
    reader.end()
    assert (
        out
        == TEXT[
            : TEXT.index(
                'data: {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m", '
                '"choices": [{"index": 0, "delta": {}'
            )
        ].encode()
    )
    assert (reader.body.decode(), reader.is_whole, reader.is_done) == (TEXT, True, True)


def test_nothing_goes_out_after_a_tool_call():
    said = event(piece({"content": "let me "}))
    stream = said + event(piece({"tool_calls": [call(0, "a", "pay", "{}")]})) + event(piece({"content": "see"}))
    reader = CHAT.reader(b"{}")
    assert reader.feed(stream.encode()) == said.encode()
    assert reader.said == "let me "
    assert reader.feed(event(piece({"content": "more"})).encode()) == b""
    assert reader.thought().text == "let me seemore"


@pytest.mark.parametrize(
    "held",
    [
        piece({"function_call": {"name": "f", "arguments": ""}}),
        piece({}, "stop"),
        piece({"content": "x"}, "length"),
        {"id": "1", "choices": [{"index": 2, "delta": {"tool_calls": [call(0, "a", "f")]}}]},
    ],
)
def test_whatever_starts_a_call_or_ends_a_choice_is_held(held):
    reader = CHAT.reader(b"{}")
    assert reader.feed(event(held).encode()) == b""


def test_usage_that_the_program_did_not_ask_for_reaches_neither_it_nor_the_record():
    reader = CHAT.reader(b'{"stream":true}')
    reader.feed(TEXT.encode())
    reader.end()
    assert reader.body.decode() == TEXT.replace(event(usage(11, 5)), "")
    assert reader.thought().tokens == (11, 5)


def test_an_answer_is_whole_when_all_of_its_choices_have_ended():
    other = piece({"content": "b"})
    other["choices"][0]["index"] = 1
    reader = CHAT.reader(b'{"n":2}')
    reader.feed((event(piece({"content": "a"})) + event(other) + event(piece({}, "stop"))).encode())
    assert not reader.is_whole
    other["choices"][0] |= {"delta": {}, "finish_reason": "stop"}
    reader.feed(event(other).encode())
    assert reader.is_whole
    assert [
        choice["message"]["content"]
        for choice in json.loads(CHAT.to_plain(Answer(reader.body.decode(), SSE)).body)["choices"]
    ] == ["a", "b"]


def test_what_follows_the_end_is_neither_recorded_nor_heard():
    reader = CHAT.reader(BOTH)
    reader.feed((TEXT + event(piece({"content": "more"}))).encode())
    assert reader.feed(event(piece({"content": "and more"})).encode()) == b""
    assert reader.body.decode() == TEXT
    assert reader.thought().text == TEXT_SAID


def test_an_error_in_a_stream_breaks_it():
    reader = CHAT.reader(b"{}")
    with pytest.raises(ComityError, match="overloaded") as caught:
        reader.feed(event({"error": {"message": "overloaded"}}).encode())
    assert caught.value.code == "model_broken"


def test_what_an_answer_proposes_is_read_from_both_shapes():
    streamed = Answer(TOOLS, SSE)
    for answer in (streamed, CHAT.to_plain(streamed), CHAT.to_stream(CHAT.to_plain(streamed), BOTH)):
        thought = CHAT.read(answer)
        assert thought.proposals == (
            Proposal("pay", b'{"amount":12}', "call_a"),
            Proposal("look", '{"id":"ü"}'.encode(), "call_b"),
        )
        assert (thought.response_id, thought.finish, thought.tokens) == ("chatcmpl-1", "tool_calls", (50, 20))


def test_other_kinds_of_calls_are_proposals_too():
    custom = {"index": 0, "id": "c", "type": "custom", "custom": {"name": "draw", "input": "a li"}}
    stream = event(piece({"tool_calls": [custom]})) + event(
        piece({"tool_calls": [{"index": 0, "custom": {"input": "ne"}}]})
    )
    stream += event(piece({"function_call": {"name": "old", "arguments": '{"a":1,'}}))
    stream += event(piece({"function_call": {"arguments": '"a":2}'}}, "function_call")) + DONE
    assert CHAT.read(Answer(stream, SSE)).proposals == (
        Proposal("draw", b"a line", "c"),
        Proposal("old", b'{"a":1,"a":2}', ""),
    )
    message = json.loads(CHAT.to_plain(Answer(stream, SSE)).body)["choices"][0]["message"]
    assert message["tool_calls"] == [{"id": "c", "type": "custom", "custom": {"name": "draw", "input": "a line"}}]
    assert message["function_call"] == {"name": "old", "arguments": '{"a":1,"a":2}'}


def test_visible_reasoning_is_read():
    stream = event(piece({"reasoning": "let me "})) + event(piece({"reasoning": "see"}, "stop")) + DONE
    assert CHAT.read(Answer(stream, SSE)).reasoning == "let me see"


def test_an_answer_that_has_the_right_shape_is_not_turned():
    streamed, plain = Answer(TEXT, SSE), Answer('{"choices":[]}')
    assert CHAT.to_stream(streamed, b"{}") is streamed
    assert CHAT.to_plain(plain) is plain


async def test_openais_client_takes_a_stream_that_was_plain():
    plain = CHAT.to_plain(Answer(TOOLS, SSE))
    async with (
        upstream(Reply(chunks=[CHAT.to_stream(plain, BOTH).body.encode()])) as fake,
        openai.AsyncOpenAI(base_url=fake.url, api_key="k") as client,
    ):
        stream = client.chat.completions.stream(model="m", messages=[USER], stream_options={"include_usage": True})
        async with stream as events:
            completion = await events.get_final_completion()
    assert completion.usage.total_tokens == 70
    assert [item.model_dump(include={"id", "function", "type"}) for item in completion.choices[0].message.tool_calls]
    assert completion.choices[0].message.tool_calls[1].function.arguments == '{"id":"ü"}'
    assert completion.choices[0].finish_reason == "tool_calls"


async def test_openais_client_takes_a_plain_answer_that_was_a_stream():
    body = CHAT.to_plain(Answer(TOOLS, SSE)).body.encode()
    async with (
        upstream(Reply(chunks=[body], headers=JSON)) as fake,
        openai.AsyncOpenAI(base_url=fake.url, api_key="k") as client,
    ):
        completion = await client.chat.completions.create(model="m", messages=[USER])
    calls = [item.model_dump(include={"id", "function", "type"}) for item in completion.choices[0].message.tool_calls]
    assert calls == TOOLS_CALLED


async def test_openais_client_understands_errors():
    body = CHAT.error_body(404, "unknown_model", "there is no model `x`", "did you mean `y`?")
    async with (
        upstream(Reply(404, [body], JSON)) as fake,
        openai.AsyncOpenAI(base_url=fake.url, api_key="k") as client,
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            await client.chat.completions.create(model="x", messages=[USER])
    assert caught.value.code == "unknown_model"
    assert "there is no model `x`. Did you mean `y`?" in caught.value.message


async def test_openais_client_sees_an_error_in_a_stream():
    broken = event(piece({"content": "half"})).encode() + CHAT.error_event(
        502, "model_broken", "it broke off", "ask again"
    )
    async with (
        upstream(Reply(chunks=[broken])) as fake,
        openai.AsyncOpenAI(base_url=fake.url, api_key="k") as client,
    ):
        stream = await client.chat.completions.create(model="x", messages=[USER], stream=True)
        with pytest.raises(openai.APIError, match=r"it broke off. Ask again.") as caught:
            [chunk async for chunk in stream]
    assert caught.value.code == "model_broken"
