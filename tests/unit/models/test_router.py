"""The router: names and patterns, limits and prices, weights, and what is done where an upstream cannot be asked."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from comity.core.codec import canonical
from comity.core.errors import ComityError, UsageError
from comity.journal.budget import Cost
from comity.journal.call import Permit
from comity.journal.ports import Model, ModelLimits, ModelRequest
from comity.journal.protocol import Delta
from comity.journal.wire import read_answer
from comity.models.router import ModelRouter
from comity.models.settings import ModelEntry, ModelSettings, Price, Route, Upstream
from comity.testing import FakeClock, FakeEntropy
from unit.models.answers import MESSAGES_STREAM
from unit.models.fake_upstream import FakeUpstream, Reply, upstream
from unit.models.recorded import TEXT, event, piece

PERMIT = Permit(b"t" * 16, 2, 1, 1_005.0, "key")
HELLO = canonical({"role": "user", "content": "hello"})
OK = Reply(chunks=[TEXT.encode()])
SETTINGS = ModelSettings(
    {
        "fast": ModelEntry("u", "m-1", 100, 1_000),
        "named": ModelEntry("u", "m-2"),
        "free": ModelEntry("u", "m-3"),
        "played": ModelEntry(scripted="/agents/a.py:answers", output_tokens_max=50),
        "lost": ModelEntry("nowhere", "m"),
    },
    {"u": Upstream("http://127.0.0.1:1/v1")},
    {"m-1": Price(1.0, 2.0), "named": Price(3.0, 4.0)},
)


def made(settings: ModelSettings = SETTINGS, clock: FakeClock | None = None) -> ModelRouter:
    return ModelRouter(settings, clock=clock or FakeClock(), entropy=FakeEntropy(), environment={})


async def answer(router: Model, name: str, permit: Permit = PERMIT) -> list[Delta]:
    return [delta async for delta in router.stream(permit, ModelRequest(name, (HELLO,)))]


def test_limits_and_prices_are_those_of_the_model_id_or_else_of_its_name():
    router = made()
    assert router.limits("fast") == ModelLimits(100, 1_000, 1.0, 2.0)
    assert router.limits("named") == ModelLimits(8_192, None, 3.0, 4.0)
    assert router.limits("free") == ModelLimits(8_192)
    assert router.limits("played") == ModelLimits(50, None, 0.0, 0.0)
    assert router.limits("scripted:a.py:b") == ModelLimits(8_192, None, 0.0, 0.0)
    assert router.limits("other") is None


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("fats", "did you mean `fast`?"),
        ("gpt", "known: `fast`, `free`, `lost`, `named`, `played`; add `[models.gpt]` to comity.toml"),
        ("scripted:a.py", "a scripted model is named `scripted:FILE:NAME`"),
    ],
)
async def test_an_unknown_model_is_an_error_with_a_suggestion(name, hint):
    with pytest.raises(UsageError) as caught:
        await answer(made(), name)
    assert (caught.value.code, caught.value.hint) == ("unknown_model", hint)


async def test_a_model_without_its_upstream_is_an_error():
    with pytest.raises(UsageError, match="no upstream `nowhere`"):
        await answer(made(), "lost")


def test_patterns_are_listed_apart_and_the_most_specific_speaks():
    settings = ModelSettings(
        {
            "*": ModelEntry("u", output_tokens_max=1),
            "gpt-*": ModelEntry("u", output_tokens_max=2),
            "gpt-5": ModelEntry("u"),
        },
        {"u": Upstream("http://127.0.0.1:1/v1")},
        {"gpt-5-*": Price(1.0, 2.0), "gpt-5": Price(5.0, 6.0), "o3": Price(7.0, 8.0)},
    )
    router = made(settings)
    assert (router.names, router.patterns) == (("gpt-5",), ("*", "gpt-*"))
    assert router.limits("gpt-5") == ModelLimits(8_192, None, 5.0, 6.0)
    assert router.limits("gpt-5-mini") == ModelLimits(2, None, 1.0, 2.0)
    assert router.limits("o3") == ModelLimits(1, None, 7.0, 8.0)
    assert router.limits("other") == ModelLimits(1)


def test_a_price_is_that_of_the_id_then_of_the_name_then_of_a_pattern():
    settings = ModelSettings(
        {"a": ModelEntry("u", "id-1"), "b": ModelEntry("u", "id-2"), "c": ModelEntry("u", "id-3")},
        {"u": Upstream("http://127.0.0.1:1/v1")},
        {"id-1": Price(1, 1), "a": Price(2, 2), "b": Price(3, 3), "id-*": Price(4, 4)},
    )
    assert [made(settings).limits(name).usd_per_mtok_in for name in ("a", "b", "c")] == [1, 3, 4]


def test_of_several_upstreams_the_dearest_is_reserved_for():
    upstreams = {"u": Upstream("http://127.0.0.1:1/v1")}
    two = ModelEntry(upstreams=(Route("u", "x"), Route("u", "y")))
    prices = {"x": Price(1.0, 9.0), "y": Price(2.0, 3.0)}
    assert made(ModelSettings({"m": two}, upstreams, prices)).limits("m") == ModelLimits(8_192, None, 2.0, 9.0)
    del prices["y"]
    assert made(ModelSettings({"m": two}, upstreams, prices)).limits("m") == ModelLimits(8_192)


async def test_a_name_that_a_pattern_covers_is_sent_on_as_it_is():
    async with upstream(OK) as fake:
        settings = ModelSettings({"gpt-*": ModelEntry("u")}, {"u": Upstream(fake.url)})
        async with aclosing(made(settings)) as router:
            await answer(router, "gpt-7")
    assert fake.asked[0].json["model"] == "gpt-7"


@pytest.mark.parametrize("wire", ["", "chat", "responses", "messages"])
async def test_a_model_whose_upstream_speaks_another_format_is_refused_with_the_way_out(wire):
    kind = "openai" if wire == "messages" else "anthropic"
    router = made(ModelSettings({"m": ModelEntry("u")}, {"u": Upstream("http://127.0.0.1:1", kind)}))
    with pytest.raises(UsageError) as caught:
        [delta async for delta in router.stream(PERMIT, ModelRequest("m", (HELLO,), wire=wire, rest=b"{}"))]
    assert caught.value.code == "wrong_wire"
    assert f'kind = "{"anthropic" if wire == "messages" else "openai"}"' in caught.value.hint


async def test_of_several_upstreams_one_that_speaks_the_format_is_asked():
    async with upstream(Reply(chunks=[MESSAGES_STREAM.encode()])) as fake:
        upstreams = {"o": Upstream("http://127.0.0.1:1/v1"), "a": Upstream(fake.url, "anthropic")}
        settings = ModelSettings({"m": ModelEntry(upstreams=(Route("o"), Route("a", "claude")))}, upstreams)
        async with aclosing(made(settings)) as router:
            request = ModelRequest("m", (HELLO,), wire="messages", rest=b'{"stream":true}')
            deltas = [delta async for delta in router.stream(PERMIT, request)]
    assert (read_answer(deltas[-1].message).upstream, fake.asked[0].json["model"]) == ("a", "claude")


class Two:
    """A router over two upstreams: `a`, which is always asked first, and `b`."""

    def __init__(self, a: FakeUpstream, b: FakeUpstream, clock: FakeClock, **more: str) -> None:
        upstreams = {"a": Upstream(a.url, **more), "b": Upstream(b.url)}
        entry = ModelEntry(upstreams=(Route("b", "id-b", 0), Route("a", "id-a")))
        prices = {"id-a": Price(1.0, 1.0), "id-b": Price(10.0, 10.0)}
        self.router = made(ModelSettings({"m": entry}, upstreams, prices), clock)

    async def ask(self, wire: str = "chat") -> list[Delta]:
        """Ask for a stream."""
        request = ModelRequest("m", (HELLO,), wire=wire, rest=b'{"stream":true}' if wire else b"")
        async with aclosing(self.router):
            return [delta async for delta in self.router.stream(PERMIT, request)]


@pytest.mark.parametrize("wire", ["", "chat"])
async def test_where_one_upstream_is_busy_the_next_is_asked_and_the_answer_says_so(wire):
    clock = FakeClock()
    async with upstream(Reply(429, [b"{}"])) as a, upstream(OK) as b:
        asking = asyncio.ensure_future(Two(a, b, clock).ask(wire))
        await clock.wait_for_sleepers()
        await clock.advance(1.0)
        deltas = await asking
    assert (len(a.asked), len(b.asked), b.asked[0].json["model"]) == (2, 1, "id-b")
    assert deltas[-1].cost == Cost(11, 5, 160)
    if wire:
        answer = read_answer(deltas[-1].message)
        assert (answer.upstream, answer.fell_over) == ("b", ("a: model_busy",))


async def test_an_upstream_without_key_or_network_is_passed_over():
    async with upstream(OK) as a, upstream(OK) as b:
        deltas = await Two(a, b, FakeClock(), api_key_env="NO_SUCH_KEY").ask()
        assert read_answer(deltas[-1].message).fell_over == ("a: no_api_key",)
        a.url = "http://127.0.0.1:1/v1"
        deltas = await Two(a, b, FakeClock()).ask()
        assert read_answer(deltas[-1].message).fell_over == ("a: model_unreachable",)
    assert len(a.asked) == 0


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(chunks=[event(piece({"content": "half"})).encode()], then="breaks"), "model_broken"),
        (Reply(500, [b"{}"]), "model_broken"),
        (Reply(401, [b"{}"]), "model_unauthorized"),
    ],
)
async def test_where_an_answer_may_have_begun_nobody_else_is_asked(reply, code):
    async with upstream(reply) as a, upstream(OK) as b:
        with pytest.raises(ComityError) as caught:
            await Two(a, b, FakeClock()).ask()
    assert (caught.value.code, len(a.asked), len(b.asked)) == (code, 1, 0)


async def test_where_all_upstreams_fail_the_last_one_is_named():
    async with upstream(OK) as a, upstream(Reply(503, [b"{}"], {"retry-after": "60"})) as b:
        with pytest.raises(ComityError, match="upstream `b` answered 503") as caught:
            await Two(a, b, FakeClock(), api_key_env="NO_SUCH_KEY").ask()
    assert caught.value.code == "model_busy"


async def test_upstreams_are_asked_by_their_weight():
    async with upstream(OK) as a, upstream(OK) as b:
        upstreams = {"a": Upstream(a.url), "b": Upstream(b.url)}
        entry = ModelEntry(upstreams=(Route("a", weight=3.0), Route("b", weight=1.0)))
        async with aclosing(made(ModelSettings({"m": entry}, upstreams))) as router:
            for _ in range(80):
                await answer(router, "m")
    assert len(a.asked) + len(b.asked) == 80
    assert 10 <= len(b.asked) <= 30
