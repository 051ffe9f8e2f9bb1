"""Scripted models: a user's code answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from comity.core.codec import canonical
from comity.core.errors import ComityError, LeaseError, UsageError
from comity.journal.budget import NO_COST, Cost
from comity.journal.call import Permit
from comity.journal.ports import Model, ModelRequest
from comity.journal.protocol import Delta
from comity.models.router import ModelRouter
from comity.models.scripts import Scripted, scripted_request, tokens_of
from comity.models.settings import ModelEntry, ModelSettings
from comity.testing import FakeClock, FakeEntropy

PERMIT = Permit(b"t" * 16, 2, 1, 1_005.0, "key")
HELLO = canonical({"role": "user", "content": "hello"})
SAID = canonical({"role": "assistant", "content": "good morning"})
SETTINGS = ModelSettings({"played": ModelEntry(scripted="/agents/a.py:answers", output_tokens_max=50)})


def made(scripted: Scripted | None = None) -> ModelRouter:
    return ModelRouter(SETTINGS, clock=FakeClock(), entropy=FakeEntropy(), environment={}, scripted=scripted)


async def answer(router: Model, name: str, permit: Permit = PERMIT, wire: str = "") -> list[Delta]:
    return [delta async for delta in router.stream(permit, ModelRequest(name, (HELLO,), wire=wire, rest=b"{}"))]


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


async def test_a_program_cannot_ask_a_script():
    async def play(file: str, script: str, request: bytes) -> AsyncIterator[Delta]:
        yield Delta("", SAID)

    with pytest.raises(UsageError, match="only agents of the SDK") as caught:
        await answer(made(play), "played", wire="chat")
    assert caught.value.code == "wrong_wire"


def test_a_script_gets_the_request_as_canonical_json():
    assert scripted_request(ModelRequest("s", (HELLO,), ({"type": "function"},), {"x": 1})) == (
        b'{"messages":[' + HELLO + b'],"model":"s","params":{"x":1},"tools":[{"type":"function"}]}'
    )
