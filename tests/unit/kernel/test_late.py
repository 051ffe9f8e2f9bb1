"""Late words and long breaths: leases lost in the middle of things, lifts cut off, forks that start again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from comity import Context, agent, tool
from comity.core.codec import canonical
from comity.core.errors import UsageError
from comity.journal.task import State
from comity.journal.unit import Answer, Message, OperatorSubject, Unit, Wakes
from comity.kernel.fork import Changes
from stage import Stage

DONE: list[str] = []
GATES: dict[str, asyncio.Event] = {}


@pytest.fixture(autouse=True)
def an_empty_world() -> None:
    DONE.clear()
    GATES.clear()


@tool(effect="idempotent")
async def unbranch(args: dict[str, Any], result: Any) -> None:
    DONE.append("unbranch")
    if "unbranch" in GATES:
        await GATES["unbranch"].wait()


@tool(effect="reversible", compensate=unbranch)
async def branch(n: int) -> None:
    DONE.append("branch")


@tool(effect="idempotent")
async def count() -> int:
    DONE.append("count")
    return len(DONE)


@tool(effect="irreversible")
async def announce() -> None:
    DONE.append("announce")
    raise RuntimeError("nobody knows")


@agent
async def brancher(ctx: Context) -> None:
    await ctx.act(branch, n=1)
    await ctx.wait_signal("go")


@agent
async def counter(ctx: Context) -> Any:
    await ctx.now()
    first = await ctx.act(count)
    await ctx.wait_signal("go")
    return [first, await ctx.act(count)]


@agent
async def announcer(ctx: Context) -> None:
    await ctx.act(announce)


async def test_a_compensation_that_hangs_keeps_no_node_from_beginning_anew() -> None:
    """Promises P1 and P10: the lease was lost while a cancelled task was undone."""
    GATES["unbranch"] = asyncio.Event()
    stage = Stage(brancher, counter)
    async with stage.node() as node:
        task = await node.create("brancher", None)
        await stage.until(node, task, State.WAITING)
        await node.orders.cancel(task)
        await stage.clock.advance(1)
        assert DONE == ["branch", "unbranch"]
        await stage.store.declare_dead(node.kernel.lease.node)
        await stage.clock.advance(60)
        other = await node.create("counter", None)
        await stage.until(node, other, State.WAITING)
        GATES["unbranch"].set()
        await stage.until(node, task, State.CANCELLED)


async def test_a_rehearsed_fork_that_starts_again_goes_on_with_the_next_answer() -> None:
    stage = Stage(counter)
    async with stage.node() as node:
        origin = await node.create("counter", None)
        await stage.until(node, origin, State.WAITING)
        await node.orders.signal(origin, "go")
        assert await stage.ended(node, origin) == [1, 2]
        fork, _ = await node.orders.fork(origin, 2, Changes())
        await stage.until(node, fork, State.WAITING)
    async with stage.node() as node:
        await node.orders.signal(fork, "go")
        assert await stage.ended(node, fork) == [1, 2]


async def test_a_lift_that_was_cut_off_can_be_made_again() -> None:
    """Promise P9: no task stays parked by a stop that is no more."""
    stage = Stage(counter)
    async with stage.node() as node:
        await node.orders.stop("fleet")
        task = await node.create("counter", None)
        await stage.until(node, task, State.PARKED)
        send = node.orders._send

        async def cut_off(message: Message) -> None:
            raise KeyboardInterrupt

        node.orders._send = cut_off  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            await node.orders.lift("fleet")
        node.orders._send = send  # type: ignore[method-assign]
        await node.orders.lift("fleet")
        await stage.until(node, task, State.WAITING)
        with pytest.raises(UsageError, match="not stopped"):
            await node.orders.lift("fleet")


async def test_what_a_late_result_cost_is_charged() -> None:
    """Promise P1: evidence is call, result and cost."""
    stage = Stage(announcer)
    async with stage.node() as node:
        task = await node.create("announcer", None)
        await stage.until(node, task, State.PARKED)
        (doubt,) = await node.orders.in_doubt(task)
        late = {"call": doubt.seq, "attempt": 1, "epoch": 1, "end": "done", "result": None, "error": ""}
        value = canonical({**late, "cost": [10, 5, 7]})
        message = Message(task, "evidence:1", "evidence", str(doubt.seq), value, Wakes.PARKED)
        await stage.store.commit([Unit(OperatorSubject("former owner"), sends=(message,))])
        await stage.until(node, task, State.SUCCEEDED)
        used = (await node.orders.ledger(task)).used
    assert (used.tokens_in, used.tokens_out, used.usd_micro) == (10, 5, 7)


@agent
async def eternal(ctx: Context) -> str:
    await ctx.sleep(1e300)
    return "?"


async def test_a_wait_beyond_all_time_is_a_wait() -> None:
    stage = Stage(eternal)
    async with stage.node() as node:
        task = await node.create("eternal", None)
        row = await stage.until(node, task, State.WAITING, State.FAILED, State.PARKED)
        assert (row.state, row.reason) == (State.WAITING, "timer")
        assert row.not_before_us < 2**63


@agent
async def crowd(ctx: Context) -> Any:
    return len(await ctx.gather(*(ctx.act(count) for _ in range(30))))


async def test_a_queue_of_appends_that_is_longer_than_a_permit_comes_to_its_end() -> None:
    """Promise P10: thirty intents of 0.1 s each, and permits of one second."""
    stage = Stage(crowd)
    async with stage.node() as node:
        commit = stage.store.commit

        async def slowly(units: Sequence[Unit]) -> Sequence[Answer]:
            await stage.clock.sleep(0.1)
            return await commit(units)

        task = await node.create("crowd", None)
        stage.store.commit = slowly  # type: ignore[method-assign]
        await stage.until(node, task, State.SUCCEEDED, seconds=30)
    assert len(DONE) == 30
