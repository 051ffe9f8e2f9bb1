"""The envelope behind a program's requests: it changes with the world, and no recall notices."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from comity.core.codec import canonical, decode
from comity.journal.call import Call
from comity.journal.envelope import ENVELOPE, MARK
from comity.journal.ports import ModelRequest, View
from comity.journal.wire import Answer
from comity.models.envelope import with_envelope
from gate_stage import GateStage, asking, chat


class Changing:
    """A shaper that tells something else each time."""

    def __init__(self) -> None:
        self.told = 0

    async def shape(self, call: Call, view: View) -> Call:
        self.told += 1
        args = {**decode(call.args), ENVELOPE: f"{MARK} {self.told}"}
        return msgspec.structs.replace(call, args=canonical(args))


async def hello(request: ModelRequest) -> Answer:
    return chat(f"answer to {len(request.messages)}")


async def test_a_programs_requests_carry_it_and_are_recalled_without_it() -> None:
    stage = GateStage()
    stage.model.play = hello
    task = await stage.create()
    async with stage.node() as gate:
        gate.kernel.shaper = Changing()
        first = await gate.adopt(task)
        said = await gate.post(first, asking("one")).whole()
        await gate.post(first, asking("one", "two")).whole()
        second = await gate.adopt(task, renew=True)
        assert await gate.post(second, asking("one")).whole() == said
        await gate.post(second, asking("one", "two")).whole()
        await gate.post(second, asking("one", "two", "three")).whole()
    assert [(len(item.messages), item.envelope) for item in stage.model.asked] == [
        (1, f"{MARK} 1"),
        (2, f"{MARK} 2"),
        (3, f"{MARK} 3"),
    ]


@pytest.mark.parametrize("count", [1, 3])
async def test_what_the_program_wrote_goes_before_it_byte_for_byte(count: int) -> None:
    stage = GateStage()
    stage.model.play = hello
    task = await stage.create()
    async with stage.node() as gate:
        gate.kernel.shaper = Changing()
        await gate.post(await gate.adopt(task), asking(*(["hi"] * count))).whole()
    (request,) = stage.model.asked
    sent = with_envelope(request)
    last: Any = decode(sent[-1])
    assert sent[:-1] == request.messages == (b'{"role": "user", "content": "hi"}',) * count
    assert (last["role"], last["content"]) == ("system", f"{MARK} 1")
