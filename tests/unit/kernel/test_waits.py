"""Tasks that wait: timers, signals, people and children; no worker is held and restarts change nothing."""

from __future__ import annotations

import pytest

from comity import Context, TimedOut, agent
from comity.core.errors import ComityError, UsageError
from comity.journal.entry import Incarnated
from comity.journal.task import State
from stage import Stage, of


@agent
async def sleeper(ctx: Context) -> str:
    await ctx.sleep(3 * 24 * 3600)
    return "awake"


@agent
async def listener(ctx: Context) -> list[object]:
    first = await ctx.wait_signal("go")
    second = await ctx.wait_signal("go")
    return [first, second]


@agent
async def impatient(ctx: Context) -> str:
    try:
        return str(await ctx.wait_signal("go", timeout_s=30))
    except TimedOut:
        return "nobody came"


@agent
async def asker(ctx: Context) -> object:
    return await ctx.ask_human("ship it?", options=["yes", "no"])


@agent
async def child(ctx: Context) -> int:
    await ctx.sleep(60)
    if ctx.goal < 0:
        raise ValueError("a negative goal")
    return int(ctx.goal) * 2


@agent
async def parent(ctx: Context) -> list[int]:
    children = [await ctx.spawn(child, number) for number in ctx.goal]
    return list(await ctx.gather(*children))


async def test_a_task_that_sleeps_for_days_holds_no_worker_and_survives_restarts() -> None:
    stage = Stage(sleeper)
    async with stage.node() as node:
        task = await node.create("sleeper", None)
        row = await stage.until(node, task, State.WAITING)
        assert row.reason == "timer"
        assert not node.kernel.runs
    stage.clock.advance_nowait(2 * 24 * 3600)
    async with stage.node() as node:
        await stage.clock.advance(5)
        assert (await node.orders.row(task)).state is State.WAITING
    stage.clock.advance_nowait(1 * 24 * 3600)
    async with stage.node() as node:
        assert await stage.ended(node, task) == "awake"
    assert len(of(await stage.bodies(task), Incarnated)) == 2


async def test_signals_are_given_in_the_order_in_which_they_came_even_before_anybody_waits() -> None:
    stage = Stage(listener)
    async with stage.node() as node:
        task = await node.create("listener", None)
        await node.orders.signal(task, "go", {"n": 1}, sender="a")
        await node.orders.signal(task, "go", {"n": 1}, sender="a")
        row = await stage.until(node, task, State.WAITING)
        assert row.reason == "signal"
        await node.orders.signal(task, "go", {"n": 2}, sender="b")
        assert await stage.ended(node, task) == [{"n": 1}, {"n": 2}]


async def test_a_signal_that_does_not_come_in_time_is_a_time_out() -> None:
    stage = Stage(impatient)
    async with stage.node() as node:
        task = await node.create("impatient", None)
        assert await stage.ended(node, task) == "nobody came"


async def test_an_ended_task_takes_no_signals() -> None:
    stage = Stage(impatient)
    async with stage.node() as node:
        task = await node.create("impatient", None)
        await stage.ended(node, task)
        with pytest.raises(UsageError, match="succeeded"):
            await node.orders.signal(task, "go")


async def test_a_question_waits_for_its_answer_across_a_restart() -> None:
    stage = Stage(asker)
    async with stage.node() as node:
        task = await node.create("asker", None)
        row = await stage.until(node, task, State.WAITING)
        assert row.reason == "human"
    async with stage.node() as node:
        (question,) = await node.orders.questions()
        assert (question.question, question.options) == ("ship it?", ("yes", "no"))
        with pytest.raises(UsageError, match="maybe"):
            await node.orders.answer(task, question.call, "maybe")
        await node.orders.answer(task, question.call, "yes")
        assert await stage.ended(node, task) == "yes"
        assert await node.orders.questions() == []
        with pytest.raises(UsageError, match="no open question"):
            await node.orders.answer(task, question.call, "no")


async def test_children_run_beside_their_parent_and_end_in_its_inbox() -> None:
    stage = Stage(parent, child)
    async with stage.node() as node:
        task = await node.create("parent", [1, 2, 3])
        row = await stage.until(node, task, State.WAITING)
        assert row.reason == "child"
    async with stage.node() as node:
        assert await stage.ended(node, task) == [2, 4, 6]


async def test_a_failed_child_fails_the_call_that_awaits_it() -> None:
    stage = Stage(parent, child)
    async with stage.node() as node:
        task = await node.create("parent", [-1])
        with pytest.raises(ComityError, match="a negative goal"):
            await stage.ended(node, task)
