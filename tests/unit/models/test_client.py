"""The client of an upstream, on loopback: what happened, what did not, and what nobody knows."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping
from contextlib import aclosing, asynccontextmanager

import pytest

from comity.core.codec import canonical
from comity.core.errors import ComityError, LeaseError, UsageError
from comity.journal.budget import Cost
from comity.journal.call import Permit
from comity.journal.ports import ModelRequest
from comity.journal.protocol import Delta
from comity.models.router import ModelRouter
from comity.models.settings import ModelEntry, ModelSettings, Price, Upstream
from comity.testing import FakeClock, FakeEntropy
from unit.models.fake_upstream import Reply, upstream
from unit.models.recorded import TEXT, TEXT_SAID, event, piece

KEY = "sk-hush-hush-hush"
REQUEST = ModelRequest("fast", (canonical({"role": "user", "content": "hello"}),))
PERMIT = Permit(b"t" * 16, 2, 1, 1_005.0, "key")
OK = Reply(chunks=[TEXT.encode()])
JSON = {"content-type": "application/json"}


@asynccontextmanager
async def router(
    url: str, environment: Mapping[str, str] | None = None, clock: FakeClock | None = None, **more: object
):
    """Give a router whose model `fast` is at `url`."""
    settings = ModelSettings(
        {"fast": ModelEntry("u", "m-1", 100)},
        {"u": Upstream(url, api_key_env="THE_KEY", **more)},
        {"m-1": Price(1.0, 10.0)},
    )
    made = ModelRouter(
        settings,
        clock=clock or FakeClock(),
        entropy=FakeEntropy(),
        environment={"THE_KEY": KEY} if environment is None else environment,
    )
    async with aclosing(made):
        yield made


async def answer(made: ModelRouter, permit: Permit = PERMIT) -> list[Delta]:
    return [delta async for delta in made.stream(permit, REQUEST)]


async def refusal(*replies: Reply, **more: object) -> ComityError:
    async with upstream(*replies) as fake, router(fake.url, **more) as made:
        with pytest.raises(ComityError) as caught:
            await answer(made)
    assert KEY not in f"{caught.value} {caught.value.hint} {caught.value!r}"
    return caught.value


async def test_an_answer_is_streamed_and_ends_with_message_and_cost():
    data = TEXT.encode()
    cut = Reply(chunks=[data[at : at + 7] for at in range(0, len(data), 7)])
    async with upstream(cut) as fake, router(fake.url) as made:
        deltas = await answer(made)
    assert [delta.text for delta in deltas[:-1]] == ["Grüß ", "Gott", " 🦜\n"]
    assert json.loads(deltas[-1].message) == {"role": "assistant", "content": TEXT_SAID}
    assert deltas[-1].cost == Cost(11, 5, 61)
    asked = fake.asked[0]
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.json["stream_options"] == {"include_usage": True}
    assert asked.json["model"] == "m-1"


async def test_text_is_given_on_as_it_comes():
    first = event(piece({"content": "at once"})).encode()
    async with upstream(Reply(chunks=[first], then="hangs")) as fake, router(fake.url) as made:
        stream = made.stream(PERMIT, REQUEST)
        assert (await anext(stream)).text == "at once"
        await stream.aclose()


async def test_connections_are_used_again():
    async with upstream(OK) as fake, router(fake.url) as made:
        await answer(made)
        await answer(made)
    assert (len(fake.asked), fake.connections) == (2, 1)


async def test_an_upstream_that_does_not_hang_up_after_the_end_is_not_waited_for():
    async with upstream(Reply(chunks=[TEXT.encode()], then="hangs")) as fake, router(fake.url) as made:
        assert (await answer(made))[-1].finish == "stop"


async def test_an_answer_that_ended_is_whole_though_the_connection_breaks():
    stream = event(piece({"content": "hi"})) + event(piece({}, "stop"))
    async with upstream(Reply(chunks=[stream.encode()], then="breaks")) as fake, router(fake.url) as made:
        assert (await answer(made))[-1].cost is None


async def test_an_answer_that_is_not_streamed_is_understood():
    whole = {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}
    async with upstream(Reply(chunks=[json.dumps(whole).encode()], headers=JSON)) as fake, router(fake.url) as made:
        assert [delta.text for delta in await answer(made)] == ["hi", ""]


async def test_an_upstream_that_needs_no_key_gets_none():
    async with upstream(OK) as fake, router(fake.url) as made:
        settings = ModelSettings({"fast": ModelEntry("u", "m")}, {"u": Upstream(fake.url)})
        plain = ModelRouter(settings, clock=FakeClock(), entropy=FakeEntropy(), environment={})
        await answer(plain)
        await plain.aclose()
        assert made.names == ("fast",)
    assert "authorization" not in fake.asked[0].headers


@pytest.mark.parametrize(
    ("status", "code", "retry"),
    [
        (400, "model_refused", "rethink"),
        (401, "model_unauthorized", "never"),
        (403, "model_unauthorized", "never"),
        (404, "model_not_found", "never"),
        (413, "model_refused", "rethink"),
        (422, "model_refused", "rethink"),
        (418, "model_refused", "rethink"),
        (500, "model_broken", "redo"),
        (502, "model_broken", "redo"),
        (504, "model_broken", "redo"),
    ],
)
async def test_a_status_says_what_happened_and_what_may_be_tried(status, code, retry):
    body = json.dumps({"error": {"message": f"no, {KEY} is\n bad", "code": "x"}}).encode()
    error = await refusal(Reply(status, [body], JSON))
    assert (error.code, error.retry) == (code, retry)
    assert f"upstream `u` answered {status}: no, [hidden] is bad" in error.message


async def test_a_redirect_is_not_followed():
    async with upstream(OK) as other:
        error = await refusal(Reply(307, headers={"location": other.url}))
        assert other.asked == []
    assert (error.code, error.retry) == ("model_redirected", "never")


async def test_an_error_page_is_not_quoted():
    assert (await refusal(Reply(403, [b"<html>" + b"x" * 100_000], {}))).message == "upstream `u` answered 403"


@pytest.mark.parametrize("chunks", [[], [event(piece({"content": "half"})).encode()], [b": waiting\n\n"]])
@pytest.mark.parametrize("then", ["breaks", "ends"])
async def test_an_answer_that_breaks_off_may_have_been_made(chunks, then):
    assert (await refusal(Reply(chunks=chunks, then=then))).code == "model_broken"


async def test_an_error_within_the_stream_breaks_the_answer_off():
    chunks = [event(piece({"content": "half"})).encode(), event({"error": {"message": "overloaded"}}).encode()]
    error = await refusal(Reply(chunks=chunks))
    assert (error.code, "`overloaded`" in error.message) == ("model_broken", True)


async def test_an_upstream_that_falls_silent_may_have_made_an_answer():
    error = await refusal(Reply(chunks=[b": waiting\n\n"], then="hangs"), timeout_s=0.05)
    assert (error.code, error.retry) == ("model_timeout", "redo")


async def test_where_no_connection_is_made_nothing_happened():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    async with router(f"http://127.0.0.1:{port}/v1") as made:
        with pytest.raises(ComityError) as caught:
            await answer(made)
    assert (caught.value.code, caught.value.retry) == ("model_unreachable", "redo")


@pytest.mark.parametrize("key", [None, "", "  ", "two words", "schlüssel", "a\nb"])
async def test_a_missing_or_malformed_key_is_named_by_its_variable_and_not_shown(key):
    async with upstream(OK) as fake, router(fake.url, {} if key is None else {"THE_KEY": key}) as made:
        with pytest.raises(UsageError, match="`THE_KEY`") as caught:
            await answer(made)
    assert fake.asked == []
    assert not (key or "").strip() or key not in str(caught.value)


async def test_a_key_may_end_with_a_line_break():
    async with upstream(OK) as fake, router(fake.url, {"THE_KEY": KEY + "\n"}) as made:
        await answer(made)
    assert fake.asked[0].headers["authorization"] == f"Bearer {KEY}"


async def test_the_environments_proxy_is_not_used(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with upstream(OK) as fake, router(fake.url) as made:
        assert await answer(made)


@pytest.mark.parametrize(
    ("status", "headers", "pause_s"),
    [
        (429, {"retry-after": "2"}, 2.0),
        (503, {"retry-after-ms": "1500"}, 1.5),
        (529, {"retry-after": "Tue, 14 Nov 2023 22:13:23 GMT"}, 3.0),
    ],
)
async def test_a_busy_upstream_is_asked_again_when_it_says_so(status, headers, pause_s):
    clock = FakeClock()
    async with upstream(Reply(status, [], headers), OK) as fake, router(fake.url, clock=clock) as made:
        asking = asyncio.ensure_future(answer(made))
        await clock.wait_for_sleepers()
        assert clock.statistics().next_s == pytest.approx(1_000.0 + pause_s)
        await clock.advance(pause_s)
        assert (await asking)[-1].finish == "stop"
    assert len(fake.asked) == 2
    assert fake.asked[0].body == fake.asked[1].body


async def test_a_busy_upstream_that_does_not_say_when_is_asked_less_and_less_often():
    clock, pauses = FakeClock(), []
    permit = Permit(b"t" * 16, 2, 1, 2_000.0, "key")
    async with upstream(Reply(429, [b"{}"], JSON)) as fake, router(fake.url, clock=clock) as made:
        asking = asyncio.ensure_future(answer(made, permit))
        for _ in range(3):
            await clock.wait_for_sleepers()
            pauses.append((clock.statistics().next_s or 0.0) - clock.monotonic_s())
            await clock.advance(pauses[-1])
        with pytest.raises(ComityError) as caught:
            await asking
    assert (caught.value.code, caught.value.retry, len(fake.asked)) == ("model_busy", "redo", 4)
    assert all(base <= pause <= base * 1.25 for base, pause in zip((0.5, 1.0, 2.0), pauses, strict=True))


@pytest.mark.parametrize("headers", [{"retry-after": "6"}, {"retry-after": "1e9"}, {"retry-after": "9" * 30}])
async def test_nothing_is_asked_again_after_the_permit(headers):
    permit = Permit(b"t" * 16, 2, 1, 1_000.4, "key")
    async with upstream(Reply(429, [], headers), OK) as fake, router(fake.url) as made:
        with pytest.raises(ComityError) as caught:
            await answer(made, permit)
    assert (caught.value.code, len(fake.asked)) == ("model_busy", 1)


async def test_an_account_without_credit_is_not_asked_again():
    body = json.dumps({"error": {"message": "pay", "code": "insufficient_quota"}}).encode()
    assert (await refusal(Reply(429, [body], JSON), OK)).code == "model_unauthorized"


async def test_without_a_permit_nothing_is_sent():
    async with upstream(OK) as fake, router(fake.url) as made:
        with pytest.raises(LeaseError):
            await answer(made, Permit(b"t" * 16, 2, 1, 1_000.0, "key"))
    assert fake.asked == []


async def test_a_cancelled_call_closes_its_connection():
    first = event(piece({"content": "x"})).encode()
    async with upstream(Reply(chunks=[first], then="hangs")) as fake, router(fake.url) as made:
        asking = asyncio.ensure_future(answer(made))
        await fake.was_asked.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://127.0.0.1:port", "http://" + "x" * 64 + ".example"])
async def test_a_url_that_leads_nowhere_is_an_error(url):
    async with router(url) as made:
        with pytest.raises(ComityError, match="`u` cannot be asked") as caught:
            await answer(made)
    assert caught.value.code == "model_refused"


async def test_an_answer_that_is_packed_is_not_understood():
    error = await refusal(Reply(chunks=[b"..."], headers={"content-encoding": "gzip"}))
    assert (error.code, "`gzip`" in error.message) == ("model_broken", True)
