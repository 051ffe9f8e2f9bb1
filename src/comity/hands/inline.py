"""The `Hand` port inside this process: for embedded runs, notebooks and benchmarks.

It shares memory and environment with the agent, so it keeps no credentials from it (promise P5); processes do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from comity.core.clock import Clock
from comity.core.ids import Id
from comity.hands.boundary import Bound, bound, context_of, is_async, perform_async, perform_sync, undecided
from comity.hands.threads import ToolThreads
from comity.journal.call import Attempt, Call, Permit
from comity.journal.performing import Performing
from comity.journal.ports import OnProgress
from comity.journal.spec import ToolSpec

FindTool = Callable[[Id, str], Callable[..., Any] | None]
"""Gives the function behind a tool's name, for a task."""

Running = asyncio.Task[Any] | asyncio.Future[Attempt]


class InlineHand:
    """Performs asynchronous tools on the loop of its caller, synchronous ones on a thread each."""

    def __init__(self, find: FindTool, clock: Clock) -> None:
        self._find = find
        self._clock = clock
        self._threads = ToolThreads()
        self._running: dict[Permit, Running] = {}
        self._cancelled: set[Permit] = set()

    async def perform(self, permit: Permit, call: Call, tool: ToolSpec, on_progress: OnProgress) -> Attempt:
        """Perform one attempt; the permit is looked at last."""
        function = self._find(permit.task, tool.name)
        if function is None:
            return Attempt("failed", error=f"no tool `{tool.name}` here")
        ready = bound(function, tool, call.args, context_of(permit, tool.name))
        if isinstance(ready, Attempt):
            return ready
        try:
            if is_async(function):
                return await self._perform_here(permit, ready, Performing(on_progress, permit.expires_s, self._clock))
            return await self._perform_in_thread(permit, ready, on_progress)
        finally:
            self._running.pop(permit, None)
            self._cancelled.discard(permit)

    async def cancel(self, permit: Permit) -> None:
        """End a running attempt: it ends `unknown`. A synchronous tool is given up; its thread runs on."""
        running = self._running.get(permit)
        if running is None or permit in self._cancelled:
            return
        self._cancelled.add(permit)
        if isinstance(running, asyncio.Task):
            running.cancel()
        elif not running.done():
            running.set_result(undecided("cancelled while it ran; its thread was left behind", acts=True))

    def release(self, task: Id) -> None:
        """Nothing is kept for a task."""

    async def _perform_here(self, permit: Permit, call: Bound, performing: Performing) -> Attempt:
        task = asyncio.current_task()
        assert task is not None
        self._running[permit] = task
        try:
            attempt = await perform_async(call, performing)
        except asyncio.CancelledError:
            if permit in self._cancelled and task.uncancel() == 0:
                return undecided("cancelled while it ran", acts=call.acts)
            raise
        if permit in self._cancelled:
            task.uncancel()  # the tool went on, and came to its own end
        return attempt

    async def _perform_in_thread(self, permit: Permit, call: Bound, on_progress: OnProgress) -> Attempt:
        loop = asyncio.get_running_loop()

        def tell(text: str, fraction: float | None) -> None:
            loop.call_soon_threadsafe(on_progress, text, fraction)

        performing = Performing(tell, permit.expires_s, self._clock)
        try:
            future = self._threads.run_for_loop(partial(perform_sync, call, performing))
        except RuntimeError as error:
            return Attempt("failed", error=f"no thread could be started: {error}")
        self._running[permit] = future
        return await future
