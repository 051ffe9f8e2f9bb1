"""Responses as a wire format: what requests say, what of an answer may go out, and both shapes of it."""

from __future__ import annotations

import json

import openai
import pytest

from comity.core.errors import ComityError, UsageError
from comity.journal.spec import Outside
from comity.journal.wire import SSE, Answer
from comity.models.formats import FORMATS
from comity.models.stream import Proposal
from unit.models.answers import (
    CALL,
    MESSAGE,
    RESPONSE,
    RESPONSES_FREE,
    RESPONSES_STREAM,
    item_added,
    item_done,
    named,
    response,
    sequence,
)
from unit.models.fake_upstream import Reply, upstream

RESPONSES = FORMATS["responses"]
JSON = {"content-type": "application/json"}


def take(given: object = "hello", **rest: object):
    return RESPONSES.take_apart(json.dumps({"model": "m", "input": given, **rest}).encode())


def test_an_input_that_is_text_is_one_message_and_is_forwarded_as_text():
    body = b'{"model":"m","input":"gr\\u00fc\\u00df \\"Gott\\"","store":false}'
    parts = RESPONSES.take_apart(body)
    assert (parts.messages, parts.roles) == ((b'"gr\\u00fc\\u00df \\"Gott\\""',), ("user",))
    assert RESPONSES.put_together("m", parts.messages, parts.rest) == body


def test_an_empty_text_and_texts_in_a_list_are_refused():
    for given, code in (("", "no_messages"), (["hello"], "bad_request"), ([["x"]], "bad_request")):
        with pytest.raises(UsageError) as caught:
            take(given)
        assert caught.value.code == code


def test_items_are_named_by_their_role_or_type():
    output = {"type": "function_call_output", "call_id": "call_a", "output": "paid"}
    parts = take(
        [{"role": "user", "content": "pay"}, CALL, output, {"id": "msg_9"}, {"type": "item_reference", "id": "x"}]
    )
    assert parts.roles == ("user", "function_call", "function_call_output", "item_reference", "item_reference")
    assert parts.results == (("pay", "call_a"),)


def test_results_of_calls_that_the_provider_remembers_have_no_name():
    local = {"type": "local_shell_call_output", "call_id": "c", "output": ""}
    parts = take([{"type": "function_call_output", "call_id": "call_z", "output": ""}, local], previous_response_id="r")
    assert parts.results == (("", "call_z"), ("local_shell", "c"))
    assert parts.previous == "r"


def test_functions_and_hosted_tools_are_told_apart():
    tools = [
        {"type": "function", "name": "pay", "parameters": {}},
        {"type": "custom", "name": "draw"},
        {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "look"}]},
        {"type": "local_shell"},
        {"type": "shell"},
        {"type": "shell", "environment": {"type": "container_auto"}},
        {"type": "web_search"},
        {"type": "mcp", "server_label": "x"},
        {"type": "computer_use_preview"},
        {"type": "tool_search", "execution": "client"},
        {"type": "something_new"},
    ]
    parts = take(tools=tools)
    assert parts.tools == ("pay", "draw", "look", "local_shell", "shell", "tool_search")
    assert parts.hosted == ("shell", "web_search", "mcp", "computer_use_preview", "something_new")


def test_what_the_provider_would_do_behind_our_back_is_a_problem():
    assert [problem.code for problem in take(background=True, conversation="c").problems] == [
        "background_mode",
        "server_conversation",
    ]
    assert take(background=False, conversation=None, max_output_tokens=9).problems == ()
    assert take(max_output_tokens=9).output_tokens_max == 9


@pytest.mark.parametrize("rest", [{"background": 1}, {"previous_response_id": 3}, {"max_output_tokens": "9"}])
def test_fields_of_a_wrong_type_are_refused(rest):
    with pytest.raises(UsageError) as caught:
        take(**rest)
    assert caught.value.code == "bad_request"


def test_instructions_are_a_system_text():
    terms = Outside(volatile_text=(r"\d+",))
    one, other = (RESPONSES.masked(take(instructions=f"run {number}"), terms) for number in (1, 22))
    assert one == other
    assert one != RESPONSES.masked(take(instructions="walk 1"), terms)


@pytest.mark.parametrize("size", [1, 100, 100_000])
def test_words_and_reasoning_may_go_out_and_calls_may_not(size):
    reader, out, said = RESPONSES.reader(b"{}"), b"", ""
    data = RESPONSES_STREAM.encode()
    for at in range(0, len(data), size):
        out += reader.feed(data[at : at + size])
        said += reader.said
    reader.end()
    assert (out.decode(), said) == (RESPONSES_FREE, "Grüß Gott")
    assert (reader.body.decode(), reader.is_whole, reader.is_done) == (RESPONSES_STREAM, True, True)


@pytest.mark.parametrize(
    "kind", ["function_call", "custom_tool_call", "mcp_approval_request", "local_shell_call", "new"]
)
def test_whatever_a_program_acts_on_is_held(kind):
    for event in (item_added, item_done):
        reader = RESPONSES.reader(b"{}")
        assert reader.feed(named(event(0, {"type": kind})).encode()) == b""
        assert reader.feed(named({"type": "response.output_text.delta", "delta": "x"}).encode()) == b""


@pytest.mark.parametrize("kind", ["message", "reasoning", "web_search_call", "mcp_call"])
def test_what_the_provider_does_itself_may_be_seen(kind):
    event = named(item_added(0, {"type": kind})).encode()
    assert RESPONSES.reader(b"{}").feed(event) == event


@pytest.mark.parametrize("end", ["response.completed", "response.incomplete", "response.failed"])
def test_the_last_event_is_held(end):
    reader = RESPONSES.reader(b"{}")
    assert reader.feed(named({"type": end, "response": RESPONSE}).encode()) == b""
    assert reader.is_whole


def test_what_an_answer_says_is_read_from_both_shapes():
    streamed, plain = Answer(RESPONSES_STREAM, SSE), Answer(json.dumps(RESPONSE))
    for answer in (streamed, plain, RESPONSES.to_plain(streamed), RESPONSES.to_stream(plain, b"{}")):
        thought = RESPONSES.read(answer)
        assert thought.proposals == (Proposal("pay", '{"a":"ü","b":2}'.encode(), "call_a"),)
        assert (thought.text, thought.reasoning) == ("Grüß Gott", "Look first.")
        assert (thought.response_id, thought.finish, thought.tokens) == ("resp_1", "tool_calls", (50, 20))
    assert json.loads(RESPONSES.to_plain(streamed).body) == RESPONSE
    assert json.loads(RESPONSES.to_plain(RESPONSES.to_stream(plain, b"{}")).body) == RESPONSE


@pytest.mark.parametrize(
    ("status", "more", "finish"),
    [
        ("completed", {}, "stop"),
        ("incomplete", {"incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ("incomplete", {"incomplete_details": {"reason": "content_filter"}}, "error"),
        ("failed", {"error": {"code": "server_error", "message": "x"}}, "error"),
    ],
)
def test_ends_have_one_vocabulary(status, more, finish):
    plain = Answer(json.dumps(response(status, [MESSAGE], **more)))
    assert RESPONSES.read(plain).finish == finish
    assert RESPONSES.read(RESPONSES.to_stream(plain, b"{}")).finish == finish


def test_items_are_kept_where_the_last_event_leaves_them_out():
    stream = sequence(
        [
            item_done(1, CALL),
            item_done(0, MESSAGE),
            {"type": "response.completed", "response": response("completed", [])},
        ]
    )
    assert json.loads(RESPONSES.to_plain(Answer(stream, SSE)).body)["output"] == [MESSAGE, CALL]
    assert RESPONSES.read(Answer(stream, SSE)).proposals[0].id == "call_a"


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "code": "server_error", "message": "overloaded", "param": None},
        {"type": "error", "error": {"message": "overloaded"}},
    ],
)
def test_an_error_in_a_stream_breaks_it(event):
    reader = RESPONSES.reader(b"{}")
    with pytest.raises(ComityError, match="overloaded") as caught:
        reader.feed(named(event).encode())
    assert caught.value.code == "model_broken"


def test_a_stream_without_its_last_event_is_not_whole():
    reader = RESPONSES.reader(b"{}")
    reader.feed(RESPONSES_FREE.encode() + b"data: [DONE]\n\n")
    assert (reader.is_done, reader.is_whole) == (True, False)


async def test_openais_client_takes_a_stream_that_was_plain():
    refusal = MESSAGE | {"id": "msg_2", "content": [{"type": "refusal", "refusal": "no"}]}
    custom = {"id": "ct_1", "type": "custom_tool_call", "call_id": "c", "name": "draw", "input": "a line"}
    search = {
        "id": "ws_1",
        "type": "web_search_call",
        "status": "completed",
        "action": {"type": "search", "query": "q"},
    }
    whole = RESPONSE | {"output": [*RESPONSE["output"], search, refusal, custom]}
    body = RESPONSES.to_stream(Answer(json.dumps(whole)), b"{}").body.encode()
    reply = Reply(chunks=[body])
    async with (
        upstream(reply) as fake,
        openai.AsyncOpenAI(base_url=fake.url, api_key="k") as client,
        client.responses.stream(model="m", input="hello") as events,
    ):
        said = [event.delta async for event in events if event.type == "response.output_text.delta"]
        final = await events.get_final_response()
    assert (said, final.output_text) == (["Grüß Gott"], "Grüß Gott")
    assert [item.type for item in final.output] == [item["type"] for item in whole["output"]]
    assert (final.output[2].arguments, final.usage.total_tokens) == (CALL["arguments"], 70)


async def test_openais_client_takes_a_plain_answer_that_was_a_stream():
    body = RESPONSES.to_plain(Answer(RESPONSES_STREAM, SSE)).body.encode()
    reply = Reply(chunks=[body], headers=JSON)
    async with upstream(reply) as fake, openai.AsyncOpenAI(base_url=fake.url, api_key="k") as client:
        final = await client.responses.create(model="m", input="hello")
    assert (final.output_text, final.output[2].call_id) == ("Grüß Gott", "call_a")


async def test_openais_client_sees_errors():
    event = RESPONSES.error_event(502, "model_broken", "it broke off", "ask again")
    refusal = Reply(400, [RESPONSES.error_body(400, "background_mode", "no")], JSON)
    replies = (Reply(chunks=[event]), refusal)
    async with upstream(*replies) as fake, openai.AsyncOpenAI(base_url=fake.url, api_key="k") as client:
        stream = await client.responses.create(model="m", input="hello", stream=True)
        with pytest.raises(openai.APIError, match=r"it broke off\. Ask again\."):
            [chunk async for chunk in stream]
        with pytest.raises(openai.BadRequestError) as caught:
            await client.responses.create(model="m", input="hello")
    assert caught.value.code == "background_mode"
