"""The router: names, limits, prices, and scripts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from comity.core.codec import canonical
from comity.core.errors import ComityError, LeaseError, UsageError
from comity.journal.budget import NO_COST, Cost
from comity.journal.call import Permit
from comity.journal.ports import Model, ModelLimits, ModelRequest
from comity.journal.protocol import Delta
from comity.models.router import ModelRouter, Scripted, tokens_of
from comity.models.settings import ModelEntry, ModelSettings, Price, Upstream, from_environment
from comity.testing import FakeClock, FakeEntropy

PERMIT = Permit(b"t" * 16, 2, 1, 1_005.0, "key")
HELLO = canonical({"role": "user", "content": "hello"})
SAID = canonical({"role": "assistant", "content": "good morning"})
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


def made(scripted: Scripted | None = None) -> ModelRouter:
    return ModelRouter(SETTINGS, clock=FakeClock(), entropy=FakeEntropy(), environment={}, scripted=scripted)


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


@pytest.mark.parametrize(
    ("name", "file", "script"),
    [("played", "/agents/a.py", "answers"), ("scripted:C:/x/a.py:b", "C:/x/a.py", "b")],
)
async def test_a_script_answers_with_its_tokens_counted(name, file, script):
    asked: list[tuple[str, str, bytes]] = []

    async def play(file: str, script: str, request: bytes) -> AsyncIterator[Delta]:
        asked.append((file, script, request))
        yield Delta("good ")
        yield Delta("morning")
        yield Delta("", SAID, None, "stop")

    deltas = await answer(made(play), name)
    assert deltas == [Delta("good "), Delta("morning"), Delta("", SAID, Cost(2, 3, 0), "stop")]
    assert asked[0][:2] == (file, script)
    assert json.loads(asked[0][2]) == {"messages": [json.loads(HELLO)], "model": name, "params": {}, "tools": []}


async def test_a_script_may_say_what_it_cost():
    async def play(file: str, script: str, request: bytes) -> AsyncIterator[Delta]:
        yield Delta("", SAID, NO_COST)

    assert (await answer(made(play), "played"))[-1].cost == NO_COST


async def test_a_script_that_says_nothing_is_broken():
    async def play(file: str, script: str, request: bytes) -> AsyncIterator[Delta]:
        yield Delta("hm")

    with pytest.raises(ComityError, match="`answers` ended without a message") as caught:
        await answer(made(play), "played")
    assert caught.value.code == "model_broken"


async def test_scripts_need_hands_and_a_permit():
    async def play(file: str, script: str, request: bytes) -> AsyncIterator[Delta]:
        yield Delta("", SAID)

    with pytest.raises(UsageError, match="scripts cannot run here"):
        await answer(made(), "played")
    with pytest.raises(LeaseError):
        await answer(made(play), "played", Permit(b"t" * 16, 2, 1, 1_000.0, "key"))


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        ({"content": ""}, 0),
        ({"content": "abcd"}, 1),
        ({"content": "abcde"}, 2),
        ({"content": None, "tool_calls": [{"function": {"name": "pay", "arguments": '{"a":1}'}}]}, 3),
        ({"content": [{"type": "text", "text": "abcdefgh"}, {"type": "image_url"}]}, 2),
        ("odd", 0),
    ],
)
def test_a_token_is_four_characters_rounded_up(message, tokens):
    assert tokens_of(canonical(message)) == tokens


def test_the_environment_describes_a_model():
    assert from_environment({}) is None
    assert from_environment({"OPENAI_MODEL": "m"}) is None
    given = from_environment({"OPENAI_BASE_URL": " http://127.0.0.1/v1 ", "OPENAI_API_KEY": "k"})
    assert given == (
        ModelEntry("environment", "gpt-5-mini"),
        Upstream("http://127.0.0.1/v1", "OPENAI_API_KEY"),
    )
