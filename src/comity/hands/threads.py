"""A thread for each synchronous tool: a hanging one holds up no other, and none keeps the process alive."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from contextvars import Context
from queue import SimpleQueue

from comity.journal.call import Attempt

Work = Callable[[], object]
IDLE_MAX = 4


class ToolThreads:
    """Runs each piece of work on a thread that does nothing else meanwhile; a few that are done wait for the next."""

    def __init__(self) -> None:
        self._idle: list[SimpleQueue[Work]] = []

    def run(self, work: Work) -> None:
        """Run `work`, which does not raise.

        Raises:
            RuntimeError: The machine has no room for another thread; the work was not begun.
        """
        try:
            inbox = self._idle.pop()
        except IndexError:
            inbox = SimpleQueue()
            threading.Thread(target=self._live, args=(inbox,), name="comity-tool", daemon=True).start()
        inbox.put(work)

    def run_for_loop(self, work: Callable[[], Attempt]) -> asyncio.Future[Attempt]:
        """Run `work` and return its attempt on this loop.

        Raises:
            RuntimeError: As `run`.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Attempt] = loop.create_future()

        def settle(attempt: Attempt) -> None:
            if not future.done():
                future.set_result(attempt)

        def work_and_tell() -> None:
            attempt = work()
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, attempt)

        self.run(work_and_tell)
        return future

    def _live(self, inbox: SimpleQueue[Work]) -> None:
        while True:
            Context().run(inbox.get())
            if len(self._idle) >= IDLE_MAX:
                return
            self._idle.append(inbox)
