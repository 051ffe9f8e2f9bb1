"""Attacks on the promises: orders, crashes and jumps of the clock in odd moments, each of which once broke one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from comity import Context, NotHappened, agent, tool
from comity.journal.task import State
from comity.kernel.fork import Changes
from stage import Stage

DONE: list[str] = []
"""What was done to the world; each test empties it."""
GATES: dict[str, asyncio.Event] = {}
"""Tools wait here, once they have acted, until a test opens the gate."""
MOOD: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def an_empty_world() -> None:
    DONE.clear()
    GATES.clear()
    MOOD.clear()


async def act(name: str, key: str = "") -> None:
    DONE.append(f"{name} {key}".rstrip())
    gate = GATES.get(name)
    if gate is not None:
        await gate.wait()
    trouble = MOOD.get(name, [])
    what = trouble.pop(0) if trouble else ""
    if what == "not":
        raise NotHappened("it did not happen")
    if what == "broken":
        raise RuntimeError("nobody knows")


@tool(effect="idempotent")
async def put(n: int) -> str:
    await act("put", str(n))
    return f"put {n}"


@tool(effect="irreversible")
async def announce(n: int) -> str:
    await act("announce", str(n))
    return f"announced {n}"


@tool(effect="irreversible", once=["order"], once_per="tenant")
async def pay(order: str, who: str) -> str:
    await act(f"pay by {who}")
    return f"paid {order}"


@tool(effect="irreversible", once=["order"], once_per="task")
async def settle_order(order: str) -> str:
    await act("settle_order", order)
    return f"settled {order}"


@tool(effect="idempotent")
async def unbranch(args: dict[str, Any], result: Any) -> None:
    await act("unbranch", str(args["n"]))


@tool(effect="reversible", compensate=unbranch)
async def branch(n: int) -> str:
    await act("branch", str(n))
    return f"branch {n}"


@tool(effect="read")
async def check(args: dict[str, Any], result: Any) -> dict[str, Any]:
    return {"passed": MOOD.get("passes", True), "reason": "the checker says so"}


@tool(effect="irreversible", verify=check)
async def send(n: int) -> str:
    await act("send", str(n))
    return f"sent {n}"


@agent
async def worker(ctx: Context) -> Any:
    name, args = ctx.goal
    try:
        return await ctx.act(name, **args)
    except NotHappened as error:
        return f"not happened: {error.message}"


@agent
async def builder_and_payer(ctx: Context) -> Any:
    await ctx.act(branch, n=1)
    return await ctx.act(pay, order="o", who="second")


@agent
async def continuing(ctx: Context) -> Any:
    if ctx.state is None:
        slow = asyncio.create_task(ctx.act(put, n=1))
        await ctx.sleep(1)
        await ctx.continue_with({"round": 1})
        await slow
    return [await asyncio.create_task(ctx.act(put, n=1))]


@agent
async def asking_and_continuing(ctx: Context) -> Any:
    if ctx.state is None:
        asyncio.create_task(ctx.ask_human("still there?"))
        await ctx.sleep(1)
        await ctx.continue_with({"round": 1})
    await ctx.sleep(1_000_000)
    return None


@agent
async def asking_and_failing(ctx: Context) -> Any:
    asked = asyncio.create_task(ctx.ask_human("go on?"))
    await ctx.sleep(1)
    if MOOD.get("fails"):
        raise ValueError("a bug")
    return await asked


@agent
async def sending(ctx: Context) -> Any:
    return await ctx.act(send, n=1)


@agent
async def put_and_listen(ctx: Context) -> Any:
    first = await ctx.act(put, n=1)
    await ctx.wait_signal("go")
    return first


@agent
async def branch_and_listen(ctx: Context) -> Any:
    await ctx.act(branch, n=1)
    await ctx.wait_signal("go")
    return None


@agent
async def settling(ctx: Context) -> Any:
    await ctx.now()
    return await ctx.act(settle_order, order="o")


@agent
async def napping(ctx: Context) -> str:
    await ctx.sleep(0.15)
    return "rested"


@agent
async def two_listeners(ctx: Context) -> Any:
    async def listen() -> Any:
        return await ctx.wait_signal("go")

    async def busy() -> Any:
        await ctx.act(put, n=1)
        return await ctx.wait_signal("go")

    return sorted(await ctx.gather(listen(), busy(), busy()))


async def test_a_restarted_fork_makes_no_call_again_that_its_origin_had_under_way() -> None:
    """Promise P2."""
    GATES["put"] = asyncio.Event()
    stage = Stage(put_and_listen)
    async with stage.node() as node:
        origin = await node.create("put_and_listen", None)
        await stage.clock.advance(1)
        fork, _ = await node.orders.fork(origin, len(await stage.store.load(origin)), Changes(live=True))
        await stage.clock.advance(1)
        GATES["put"].set()
        await stage.until(node, fork, State.WAITING)
    assert DONE == ["put 1", "put 1"]
    async with stage.node() as node:
        await node.orders.signal(fork, "go")
        assert await stage.ended(node, fork) == "put 1"
    assert DONE == ["put 1", "put 1"]
