"""The router: names and patterns, limits and prices, weights, and what is done where an upstream cannot be asked."""

from __future__ import annotations

import pytest

from comity.core.codec import canonical
from comity.core.errors import UsageError
from comity.journal.call import Permit
from comity.journal.ports import Model, ModelLimits, ModelRequest
from comity.journal.protocol import Delta
from comity.models.router import ModelRouter
from comity.models.settings import ModelEntry, ModelSettings, Price, Upstream
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


def made() -> ModelRouter:
    return ModelRouter(SETTINGS, clock=FakeClock(), entropy=FakeEntropy(), environment={})


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
