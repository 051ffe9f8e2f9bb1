"""Messages as a wire format: what requests say, what of an answer may go out, and both shapes of it."""

from __future__ import annotations

import json

import anthropic
import pytest

from comity.core.errors import ComityError, UsageError
from comity.journal.spec import Outside
from comity.journal.wire import SSE, Answer
from comity.models.formats import FORMATS
from comity.models.stream import Proposal
from unit.models.answers import MESSAGES_FREE, MESSAGES_MESSAGE, MESSAGES_STREAM, block, named
from unit.models.fake_upstream import Reply, upstream

MESSAGES = FORMATS["messages"]
USER = {"role": "user", "content": "hello"}
JSON = {"content-type": "application/json"}
ASK = {"model": "m", "max_tokens": 100, "messages": [USER]}


def take(*messages: dict[str, object], **rest: object):
    return MESSAGES.take_apart(json.dumps({"model": "m", "messages": messages or [USER], **rest}).encode())


def client(url: str) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=url.removesuffix("/v1"), api_key="k", max_retries=0)


def test_functions_and_hosted_tools_are_told_apart():
    tools = [
        {"name": "pay", "input_schema": {}},
        {"type": "custom", "name": "look", "input_schema": {}},
        {"type": "bash_20250124", "name": "bash"},
        {"type": "web_search_20250305", "name": "web_search"},
        {"type": "computer_20250124", "name": "computer"},
        {"type": "mcp_toolset", "mcp_server_name": "x"},
    ]
    parts = take(tools=tools, mcp_servers=[{"type": "url", "url": "https://x", "name": "x"}], max_tokens=77)
    assert parts.tools == ("pay", "look", "bash")
    assert parts.hosted == ("web_search_20250305", "computer_20250124", "mcp_toolset", "mcp_servers")
    assert parts.output_tokens_max == 77
    assert take(mcp_servers=[]).hosted == ()


def test_results_name_their_function():
    used = {"type": "tool_use", "id": "a", "name": "pay", "input": {}}
    results = [{"type": "tool_result", "tool_use_id": call, "content": "paid"} for call in ("a", "lost")]
    parts = take({"role": "assistant", "content": [used]}, {"role": "user", "content": [*results, "odd"]})
    assert parts.results == (("pay", "a"), ("", "lost"))
    assert parts.roles == ("assistant", "user")


@pytest.mark.parametrize("rest", [{"max_tokens": 0}, {"max_tokens": True}, {"stream": "true"}])
def test_fields_of_a_wrong_type_are_refused(rest):
    with pytest.raises(UsageError) as caught:
        take(**rest)
    assert caught.value.code == "bad_request"


def test_the_system_field_is_a_system_text():
    terms = Outside(volatile_text=(r"\d+",))
    for shape in (lambda text: text, lambda text: [{"type": "text", "text": text}]):
        one, other = (MESSAGES.masked(take(system=shape(f"run {number}")), terms) for number in (1, 22))
        assert one == other
        assert one != MESSAGES.masked(take(system=shape("walk 1")), terms)


@pytest.mark.parametrize("size", [1, 100, 100_000])
def test_words_and_reasoning_may_go_out_and_calls_may_not(size):
    reader, out, said = MESSAGES.reader(b"{}"), b"", ""
    data = MESSAGES_STREAM.encode()
    for at in range(0, len(data), size):
        out += reader.feed(data[at : at + size])
        said += reader.said
    reader.end()
    assert (out.decode(), said) == (MESSAGES_FREE, "Grüß Gott")
    assert (reader.body.decode(), reader.is_whole, reader.is_done) == (MESSAGES_STREAM, True, True)


@pytest.mark.parametrize(
    ("kind", "is_free"), [("text", 1), ("server_tool_use", 1), ("web_search_tool_result", 1), ("x", 0)]
)
def test_what_a_program_may_act_on_is_held(kind, is_free):
    event = named({"type": "content_block_start", "index": 0, "content_block": {"type": kind}}).encode()
    assert MESSAGES.reader(b"{}").feed(event) == event * is_free


def test_the_reason_of_the_end_is_held_and_the_end_makes_it_whole():
    reader = MESSAGES.reader(b"{}")
    delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}}
    assert reader.feed(named(delta).encode()) == b""
    assert not reader.is_whole
    reader.feed(named({"type": "message_stop"}).encode())
    assert reader.is_whole


def test_what_an_answer_says_is_read_from_both_shapes():
    streamed, plain = Answer(MESSAGES_STREAM, SSE), Answer(json.dumps(MESSAGES_MESSAGE))
    for answer in (streamed, plain, MESSAGES.to_plain(streamed), MESSAGES.to_stream(plain, b"{}")):
        thought = MESSAGES.read(answer)
        assert thought.proposals == (Proposal("pay", '{"a":"ü","b":2}'.encode(), "toolu_1"),)
        assert (thought.text, thought.reasoning) == ("Grüß Gott", "Look first.")
        assert (thought.response_id, thought.finish, thought.tokens) == ("msg_1", "tool_calls", (50, 20))
    assert json.loads(MESSAGES.to_plain(streamed).body) == MESSAGES_MESSAGE
    assert json.loads(MESSAGES.to_plain(MESSAGES.to_stream(plain, b"{}")).body) == MESSAGES_MESSAGE


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"), ("refusal", "error"), (None, "")],
)
def test_ends_have_one_vocabulary(reason, finish):
    assert MESSAGES.read(Answer(json.dumps(MESSAGES_MESSAGE | {"stop_reason": reason}))).finish == finish


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": "x", "output_tokens": 1}, {"input_tokens": 3}])
def test_usage_that_makes_no_sense_is_no_usage(usage):
    assert MESSAGES.read(Answer(json.dumps(MESSAGES_MESSAGE | {"usage": usage}))).tokens is None


def test_citations_and_blocks_of_other_kinds_keep_their_shape():
    cited = {"type": "text", "text": "so", "citations": [{"type": "char_location", "cited_text": "so"}]}
    searched = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}
    found = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
    whole = MESSAGES_MESSAGE | {"content": [searched, found, cited], "container": {"id": "c"}}
    plain = Answer(json.dumps(whole))
    assert json.loads(MESSAGES.to_plain(MESSAGES.to_stream(plain, b"{}")).body) == whole


def test_arguments_that_are_no_json_are_kept_as_they_are():
    events = block(
        0,
        {"type": "tool_use", "id": "t", "name": "pay", "input": {}},
        {"type": "input_json_delta", "partial_json": "{half"},
    )
    stream = "".join(
        named(value) for value in [{"type": "message_start", "message": {}}, *events, {"type": "message_stop"}]
    )
    assert MESSAGES.read(Answer(stream, SSE)).proposals == (Proposal("pay", b"{half", "t"),)


@pytest.mark.parametrize(
    ("event", "why"),
    [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "Overloaded"),
        ({"type": "content_block_delta", "index": 4, "delta": {"type": "text_delta", "text": "x"}}, "block 4"),
        ({"type": 3}, "no event"),
    ],
)
def test_what_is_no_piece_of_an_answer_breaks_it(event, why):
    reader = MESSAGES.reader(b"{}")
    with pytest.raises(ComityError, match=why) as caught:
        reader.feed(named(event).encode())
    assert caught.value.code == "model_broken"


async def test_anthropics_client_takes_a_stream_that_was_plain():
    body = MESSAGES.to_stream(Answer(json.dumps(MESSAGES_MESSAGE)), b"{}").body.encode()
    reply = Reply(chunks=[body])
    async with upstream(reply) as fake, client(fake.url) as sdk, sdk.messages.stream(**ASK) as events:
        said = [text async for text in events.text_stream]
        final = await events.get_final_message()
    assert said == ["Grüß Gott"]
    assert [item.type for item in final.content] == ["thinking", "text", "tool_use"]
    assert (final.content[0].signature, final.content[2].input) == ("c2ln", {"a": "ü", "b": 2})
    assert (final.stop_reason, final.usage.output_tokens) == ("tool_use", 20)


async def test_anthropics_client_takes_a_plain_answer_that_was_a_stream():
    body = MESSAGES.to_plain(Answer(MESSAGES_STREAM, SSE)).body.encode()
    async with upstream(Reply(chunks=[body], headers=JSON)) as fake, client(fake.url) as sdk:
        final = await sdk.messages.create(**ASK)
    assert final.content[2].input == {"a": "ü", "b": 2}


async def test_anthropics_client_sees_errors():
    event = MESSAGES.error_event(502, "model_broken", "it broke off", "ask again")
    refusal = Reply(
        404, [MESSAGES.error_body(404, "unknown_model", "there is no model `m`", "did you mean `n`?")], JSON
    )
    async with upstream(refusal, Reply(chunks=[event])) as fake, client(fake.url) as sdk:
        with pytest.raises(anthropic.NotFoundError, match="Did you mean `n`") as caught:
            await sdk.messages.create(**ASK)
        assert caught.value.body["error"]["type"] == "not_found_error"
        with pytest.raises(anthropic.APIStatusError, match=r"it broke off\. Ask again\."):
            async with sdk.messages.stream(**ASK) as events:
                await events.get_final_message()
