"""Requests of programs' own clients: forwarded in their own format, answered with the upstream's own bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from comity.core.errors import ComityError, UsageError
from comity.journal.budget import NO_COST, Cost
from comity.journal.call import Permit
from comity.journal.ports import ModelRequest
from comity.journal.protocol import Delta
from comity.journal.wire import SSE, Answer, read_answer
from comity.models.router import ModelRouter
from comity.models.settings import ModelEntry, ModelSettings, Price, Upstream
from comity.testing import FakeClock, FakeEntropy
from unit.models.answers import (
    MESSAGES_FREE,
    MESSAGES_MESSAGE,
    MESSAGES_STREAM,
    RESPONSE,
    RESPONSES_FREE,
    RESPONSES_STREAM,
)
from unit.models.fake_upstream import Reply, upstream
from unit.models.recorded import DONE, TEXT, TOOLS, event, piece, usage

KEY = "sk-hush-hush-hush"
PERMIT = Permit(b"t" * 16, 2, 1, 1_005.0, "key")
JSON = {"content-type": "application/json"}
HELLO = b'{"role":"user", "content":"hello"}'
HALF = event(piece({"content": "half"})).encode()
STREAMS = [
    ("chat", TEXT.replace(event(usage(11, 5)), ""), TEXT, Cost(11, 5, 61)),
    ("responses", RESPONSES_STREAM, RESPONSES_STREAM, Cost(50, 20, 250)),
    ("messages", MESSAGES_STREAM, MESSAGES_STREAM, Cost(50, 20, 250)),
]
PLAIN = {
    "chat": {"id": "c", "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}]},
    "responses": RESPONSE,
    "messages": MESSAGES_MESSAGE,
}


@asynccontextmanager
async def router(url: str, **more: Any):
    """Give a router whose models `fast` and `claude` are at `url`."""
    settings = ModelSettings(
        {"fast": ModelEntry("u", "m-1"), "claude": ModelEntry("a")},
        {"u": Upstream(url, api_key_env="THE_KEY", **more), "a": Upstream(url, "anthropic", "THE_KEY", **more)},
        {"m-1": Price(1.0, 10.0), "claude": Price(1.0, 10.0)},
    )
    made = ModelRouter(settings, clock=FakeClock(), entropy=FakeEntropy(), environment={"THE_KEY": KEY})
    async with aclosing(made):
        yield made


def asking(wire: str, headers: Mapping[str, str] | None = None, **rest: Any) -> ModelRequest:
    params = {} if headers is None else {"headers": headers}
    model = "claude" if wire == "messages" else "fast"
    return ModelRequest(model, (HELLO,), params=params, wire=wire, rest=json.dumps(rest).encode())


async def answered(wire: str, *replies: Reply, **rest: Any) -> tuple[list[Delta], Answer]:
    async with upstream(*replies) as fake, router(fake.url) as made:
        deltas = [delta async for delta in made.stream(PERMIT, asking(wire, **rest))]
    assert KEY not in str(deltas)
    return deltas[:-1], read_answer(deltas[-1].message)


async def failure(*replies: Reply, wire: str = "chat", **more: Any) -> tuple[ComityError, bytes]:
    """Return how the call failed, and what had gone out by then."""
    out: list[bytes] = []

    async def listen(made: ModelRouter) -> None:
        async for delta in made.stream(PERMIT, asking(wire, stream=True)):
            out.append(delta.raw)  # noqa: PERF401 - what goes out before the failure counts

    async with upstream(*replies) as fake, router(fake.url, **more) as made:
        with pytest.raises(ComityError) as caught:
            await listen(made)
    return caught.value, b"".join(out)


@pytest.mark.parametrize(("wire", "recorded", "sent", "cost"), STREAMS)
@pytest.mark.parametrize("size", [11, 100_000])
async def test_a_stream_is_recorded_as_it_came_and_what_went_out_before_is_its_beginning(
    wire, recorded, sent, cost, size
):
    data = sent.encode()
    cut = Reply(chunks=[data[at : at + size] for at in range(0, len(data), size)])
    async with upstream(cut) as fake, router(fake.url) as made:
        deltas = [delta async for delta in made.stream(PERMIT, asking(wire, stream=True))]
    answer = read_answer(deltas[-1].message)
    assert answer == Answer(recorded, SSE, 200, "a" if wire == "messages" else "u")
    raw = b"".join(delta.raw for delta in deltas)
    assert raw != b""
    assert recorded.encode().startswith(raw)
    assert deltas[-1].cost == cost
    assert "".join(delta.text for delta in deltas) in ("Grüß Gott 🦜\n", "Grüß Gott")


async def test_nothing_but_words_goes_out_before_the_end():
    for wire, stream, free in (
        ("chat", TOOLS, ""),
        ("responses", RESPONSES_STREAM, RESPONSES_FREE),
        ("messages", MESSAGES_STREAM, MESSAGES_FREE),
    ):
        deltas, _ = await answered(wire, Reply(chunks=[stream.encode()]), stream=True)
        assert b"".join(delta.raw for delta in deltas).decode() == free


async def test_words_go_out_as_they_come():
    async with upstream(Reply(chunks=[HALF], then="hangs")) as fake, router(fake.url) as made:
        stream = made.stream(PERMIT, asking("chat", stream=True))
        assert (await anext(stream)).raw == HALF
        await stream.aclose()


@pytest.mark.parametrize("wire", ["chat", "responses", "messages"])
async def test_a_plain_answer_is_recorded_as_it_came(wire):
    body = json.dumps(PLAIN[wire], indent=1)
    reply = Reply(
        chunks=[body[:20].encode(), body[20:].encode()], headers={"content-type": "application/json; charset=utf-8"}
    )
    deltas, answer = await answered(wire, reply)
    assert deltas == []
    assert (answer.body, answer.type, answer.status) == (body, "application/json", 200)


async def test_a_plain_answer_to_a_request_for_a_stream_is_an_answer():
    _, answer = await answered("chat", Reply(chunks=[json.dumps(PLAIN["chat"]).encode()], headers=JSON), stream=True)
    assert not answer.is_stream


async def test_a_program_that_asks_for_usage_gets_it():
    _, answer = await answered(
        "chat", Reply(chunks=[TEXT.encode()]), stream=True, stream_options={"include_usage": True}
    )
    assert answer.body == TEXT


async def test_the_request_is_sent_as_it_was_written():
    async with upstream(Reply(chunks=[TEXT.encode()])) as fake, router(fake.url) as made:
        request = ModelRequest("fast", (HELLO, b'"x"'), wire="chat", rest=b'{"seed":1.0,"stream":true}')
        assert [delta async for delta in made.stream(PERMIT, request)]
    sent = (
        b'{"model":"m-1","messages":[%s,"x"],"seed":1.0,"stream":true,"stream_options":{"include_usage":true}}' % HELLO
    )
    assert (fake.asked[0].path, fake.asked[0].body) == ("/v1/chat/completions", sent)


@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_a_request_that_would_be_refused_again_is_answered_and_costs_nothing(status):
    body = json.dumps({"error": {"message": f"no such thing, {KEY}"}})
    reply = Reply(status, [body.encode()], JSON)
    async with upstream(reply) as fake, router(fake.url) as made:
        (delta,) = [delta async for delta in made.stream(PERMIT, asking("chat", stream=True))]
    answer = read_answer(delta.message)
    assert (answer.status, answer.body) == (status, body.replace(KEY, "[hidden]"))
    assert (delta.cost, delta.finish, answer.upstream) == (NO_COST, "error", "u")


@pytest.mark.parametrize("body", [b"x" * 70_000, b"\xff\xfe"])
async def test_a_refusal_that_is_no_json_is_told_in_the_format_of_the_request(body):
    _, answer = await answered("messages", Reply(400, [body], {"content-type": "text/html"}))
    assert (answer.status, answer.type) == (400, "application/json")
    assert json.loads(answer.body)["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "model_unauthorized"),
        (402, "model_unauthorized"),
        (403, "model_unauthorized"),
        (307, "model_redirected"),
        (500, "model_broken"),
        (409, "model_busy"),
        (418, "model_refused"),
    ],
)
async def test_other_statuses_are_failures(status, code):
    error, out = await failure(Reply(status, [b"{}"], JSON | {"retry-after": "60"}))
    assert (error.code, out) == (code, b"")


@pytest.mark.parametrize(
    ("chunks", "then"),
    [
        ([HALF], "breaks"),
        ([HALF], "ends"),
        ([HALF, b"data: {\n\n"], "ends"),
        ([HALF, b"data: \xff\n\n"], "ends"),
        ([HALF, b'data: {"choices":[{"delta":{"content":3}}]}\n\n'], "ends"),
        ([HALF, DONE.encode()], "ends"),
        ([HALF, event({"error": {"message": "overloaded"}}).encode()], "hangs"),
    ],
)
async def test_a_stream_that_is_none_or_breaks_off_may_have_been_made(chunks, then):
    error, out = await failure(Reply(chunks=chunks, then=then))
    assert (error.code, error.retry) == ("model_broken", "redo")
    assert HALF.startswith(out)


async def test_a_stream_of_bytes_that_are_no_text_is_broken():
    end = event(piece({}, "stop")).encode()
    error, _ = await failure(Reply(chunks=[b": \xff\n\n" + end + DONE.encode()]))
    assert error.code == "model_broken"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"choices":[]}', b"\xff", b"<html>"])
async def test_a_plain_answer_that_is_none_is_broken(body):
    error, _ = await failure(Reply(chunks=[body], headers=JSON))
    assert error.code == "model_broken"


async def test_an_upstream_that_hangs_is_given_up_after_its_longest_silence():
    error, out = await failure(Reply(chunks=[HALF], then="hangs"), timeout_s=0.05)
    assert (error.code, out) == ("model_timeout", HALF)


async def test_an_answer_has_a_limit(monkeypatch):
    monkeypatch.setattr("comity.models.stream.ANSWER_BYTES_MAX", 100)
    monkeypatch.setattr("comity.models.reading.ANSWER_BYTES_MAX", 100)
    for reply in (Reply(chunks=[HALF * 3]), Reply(chunks=[b" " * 60, b" " * 60], headers=JSON)):
        error, _ = await failure(reply)
        assert "larger than 100 bytes" in error.message


async def test_each_kind_of_upstream_gets_its_key_its_own_way():
    replies = Reply(chunks=[TEXT.encode()]), Reply(chunks=[MESSAGES_STREAM.encode()])
    async with upstream(*replies) as fake, router(fake.url) as made:
        for wire in ("chat", "messages"):
            assert [delta async for delta in made.stream(PERMIT, asking(wire, stream=True))]
    openai, anthropic = (asked.headers for asked in fake.asked)
    assert openai["authorization"] == f"Bearer {KEY}"
    assert not {"x-api-key", "anthropic-version"} & set(openai)
    assert (anthropic["x-api-key"], anthropic["anthropic-version"]) == (KEY, "2023-06-01")
    assert "authorization" not in anthropic
    assert [asked.path for asked in fake.asked] == ["/v1/chat/completions", "/v1/messages"]


async def test_only_headers_of_the_api_itself_are_passed_on():
    given = {
        "anthropic-version": "2024-01-01",
        "anthropic-beta": "a,b",
        "openai-beta": "c",
        "authorization": "Bearer stolen",
        "x-api-key": "stolen",
        "host": "elsewhere",
    }
    replies = Reply(chunks=[MESSAGES_STREAM.encode()]), Reply(chunks=[TEXT.encode()])
    async with upstream(*replies) as fake, router(fake.url) as made:
        for wire in ("messages", "chat"):
            assert [delta async for delta in made.stream(PERMIT, asking(wire, given, stream=True))]
    anthropic, openai = (asked.headers for asked in fake.asked)
    assert (anthropic["anthropic-version"], anthropic["anthropic-beta"]) == ("2024-01-01", "a,b")
    assert (anthropic["x-api-key"], "openai-beta" in anthropic) == (KEY, False)
    assert (openai["openai-beta"], "anthropic-beta" in openai) == ("c", False)
    assert openai["host"] == fake.url.split("/")[2]


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "ü", "a\0b"])
async def test_a_header_that_is_none_is_refused(value):
    async with upstream(Reply()) as fake, router(fake.url) as made:
        with pytest.raises(UsageError) as caught:
            await anext(made.stream(PERMIT, asking("messages", {"anthropic-beta": value})))
    assert (caught.value.code, fake.asked) == ("bad_request", [])
