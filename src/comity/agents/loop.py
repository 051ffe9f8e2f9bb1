"""The loop that an agent's coroutines run on: deterministic, stepped, without time or network of its own.

It runs what is ready, first in first out, and returns when every strand is blocked; it may do so while another asyncio
loop runs in the same thread. A strand is a task with a path: the root is the empty string, `1.2` the second strand that
the first strand started. Sets of strands iterate in an order that repeats. Timers are durable calls; threads, sockets
and processes are refused: they belong into tools.
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator
from contextvars import Context
from itertools import count
from typing import TYPE_CHECKING, Any

from comity.core.errors import Suspend, UsageError

if TYPE_CHECKING:
    from comity.agents.conversation import Conversation

OnTimer = Callable[["Strand", float, Callable[[], None]], None]
"""Asks for a timer of so many seconds for a strand, which calls back when it is over."""

CLOSINGS_MAX = 10
_PRUNE_MIN = 64


class Strand(asyncio.Task[Any]):
    """One line of an agent's own concurrency.

    `branch` names its calls. A strand that abandons a call (it was cancelled while it waited for it) goes on in a
    branch of its own (`1.c1`), so that within a branch each call ends before the next is asked.
    """

    __slots__ = ("abandoned", "branch", "children", "conversation", "number", "occurrences", "path", "timers")

    def __init__(
        self, coro: Coroutine[Any, Any, Any], loop: Loop, path: str, number: int, context: Context | None
    ) -> None:
        """Start `coro` on `loop` as the strand `path`; `number` is its place among all that the loop made."""
        self.path = self.branch = path
        self.number = number
        self.children = self.timers = self.abandoned = 0
        self.occurrences: dict[tuple[str, str], int] = {}
        self.conversation: Conversation | None = None
        super().__init__(coro, loop=loop, name=f"strand {path or 'root'}", context=context)

    def __hash__(self) -> int:
        return self.number

    def below(self, name: str) -> str:
        """Return the path of what this strand started as `name`."""
        return f"{self.path}.{name}" if self.path else name

    def next_occurrence(self, kind: str, name: str) -> int:
        """Count one more call of this kind and name in this branch; the first is 0."""
        key = (kind, name)
        number = self.occurrences.get(key, 0)
        self.occurrences[key] = number + 1
        return number

    def abandon(self) -> None:
        """Go on in a new branch, since the call that this one waits for is still open."""
        self.abandoned += 1
        self.branch = self.below(f"c{self.abandoned}")
        self.occurrences = {}


class Mark(asyncio.Future[Any]):
    """A future of an agent; sets of them iterate in an order that repeats."""

    __slots__ = ("number",)

    def __init__(self, loop: Loop, number: int) -> None:
        """Belong to `loop`; `number` is its place among all that the loop made."""
        self.number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.number


class Loop(asyncio.AbstractEventLoop):
    """A stepped event loop for the strands of one agent.

    Guarantees: `tests/unit/agents/test_loop.py`.
    """

    def __init__(self, on_timer: OnTimer) -> None:
        """Ask for timers through `on_timer`."""
        self._on_timer = on_timer
        self._ready: deque[asyncio.Handle] = deque()
        self._strands: list[Strand] = []
        self._prune_at = _PRUNE_MIN
        self._numbers = count(1)
        self._generators = 0
        self._now_s = 0.0
        self._is_running = False
        self._is_closed = False
        self._root: Strand | None = None
        self.halted = False
        self.failures: list[str] = []

    # ---- stepping ----------------------------------------------------------------------------------------

    def begin(self, coro: Coroutine[Any, Any, Any]) -> Strand:
        """Make `coro` the root strand; it runs with the next step, with none of the caller's context variables."""
        assert self._root is None, "a loop runs one agent"
        self._root = self._strand(coro, "", Context())
        return self._root

    def run_until_blocked(self, more: Callable[[], bool] = lambda: False) -> None:
        """Run what is ready until nothing is; then, and again, while `more` made something ready."""
        outer = asyncio._get_running_loop()  # noqa: SLF001 - documented for loops that others write
        task = asyncio.current_task(outer) if outer is not None else None
        hooks = sys.get_asyncgen_hooks()
        if outer is not None and task is not None:
            asyncio.tasks._leave_task(outer, task)  # noqa: SLF001
        asyncio._set_running_loop(self)  # noqa: SLF001
        sys.set_asyncgen_hooks(firstiter=None, finalizer=self._generator_dropped)
        self._is_running = True
        try:
            self._drain()
            while not self.halted and more():
                self._drain()
        finally:
            self._is_running = False
            sys.set_asyncgen_hooks(*hooks)
            asyncio._set_running_loop(outer)  # noqa: SLF001
            if outer is not None and task is not None:
                asyncio.tasks._enter_task(outer, task)  # noqa: SLF001

    def _drain(self) -> None:
        ready = self._ready
        while ready and not self.halted:
            handle = ready.popleft()
            if not handle._cancelled:  # noqa: SLF001 - what asyncio's own loops read
                handle._run()  # noqa: SLF001

    def current(self) -> Strand:
        """Return the strand that runs now; a callback outside any strand counts as the root."""
        task = asyncio.current_task(self)
        if task is None and self._root is not None and self._is_running:
            return self._root
        if not isinstance(task, Strand):
            raise UsageError(
                "no_strand", "a call was asked outside the agent", hint="await it in the agent's coroutine"
            )
        return task

    def advance_to(self, now_s: float) -> None:
        """Let virtual time be at least `now_s`."""
        self._now_s = max(self._now_s, now_s)

    def strays(self) -> Iterator[tuple[Strand, BaseException]]:
        """Yield the strands that failed without anybody looking, the root apart."""
        for strand in self._strands:
            if strand is not self._root and _failed_unseen(strand):
                error = strand.exception()
                if error is not None and not isinstance(error, Suspend):
                    yield strand, error

    def close(self) -> None:
        """Drop all strands, the last started first: each unwinds from where it waits, and asks nothing any more."""
        if self._is_closed:
            return
        self._is_closed = self.halted = True
        self._ready.clear()
        open_strands = [strand for strand in reversed(self._strands) if not strand.done()]
        for strand in self._strands:
            strand._log_traceback = False  # noqa: SLF001 - told by `strays`
            strand._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - dropped on purpose
        self._strands.clear()
        if open_strands:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # what was made and not yet awaited goes with the rest
                for strand in open_strands:
                    _unwind(strand.get_coro())
        self._ready.clear()

    # ---- what asyncio asks of a loop ---------------------------------------------------------------------

    def time(self) -> float:
        """Return virtual seconds: they advance with delivered timers, and with journaled time where it was asked."""
        return self._now_s

    def call_soon(  # type: ignore[override]  # typeshed ties the arguments to the callback
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Run `callback` in this step, after what is ready already."""
        handle = asyncio.Handle(callback, args, self, context)
        if not self._is_closed:
            self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]  # typeshed ties the arguments to the callback
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run `callback` after a durable timer of `delay` seconds."""
        return self._timer(
            self._now_s + delay, delay, asyncio.TimerHandle(self._now_s + delay, callback, args, self, context)
        )

    def call_at(  # type: ignore[override]  # typeshed ties the arguments to the callback
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run `callback` after a durable timer that ends at `when` of virtual time."""
        return self._timer(when, when - self._now_s, asyncio.TimerHandle(when, callback, args, self, context))

    def _timer(self, when: float, seconds: float, handle: asyncio.TimerHandle) -> asyncio.TimerHandle:
        if self._is_closed:
            return handle
        if seconds <= 0:
            self._ready.append(handle)
            return handle

        def fire() -> None:
            self.advance_to(when)
            self._ready.append(handle)

        self._on_timer(self.current(), round(seconds, 6), fire)
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future of this loop."""
        return Mark(self, next(self._numbers))

    def create_task(
        self, coro: Any, *, name: object = None, context: Context | None = None, **_options: Any
    ) -> asyncio.Task[Any]:
        """Start `coro` as the next child strand of the strand that runs now."""
        if self._is_closed:
            coro.close()
            raise Suspend
        parent = self.current()
        parent.children += 1
        strand = self._strand(coro, parent.below(str(parent.children)), context)
        if name is not None:
            strand.set_name(name)
        return strand

    def _strand(self, coro: Coroutine[Any, Any, Any], path: str, context: Context | None) -> Strand:
        if len(self._strands) >= self._prune_at:
            self._strands = [strand for strand in self._strands if not strand.done() or _failed_unseen(strand)]
            self._prune_at = max(_PRUNE_MIN, 2 * len(self._strands))
        strand = Strand(coro, self, path, next(self._numbers), context)
        self._strands.append(strand)
        return strand

    def _generator_dropped(self, generator: AsyncGenerator[Any, Any]) -> None:
        if not self._is_closed:
            self._generators += 1
            _ = self._strand(generator.aclose(), f"g{self._generators}", None)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what went wrong in a callback; it is told when the agent ends."""
        if not self._is_closed:
            error = context.get("exception")
            self.failures.append(f"{type(error).__name__}: {error}" if error else str(context.get("message")))

    def is_running(self) -> bool:
        """Tell whether a step is under way."""
        return self._is_running

    def is_closed(self) -> bool:
        """Tell whether the strands were dropped."""
        return self._is_closed

    def get_debug(self) -> bool:
        """Return False: debugging asyncio would read the clock."""
        return False

    def get_task_factory(self) -> None:
        """Return None: strands are made in one way."""
        return

    async def shutdown_asyncgens(self) -> None:
        """Do nothing: generators end with their strands."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - its signature
        """Do nothing: there are no threads."""

    def _timer_handle_cancelled(self, _handle: asyncio.TimerHandle) -> None:
        """Do nothing: a cancelled handle is skipped when its timer ends."""


def _failed_unseen(strand: Strand) -> bool:
    return strand.done() and strand._log_traceback  # noqa: SLF001


def _unwind(coro: Any) -> None:
    """Close a coroutine that may wait again while it unwinds, or fail; nobody is left to tell."""
    for _ in range(CLOSINGS_MAX):
        try:
            coro.close()
        except RuntimeError:
            continue
        except (Exception, Suspend):
            return
        return


def _refuse(name: str) -> Callable[..., Any]:
    def refused(_loop: Loop, *_args: Any, **_options: Any) -> Any:
        raise UsageError(
            "not_in_an_agent",
            f"`{name}` cannot be used in an agent: it could not be replayed",
            hint="do it in a tool: `@tool` functions may use threads, files and the network",
        )

    return refused


_KEPT = frozenset(Loop.__dict__)
for _name in dir(asyncio.AbstractEventLoop):
    if not _name.startswith("_") and _name not in _KEPT:
        setattr(Loop, _name, _refuse(_name))

_as_completed = asyncio.as_completed


def as_completed(fs: Iterable[Any], *, timeout: float | None = None) -> Any:
    """Start the coroutines in the order given, in an agent; asyncio's own goes by their addresses."""
    if isinstance(asyncio._get_running_loop(), Loop) and not asyncio.isfuture(fs) and not asyncio.iscoroutine(fs):  # noqa: SLF001
        fs = [asyncio.ensure_future(item) for item in dict.fromkeys(fs)]
    return _as_completed(fs, timeout=timeout)


asyncio.as_completed = asyncio.tasks.as_completed = as_completed
