"""What is made of a history: recall, divergence, retry, fork, continuation, sessions."""

from __future__ import annotations

from typing import Any

import pytest

from comity import Context, Refused, agent, tool
from comity.core.errors import ComityError, UsageError
from comity.journal.entry import Continued, Incarnated, Moved, Rethought
from comity.journal.task import State
from comity.kernel.fork import Changes
from comity.testing import ScriptedModel
from stage import Stage, of

DONE: list[str] = []
MOOD: dict[str, Any] = {}

counter = ScriptedModel(lambda messages: f"{len(messages)} messages, {MOOD.get('model', 'calm')}")


@pytest.fixture(autouse=True)
def an_empty_world() -> None:
    DONE.clear()
    MOOD.clear()


@tool(effect="idempotent")
async def put(n: int) -> int:
    DONE.append(f"put {n}")
    if MOOD.get("broken"):
        raise NotImplementedError
    return n


@agent(tools=[put])
async def changing(ctx: Context) -> Any:
    first = await ctx.act(put, n=MOOD.get("first", 1))
    await ctx.wait_signal("go")
    return [first, await ctx.act(put, n=2)]


@agent(tools=[put], on_divergence="rethink")
async def forgiving(ctx: Context) -> Any:
    first = await ctx.act(put, n=MOOD.get("first", 1))
    await ctx.wait_signal("go")
    return [first, await ctx.act(put, n=2)]


@agent(tools=[put], on_divergence="fork")
async def forking(ctx: Context) -> Any:
    zero = await ctx.act(put, n=0)
    first = await ctx.act(put, n=MOOD.get("first", 1))
    await ctx.wait_signal("go")
    return [zero, first]


@agent(tools=[put], model=counter)
async def fragile(ctx: Context) -> Any:
    said = (await ctx.think("hello")).text
    done = await ctx.act(put, n=1)
    if MOOD.get("fails"):
        raise ValueError("this code has a bug")
    return [said, done]


@agent(tools=[put])
async def refusing(ctx: Context) -> Any:
    return [await ctx.act(put, n=1), await ctx.act("put", n="two")]


@agent(tools=[put])
async def counting(ctx: Context) -> Any:
    state = ctx.state or {"round": 0}
    await ctx.act(put, n=state["round"])
    if state["round"] < 3:
        await ctx.continue_with({"round": state["round"] + 1})
    return state


@agent(model=counter)
async def chatty(ctx: Context) -> Any:
    before = len(ctx.session.messages)
    ctx.session.append({"role": "user", "content": str(ctx.goal)})
    answer = await ctx.think(ctx.session.messages)
    ctx.session.append(answer)
    return [before, answer.text]


async def started(agent_name: str, things: Any) -> tuple[Stage, bytes]:
    stage = Stage(things)
    async with stage.node() as node:
        task = await node.create(agent_name, None)
        await stage.until(node, task, State.WAITING)
    return stage, task


async def test_a_resumed_agent_that_asks_otherwise_is_parked_with_the_exact_difference() -> None:
    stage, task = await started("changing", changing)
    MOOD["first"] = 5
    async with stage.node() as node:
        await node.orders.signal(task, "go")
        row = await stage.until(node, task, State.PARKED)
        assert row.reason == "diverged"
        moved = of(await stage.bodies(task), Moved)[-1]
        assert "entry 3" in moved.detail
        assert '{"n":5}' in moved.detail
        MOOD["first"] = 1
        await node.orders.resume(task)
        assert await stage.ended(node, task) == [1, 2]
    assert DONE == ["put 1", "put 2"]


async def test_a_forgiving_agent_thinks_again_from_where_it_diverged_and_only_once() -> None:
    stage, task = await started("forgiving", forgiving)
    MOOD["first"] = 5
    async with stage.node() as node:
        await node.orders.signal(task, "go")
        assert await stage.ended(node, task) == [5, 2]
    assert len(of(await stage.bodies(task), Rethought)) == 1


async def test_a_forking_agent_goes_on_as_a_fork_and_its_origin_is_parked() -> None:
    stage, task = await started("forking", forking)
    MOOD["first"] = 5
    async with stage.node() as node:
        await node.orders.signal(task, "go")
        row = await stage.until(node, task, State.PARKED)
        assert row.reason == "diverged"
        assert "goes on as fork" in of(await stage.bodies(task), Moved)[-1].detail


async def test_redo_goes_on_with_mended_code_and_pays_for_nothing_twice() -> None:
    """Promise P3."""
    stage = Stage(fragile)
    MOOD["fails"] = True
    async with stage.node() as node:
        task = await node.create("fragile", None)
        await stage.until(node, task, State.FAILED)
        used = (await node.orders.ledger(task)).used
        MOOD.update(fails=False, model="excited")
        await node.orders.retry(task, "redo")
        assert await stage.ended(node, task) == ["1 messages, calm", 1]
        assert (await node.orders.ledger(task)).used == used
        with pytest.raises(UsageError, match="not failed"):
            await node.orders.retry(task, "redo")
    assert DONE == ["put 1"]


async def test_rethink_asks_the_model_again() -> None:
    stage = Stage(fragile)
    MOOD["fails"] = True
    async with stage.node() as node:
        task = await node.create("fragile", None)
        await stage.until(node, task, State.FAILED)
        MOOD.update(fails=False, model="excited")
        await node.orders.retry(task, "rethink")
        assert await stage.ended(node, task) == ["1 messages, excited", 1]
    assert DONE == ["put 1", "put 1"]


async def test_redo_makes_the_failed_call_again() -> None:
    stage = Stage(refusing)
    async with stage.node() as node:
        task = await node.create("refusing", None)
        await stage.until(node, task, State.FAILED)
        await node.orders.retry(task, "redo")
        await stage.clock.advance(5)
        await stage.until(node, task, State.FAILED)
    assert DONE == ["put 1"]
    assert len(of(await stage.bodies(task), Incarnated)) == 2


async def test_a_fork_is_answered_from_its_origin_and_performs_nothing() -> None:
    stage = Stage(fragile)
    async with stage.node() as node:
        task = await node.create("fragile", None)
        await stage.ended(node, task)
        fork, again = await node.orders.fork(task, 2, Changes())
        node.kernel.poke()
        assert await stage.ended(node, fork) == ["1 messages, calm", 1]
        assert DONE == ["put 1"]
        assert again == ["call 5: put (idempotent)"]
        live, _ = await node.orders.fork(task, 2, Changes(live=True))
        node.kernel.poke()
        await stage.ended(node, live)
        assert DONE == ["put 1", "put 1"]
        with pytest.raises(UsageError, match="no entry `99`"):
            await node.orders.fork(task, 99, Changes())


async def test_a_fork_that_asks_what_its_origin_never_did_is_refused() -> None:
    stage = Stage(counting)
    async with stage.node() as node:
        task = await node.create("refusing", None)
        await stage.until(node, task, State.FAILED)
        fork, _ = await node.orders.fork(task, 3, Changes())
        node.kernel.poke()
        with pytest.raises(ComityError, match="rehearsed"):
            await stage.ended(node, fork)


async def test_continue_with_closes_the_history_and_hands_a_state_on() -> None:
    stage = Stage(counting)
    async with stage.node() as node:
        task = await node.create("counting", None)
        assert await stage.ended(node, task) == {"round": 3}
    assert DONE == ["put 0", "put 1", "put 2", "put 3"]
    assert len(of(await stage.bodies(task), Continued)) == 3


async def test_tasks_of_one_session_follow_one_another_and_remember() -> None:
    stage = Stage(chatty)
    async with stage.node() as node:
        tasks = [await node.create("chatty", n, session="s1") for n in range(3)]
        other = await node.create("chatty", 9, session="s2")
        found = [await stage.ended(node, task) for task in tasks]
        assert [before for before, _ in found] == [0, 2, 4]
        assert found[2][1] == "5 messages, calm"
        assert (await stage.ended(node, other))[0] == 0


def test_refused_is_an_error_that_an_agent_can_catch() -> None:
    assert issubclass(Refused, ComityError)
