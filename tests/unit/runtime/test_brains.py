"""The `Brains` port over real processes, and the same steps inside this one."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from comity.core.codec import decode
from comity.core.errors import UsageError
from comity.journal.call import Delivered, Status
from comity.journal.program import load
from comity.journal.protocol import Deliver, Start, Stepped
from comity.runtime.inline_brains import InlineBrains
from comity.testing.waiting import wait_until
from staging import Watched, is_gone, new_task, row, staged, write

AGENTS = """
COUNT = []

@agent
async def double(ctx: Context) -> int:
    await ctx.sleep(5)
    return 2 * ctx.goal

@agent
async def count(ctx: Context) -> list:
    COUNT.append(1)
    return [len(COUNT), random.random()]

@agent
async def chat(ctx: Context) -> None:
    print("thinking \\x1b[31m aloud")
    print("to the side", file=sys.stderr)
    await ctx.sleep(5)

@agent
async def shout(ctx: Context) -> str:
    for _ in range(20_000):
        print("spam " * 20)
    return "done"

@agent
async def hush(ctx: Context) -> None:
    os.closerange(3, 100)
    time.sleep(1000)

@agent
async def lie(ctx: Context) -> None:
    for fd in range(3, 20):
        try:
            os.write(fd, b"\\x00\\x00\\x00\\x03abc")
        except OSError:
            pass
    await ctx.sleep(5)
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    return write(tmp_path / "thinker.py", AGENTS)


def slept(step: Stepped) -> Deliver:
    call = step.calls[0]
    return Deliver(1, call.branch, call.kind, call.name, call.occurrence, Delivered(Status.DONE))


async def first_step(watched: Watched) -> Stepped:
    return (await wait_until(lambda: watched.steps))[0]


async def test_a_brain_asks_and_ends_in_a_process_of_its_own(file: str) -> None:
    async with staged(file) as stage:
        watched = await stage.start_brain("double", goal=b"21")
        step = await first_step(watched)
        assert [(call.kind, decode(call.args)) for call in step.calls] == [("timer", {"seconds": 5})]
        watched.brain.send(slept(step))
        await wait_until(lambda: len(watched.steps) == 2)
        finished = watched.steps[1].finished
        assert finished is not None
        assert finished.result == b"42"
        assert watched.brain.pid != os.getpid()
        await watched.brain.kill()
        assert watched.ends == ["SIGKILL"]
        assert is_gone(watched.brain.pid)


async def test_a_killed_brain_is_gone_once_and_deaf_afterwards(file: str) -> None:
    async with staged(file) as stage:
        task = new_task()
        watched = await stage.start_brain("double", task)
        step = await first_step(watched)
        assert stage.brains.pids == {task: watched.brain.pid}
        os.kill(watched.brain.pid, signal.SIGKILL)
        await wait_until(lambda: watched.ends)
        watched.brain.send(slept(step))
        await watched.brain.kill()
        assert watched.ends == ["SIGKILL"]
        assert stage.brains.pids == {}


async def test_two_brains_share_neither_state_nor_chance(file: str) -> None:
    async with staged(file) as stage:
        one, two = await stage.start_brain("count"), await stage.start_brain("count")
        ends = [decode((await first_step(watched)).finished.result) for watched in (one, two)]  # type: ignore[union-attr]
        assert [end[0] for end in ends] == [1, 1]
        assert ends[0][1] != ends[1][1]


async def test_what_an_agent_prints_is_logged_with_its_task_and_without_escapes(file: str) -> None:
    async with staged(file) as stage:
        watched = await stage.start_brain("chat")
        await first_step(watched)
        await wait_until(lambda: len(stage.lines) == 2)
        assert [line for _, line in stage.lines] == ["thinking \\x1b[31m aloud", "to the side"]
        assert all(who.startswith("brain 0") for who, _ in stage.lines)


async def test_an_agent_that_floods_its_output_harms_nobody(file: str) -> None:
    async with staged(file) as stage:
        loud = await stage.start_brain("shout")
        quiet = await stage.start_brain("double", goal=b"1")
        await first_step(quiet)
        finished = (await first_step(loud)).finished
        assert finished is not None
        assert finished.result == b'"done"'
        assert len(stage.lines) < 20_000
        assert any("lines left out" in line for _, line in stage.lines)


@pytest.mark.parametrize("agent", ["hush", "lie"])
async def test_a_brain_that_leaves_the_protocol_is_ended(file: str, agent: str) -> None:
    async with staged(file) as stage:
        watched = await stage.start_brain(agent)
        await wait_until(lambda: watched.ends)
        assert "SIGKILL" in watched.ends[0]
        assert is_gone(watched.brain.pid)


async def test_nobody_can_start_an_unknown_agent(file: str) -> None:
    async with staged(file) as stage:
        with pytest.raises(UsageError, match="nobody"):
            await stage.start_brain("nobody")


async def test_an_inline_brain_steps_soon_but_never_inside_of_send(file: str) -> None:
    loaded = load(file)
    brains = InlineBrains(lambda agent: loaded if agent in loaded.agents else None)
    steps: list[Stepped] = []
    ends: list[str] = []
    brain = await brains.start(row(new_task(), "double"), steps.append, ends.append)
    brain.send(Start(new_task(), "double", b"4", 1))
    assert steps == []
    await wait_until(lambda: steps)
    brain.send(slept(steps[0]))
    await wait_until(lambda: len(steps) == 2)
    assert steps[1].finished is not None
    assert steps[1].finished.result == b"8"
    await brain.kill()
    await brain.kill()
    brain.send(slept(steps[0]))
    assert ends == ["killed"]
    with pytest.raises(UsageError):
        await brains.start(row(new_task(), "nobody"), steps.append, ends.append)
