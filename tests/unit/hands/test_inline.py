"""The boundary around a tool, and the `Hand` port inside this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from comity.agents.tool import tool
from comity.core.codec import canonical
from comity.core.errors import NotHappened
from comity.hands.inline import InlineHand
from comity.journal.call import Attempt, Call, CallContext, Permit
from comity.journal.performing import report
from comity.journal.program import TOOL
from comity.journal.spec import ToolSpec
from comity.testing.clock import FakeClock
from comity.testing.waiting import wait_until

TASK = bytes(range(16))
PERMIT = Permit(TASK, 3, 2, FakeClock().monotonic_s() + 10.0, "key")


class Bench:
    """An inline hand with the tools of one test."""

    def __init__(self, *functions: Callable[..., Any]) -> None:
        self.clock = FakeClock()
        self.progress: list[tuple[str, float | None]] = []
        self._tools = {function.__name__: function for function in functions}
        self.hand = InlineHand(lambda task, name: self._tools.get(name), self.clock)

    async def perform(self, name: str, permit: Permit = PERMIT, **args: Any) -> Attempt:
        spec = getattr(self._tools[name], TOOL)
        call = Call("", "tool", name, 0, canonical(args))
        tell = lambda text, fraction: self.progress.append((text, fraction))  # noqa: E731
        return await self.hand.perform(permit, call, spec, tell)


@tool
async def here(n: int) -> int:
    report("counting", 2)
    return n + 1


@tool
def aside(n: int) -> list[Any]:
    report("counting")
    return [n + 1, threading.current_thread() is threading.main_thread()]


@tool
async def told(context: CallContext, n: int) -> dict[str, Any]:
    return {"key": context.key, "attempt": context.attempt, "args": context.args}


@tool
async def wait() -> None:
    await asyncio.Event().wait()


@tool
async def outlast() -> str:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return "done all the same"
    return ""


@tool
async def cancel_itself() -> None:
    raise asyncio.CancelledError


@tool
async def give_circle() -> list[Any]:
    circle: list[Any] = []
    circle.append(circle)
    return circle


@tool
async def refuse() -> None:
    raise NotHappened("sold out")


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@tool
async def fail_mutely() -> None:
    raise Mute


@tool(effect="read")
def fail_to_read() -> None:
    raise SystemExit(3)


async def test_coroutines_run_here_and_functions_on_a_thread() -> None:
    bench = Bench(here, aside)
    assert await bench.perform("here", n=1) == Attempt("done", b"2")
    assert await bench.perform("aside", n=1) == Attempt("done", b"[2,false]")
    await wait_until(lambda: bench.progress == [("counting", 1.0), ("counting", None)])


async def test_a_tool_that_asks_is_told_of_its_call() -> None:
    assert (await Bench(told).perform("told", n=5)).value == b'{"args":{"n":5},"attempt":2,"key":"key"}'


@pytest.mark.parametrize("name", ["here", "aside"])
async def test_the_permit_is_looked_at_after_the_arguments_and_before_the_tool(name: str) -> None:
    bench = Bench(here, aside)
    await bench.clock.advance(10.0)
    assert (await bench.perform(name, n="one")).end == "failed"
    assert (await bench.perform(name, n=1)).end == "expired"
    assert bench.progress == []


async def test_a_cancelled_coroutine_ends_unknown_and_its_caller_goes_on() -> None:
    bench = Bench(wait)
    work = asyncio.create_task(bench.perform("wait"))
    await asyncio.sleep(0)
    await bench.hand.cancel(PERMIT)
    await bench.hand.cancel(PERMIT)
    assert (await work).end == "unknown"
    assert work.cancelling() == 0


async def test_a_coroutine_that_outlasts_its_cancellation_ends_as_it_says() -> None:
    bench = Bench(outlast)
    work = asyncio.create_task(bench.perform("outlast"))
    await asyncio.sleep(0)
    await bench.hand.cancel(PERMIT)
    assert await work == Attempt("done", b'"done all the same"')
    assert work.cancelling() == 0


async def test_a_cancelled_caller_cancels_its_tool() -> None:
    bench = Bench(wait)
    work = asyncio.create_task(bench.perform("wait"))
    await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


async def test_a_hanging_function_that_is_cancelled_is_left_behind() -> None:
    go_on = threading.Event()

    @tool
    def hang() -> None:
        go_on.wait()

    bench = Bench(hang)
    work = asyncio.create_task(bench.perform("hang"))
    await asyncio.sleep(0)
    await bench.hand.cancel(PERMIT)
    assert (await work).end == "unknown"
    go_on.set()


@pytest.mark.parametrize(
    ("function", "end", "error"),
    [
        (cancel_itself, "unknown", "asyncio.exceptions.CancelledError"),
        (give_circle, "unknown", "the tool's result cannot be kept"),
        (refuse, "failed", "sold out"),
        (fail_mutely, "unknown", "Mute: <exception str() failed>"),
        (fail_to_read, "failed", "SystemExit: 3"),
    ],
)
async def test_whatever_a_tool_raises_is_how_its_attempt_ended(
    function: Callable[..., Any], end: str, error: str
) -> None:
    attempt = await Bench(function).perform(function.__name__)
    assert attempt.end == end
    assert error in attempt.error


async def test_a_tool_that_is_not_there_has_not_acted() -> None:
    bench = Bench(here)
    call = Call("", "tool", "gone", 0, b"{}")
    spec = ToolSpec("gone")
    assert (await bench.hand.perform(PERMIT, call, spec, lambda *_: None)).end == "failed"
