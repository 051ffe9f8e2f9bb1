"""The stepped loop: strands, timers, what is refused, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from comity import Context, agent
from comity.agents.loop import Loop
from comity.core.errors import UsageError
from comity.testing.agent import FakeKernel, done

sleep = vars(asyncio)["sleep"]  # on an agent's loop it is a durable call, and waits for nothing


def branches(kernel: FakeKernel) -> list[str]:
    return [call.branch for call in kernel.asked]


def ran(function, **options) -> FakeKernel:
    """Run a coroutine function as an agent; calls end in the order in which they were asked."""
    return FakeKernel(agent(function), **options).run()


def test_strands_are_numbered_in_the_order_in_which_each_parent_started_them():
    async def leaf(ctx: Context, name: str):
        await ctx.act(name)

    async def inner(ctx: Context, name: str):
        await asyncio.gather(leaf(ctx, f"{name}a"), leaf(ctx, f"{name}b"))

    async def root(ctx: Context):
        await asyncio.gather(inner(ctx, "x"), inner(ctx, "y"), leaf(ctx, "z"))
        await ctx.act("end")

    kernel = ran(root)
    assert [(call.branch, call.name) for call in kernel.asked] == [
        ("3", "z"),
        ("1.1", "xa"),
        ("1.2", "xb"),
        ("2.1", "ya"),
        ("2.2", "yb"),
        ("", "end"),
    ]


def test_occurrence_counts_calls_of_one_kind_and_name_in_a_branch():
    async def root(ctx: Context):
        for name in ("a", "b", "a", "sleep"):
            await ctx.act(name)
        await ctx.sleep(1)

    kernel = ran(root)
    assert [(call.kind, call.name, call.occurrence) for call in kernel.asked] == [
        ("tool", "a", 0),
        ("tool", "b", 0),
        ("tool", "a", 1),
        ("tool", "sleep", 0),
        ("timer", "sleep", 0),
    ]


def test_timers_of_asyncio_are_durable_calls_in_branches_of_their_own():
    async def root(ctx: Context):
        await sleep(2)
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(5):
                await ctx.wait_signal("never")
        except TimeoutError:
            return asyncio.get_running_loop().time()

    kernel = FakeKernel(agent(root))
    assert [(call.branch, call.args) for call in kernel.begin().calls] == [("t1", b'{"seconds":2}')]
    kernel.end(kernel.open[0])
    timer, signal = kernel.open
    assert (timer.branch, timer.args, signal.branch) == ("t2", b'{"seconds":5.0}', "")
    kernel.end(timer)
    assert kernel.result == 7.0


def test_wait_for_gives_up_and_the_strand_goes_on_in_a_branch_of_its_own():
    async def root(ctx: Context):
        try:
            async with asyncio.timeout(1):
                await ctx.act("slow")
        except TimeoutError:
            return await ctx.act("other")

    kernel = FakeKernel(agent(root), answer=lambda call: done(call.name))
    kernel.begin()
    timer, slow = kernel.open
    (other,) = kernel.end(timer).calls
    assert (slow.branch, other.branch) == ("", "c1")
    kernel.end(slow)
    assert kernel.finished is None
    kernel.end(other)
    assert kernel.result == "other"


def test_journaled_time_moves_the_loops_clock():
    async def root(ctx: Context):
        loop = asyncio.get_running_loop()
        times = [loop.time()]
        await ctx.now()
        times.append(loop.time())
        later = await ctx.now()
        times.append(loop.time())
        await ctx.sleep(10)
        times.append(loop.time())
        return [times, later.isoformat()]

    nows = iter([1_000_000, 4_500_000])
    kernel = ran(root, answer=lambda call: done(next(nows) if call.kind == "now" else None))
    assert kernel.result == [[0.0, 0.0, 3.5, 13.5], "1970-01-01T00:00:04.500000+00:00"]


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: asyncio.to_thread(print),
        lambda: asyncio.get_running_loop().run_in_executor(None, print),
        lambda: asyncio.open_connection("127.0.0.1", 1),
        lambda: asyncio.create_subprocess_exec("true"),
        lambda: asyncio.get_running_loop().getaddrinfo("localhost", 1),
        lambda: asyncio.get_running_loop().add_reader(0, print),
        lambda: asyncio.get_running_loop().add_signal_handler(2, print),
        lambda: asyncio.get_running_loop().call_soon_threadsafe(print),
        lambda: asyncio.get_running_loop().run_forever(),
    ],
)
def test_threads_sockets_processes_and_signals_are_refused_with_a_way_out(attempt):
    async def root(ctx: Context):
        made = attempt()
        await made

    kernel = ran(root)
    assert kernel.finished is not None
    assert kernel.finished.code == "not_in_an_agent"
    assert "do it in a tool" in kernel.finished.error


def test_a_step_runs_inside_another_loop_and_gives_it_back():
    async def root(ctx: Context):
        inner.append((asyncio.get_running_loop(), asyncio.current_task()))
        await ctx.act("a")

    async def outer():
        before = asyncio.get_running_loop(), asyncio.current_task()
        kernel = FakeKernel(agent(root))
        kernel.begin()
        assert (asyncio.get_running_loop(), asyncio.current_task()) == before
        await asyncio.sleep(0)
        kernel.end(kernel.open[0])
        await asyncio.sleep(0)
        assert kernel.result is None
        return before

    inner: list = []
    before = asyncio.run(outer())
    assert isinstance(inner[0][0], Loop)
    assert inner[0][1] is not before[1]


def test_an_agent_sees_none_of_the_callers_context_variables():
    from contextvars import ContextVar

    variable = ContextVar("variable", default="unset")

    async def root(ctx: Context):
        seen = variable.get()
        variable.set("inner")
        await ctx.act("a")
        return [seen, variable.get()]

    variable.set("outer")
    assert ran(root).result == ["unset", "inner"]
    assert variable.get() == "outer"


def test_sets_of_strands_iterate_in_the_order_in_which_they_were_made():
    async def root(ctx: Context):
        strands = {asyncio.create_task(ctx.act(str(n))) for n in range(200)}
        order = [strand.get_name() for strand in strands]
        done_, _ = await asyncio.wait(strands)
        return order == sorted(order, key=lambda name: int(name.split()[1])) and len(done_) == 200

    assert ran(root).result is True


def test_a_strand_that_failed_unseen_is_told_when_the_agent_ends():
    async def broken(ctx: Context):
        await ctx.act("a")
        raise ValueError("lost?")

    async def root(ctx: Context):
        strand = asyncio.create_task(broken(ctx))
        await ctx.act("b")
        await ctx.act("c")
        del strand
        return "ok"

    kernel = ran(root)
    assert kernel.result == "ok"
    assert [(said.branch, said.text) for said in kernel.said] == [
        ("1", "failed, and nobody awaited it: ValueError: lost?")
    ]


def test_a_callback_that_failed_is_told_when_the_agent_ends():
    async def root(ctx: Context):
        asyncio.get_running_loop().call_soon(lambda: 1 // 0)
        await asyncio.sleep(0)

    kernel = ran(root)
    assert [said.text for said in kernel.said] == [
        "a callback failed: ZeroDivisionError: integer division or modulo by zero"
    ]


def test_an_agent_that_waits_for_nothing_ends_with_the_place_and_what_failed():
    async def broken():
        raise ValueError("no producer")

    async def root(ctx: Context):
        queue: asyncio.Queue[int] = asyncio.Queue()
        strand = asyncio.create_task(broken())
        await queue.get()
        await strand

    kernel = ran(root)
    assert kernel.finished is not None
    assert kernel.finished.code == "agent_stuck"
    assert f"{__file__}:" in kernel.finished.error
    assert "strand `1` failed with ValueError: no producer" in kernel.finished.error


def test_a_dropped_agent_leaves_no_warning_and_no_task_behind():
    unwound: list[str] = []

    async def held(ctx: Context, name: str):
        try:
            await ctx.act(name)
        finally:
            unwound.append(name)

    async def stubborn(ctx: Context):
        try:
            await ctx.act("stubborn")
        finally:
            unwound.append("stubborn")
            await ctx.act("never asked")

    async def root(ctx: Context):
        lock = asyncio.Lock()
        async with lock, asyncio.TaskGroup() as group:
            group.create_task(held(ctx, "a"))
            group.create_task(stubborn(ctx))
            group.create_task(asyncio.wait_for(held(ctx, "b"), 10))
            later = held(ctx, "c")
            await asyncio.gather(held(ctx, "d"), sleep(5))
            await later

    kernel = FakeKernel(agent(root))
    asked = len(kernel.begin().calls)
    kernel.close()
    gc.collect()
    assert sorted(unwound) == ["a", "b", "d", "stubborn"]
    assert len(kernel.asked) == asked


def test_an_async_generator_that_was_left_early_is_closed_on_the_agents_loop():
    closed: list[object] = []

    async def numbers(ctx: Context):
        try:
            for n in range(3):
                yield await ctx.act(str(n))
        finally:
            await asyncio.sleep(0)
            closed.append(asyncio.get_running_loop())

    async def root(ctx: Context):
        async for _ in numbers(ctx):
            break
        await ctx.act("end")

    assert ran(root).result is None
    assert [isinstance(loop, Loop) for loop in closed] == [True]


def test_stepping_needs_no_main_thread():
    results: list[object] = []

    async def root(ctx: Context):
        await ctx.act("a")
        return "done"

    thread = threading.Thread(target=lambda: results.append(ran(root).result))
    thread.start()
    thread.join()
    assert results == ["done"]


def test_a_call_outside_of_the_agents_strands_is_refused():
    context: list[Context] = []

    async def root(ctx: Context):
        context.append(ctx)
        await ctx.act("a")

    kernel = FakeKernel(agent(root))
    kernel.begin()

    async def outside():
        with pytest.raises(UsageError, match="outside the agent"):
            await context[0].act("b")

    asyncio.run(outside())
    kernel.close()
