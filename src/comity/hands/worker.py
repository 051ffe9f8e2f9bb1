"""The program of a hand process: perform what the node orders, and never outlive the node's lease.

Asynchronous tools run on the main thread's loop, synchronous ones on a thread each. The loop listens; while tools run,
the guardian's thread does too, so that a tool that blocks the loop holds up neither lease nor cancellation. The process
ends itself, with all that its tools started, when its socket ends, when the lease runs out, and when a tool that cannot
be interrupted is cancelled.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial
from typing import NoReturn

from comity.core.clock import Clock, SystemClock
from comity.hands.boundary import Bound, bound, is_async, perform_async, perform_sync, undecided
from comity.hands.guardian import Guardian
from comity.hands.scripted import complete
from comity.hands.threads import ToolThreads
from comity.journal.call import Attempt
from comity.journal.framing import READ_BYTES, Frames, write_all
from comity.journal.performing import Performing
from comity.journal.program import Loaded
from comity.journal.protocol import (
    Attempted,
    Cancel,
    Complete,
    Described,
    FromHand,
    Lease,
    Perform,
    Reported,
    ToHand,
    decode_to_hand,
    frame,
)

CANCEL_GRACE_S = 1.0
REPORT_EVERY_S = 0.02


class HandWorker:
    """One hand, on the loop of the main thread."""

    def __init__(self, loaded: Loaded, fd: int, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        self._loaded = loaded
        self._socket = socket.socket(fileno=fd)
        self._clock = clock
        self._loop = loop
        self._specs = {spec.name: spec for spec in loaded.program.tools}
        self._frames = Frames()
        self._listening = threading.Lock()
        self._writing = threading.Lock()
        self._running: dict[int, bool] = {}
        """The attempts that run, and whether each can be interrupted."""
        self._tasks: dict[int, asyncio.Task[Attempt]] = {}
        self._cancel_until_s: dict[int, float] = {}
        self._lease_until_s = math.inf
        self._lease_end: asyncio.TimerHandle | None = None
        self._threads = ToolThreads()
        self._guardian = Guardian(lambda: bool(self._running), self._look)

    def run(self) -> NoReturn:
        """Perform until the node, or its lease, is gone."""
        try:
            self._guardian.start()
            self._loop.add_reader(self._socket, self._listen)
            self._loop.run_forever()
        finally:
            _end_loudly()

    # ---- orders; on the loop's thread, or the guardian's where the loop is blocked -----------------------

    def _listen(self) -> None:
        """Obey what has arrived; a hand that cannot, ends."""
        is_well = False
        try:
            with self._listening:
                for body in self._frames.feed(self._receive()):
                    self._obey(decode_to_hand(body))
            is_well = True
        finally:
            if not is_well:
                _end_loudly()

    def _receive(self) -> bytes:
        try:
            data = self._socket.recv(READ_BYTES, socket.MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            return b""
        except OSError:
            data = b""
        if not data:
            end_group()
        return data

    def _look(self) -> None:
        """Listen, then end where a time is up."""
        self._listen()  # first: what kept this hand waiting may have kept a renewal waiting too
        if self._clock.monotonic_s() >= min(self._lease_until_s, *self._cancel_until_s.values(), math.inf):
            end_group()

    def _obey(self, order: ToHand) -> None:
        if isinstance(order, Perform):
            self._perform(order)
        elif isinstance(order, Lease):
            self._lease_until_s = order.until_s
            self._on_loop(self._expect_lease_end)
        elif isinstance(order, Cancel):
            self._cancel(order.id)
        elif isinstance(order, Complete):
            performing = Performing(self._teller(order.id, every_s=0.0), math.inf, self._clock)
            self._begin_thread(order.id, partial(complete, self._loaded, order, performing))
        else:
            self._say(Described(self._loaded.program))

    def _perform(self, order: Perform) -> None:
        if self._clock.monotonic_s() >= self._lease_until_s:
            end_group()
        function = self._loaded.tools.get(order.tool)
        spec = self._specs.get(order.tool)
        if function is None or spec is None:
            self._say(Attempted(order.id, Attempt("failed", error=f"no tool `{order.tool}` in this agent's file")))
            return
        call = bound(function, spec, order.args, order.context)
        if isinstance(call, Attempt):
            self._say(Attempted(order.id, call))
            return
        performing = Performing(self._teller(order.id), order.expires_s, self._clock)
        if is_async(function):
            self._running[order.id] = True
            self._guardian.wake()
            self._on_loop(self._begin_task, order.id, call, performing)
        else:
            self._begin_thread(order.id, partial(perform_sync, call, performing))

    def _cancel(self, id: int) -> None:
        if id not in self._running:
            return
        if not self._running[id]:
            end_group()
        self._cancel_until_s[id] = self._clock.monotonic_s() + CANCEL_GRACE_S
        self._on_loop(self._cancel_task, id)

    def _on_loop(self, callback: Callable[..., None], *arguments: object) -> None:
        if threading.current_thread() is threading.main_thread():
            callback(*arguments)
        else:
            self._loop.call_soon_threadsafe(callback, *arguments)

    # ---- attempts ----------------------------------------------------------------------------------------

    def _begin_thread(self, id: int, work: Callable[[], Attempt]) -> None:
        self._running[id] = False
        self._guardian.wake()
        try:
            self._threads.run(lambda: self._finish(id, work()))
        except RuntimeError as error:
            self._finish(id, Attempt("failed", error=f"no thread could be started: {error}"))

    def _begin_task(self, id: int, call: Bound, performing: Performing) -> None:
        task = self._loop.create_task(perform_async(call, performing))
        self._tasks[id] = task
        task.add_done_callback(partial(self._end_task, id, call.acts))

    def _end_task(self, id: int, acts: bool, task: asyncio.Task[Attempt]) -> None:  # noqa: FBT001 (bound by `partial`)
        del self._tasks[id]
        self._finish(id, undecided("cancelled while it ran", acts=acts) if task.cancelled() else task.result())

    def _cancel_task(self, id: int) -> None:
        task = self._tasks.get(id)
        if task is not None:
            task.cancel()

    def _finish(self, id: int, attempt: Attempt) -> None:
        self._running.pop(id, None)
        self._cancel_until_s.pop(id, None)
        self._say(Attempted(id, attempt))

    # ---- the rest ----------------------------------------------------------------------------------------

    def _expect_lease_end(self) -> None:
        if self._lease_end is not None:
            self._lease_end.cancel()
        self._lease_end = (
            None if self._lease_until_s == math.inf else self._loop.call_at(self._lease_until_s, self._look)
        )

    def _teller(self, id: int, every_s: float = REPORT_EVERY_S) -> Callable[[str, float | None], None]:
        """Return what sends an attempt's progress; words that come too soon after another are left out."""
        next_s = -math.inf

        def tell(text: str, fraction: float | None) -> None:
            nonlocal next_s
            now_s = self._clock.monotonic_s()
            if now_s >= next_s or fraction == 1.0:
                next_s = now_s + every_s
                self._say(Reported(id, text, fraction))

        return tell

    def _say(self, message: FromHand) -> None:
        data = frame(message)
        try:
            with self._writing:
                write_all(self._socket.fileno(), data)
        except OSError:
            end_group()


def serve(loaded: Loaded, fd: int) -> None:
    """Be a hand over the socket `fd`, until its end or the lease's."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    HandWorker(loaded, fd, SystemClock(), loop).run()


def end_group() -> NoReturn:
    """End this process and those that its tools started."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _end_loudly() -> NoReturn:
    """End, with the traceback of what broke this hand in the log."""
    if sys.exc_info()[0] is not None:
        traceback.print_exc()
    end_group()
