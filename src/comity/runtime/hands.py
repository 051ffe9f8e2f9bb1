"""The `Hand` port over processes: each task's tools run in a hand of their own; one that is killed harms one task."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, Awaitable, Callable

import msgspec

from comity.core.codec import canonical
from comity.core.errors import ComityError, HandsError
from comity.core.ids import Id, show_id
from comity.journal.call import Attempt, Call, CallContext, Permit
from comity.journal.ports import OnProgress
from comity.journal.protocol import Complete, Delta, Perform
from comity.journal.spec import ToolSpec
from comity.runtime.handlink import HandLink
from comity.runtime.zygotes import Zygotes

FileOf = Callable[[Id], Awaitable[str]]
"""Gives the agent file of a task; raises UsageError where there is none."""

log = logging.getLogger("comity.runtime")

MASK = "[hidden]"
SECRET_CHARS_MIN = 8
"""Shorter values of `hand_env` are not taken for secrets: masking them would tear results apart."""


class ProcessHands:
    """Performs tools in hand processes. `pids` tells the hand of each task that has one.

    A hand is forked at a task's first call, kept for the next, and ended by `release` when the task leaves the node.
    """

    def __init__(self, zygotes: Zygotes, file_of: FileOf, secrets: tuple[str, ...] = ()) -> None:
        """Fork hands from `zygotes`; `secrets`, which hands are configured with, are masked in what tools say."""
        self._masks = [(text, canonical(text)[1:-1]) for text in secrets]
        self._zygotes = zygotes
        self._file_of = file_of
        self._links: dict[Id, asyncio.Task[HandLink]] = {}
        self._running: dict[Permit, tuple[HandLink, int, asyncio.Future[Attempt]]] = {}
        self._lease_until_s = math.inf
        self.pids: dict[Id, int] = {}

    async def perform(self, permit: Permit, call: Call, tool: ToolSpec, on_progress: OnProgress) -> Attempt:
        """Perform one attempt in the task's hand; a hand that dies under it ends it `unknown`, whatever its class."""
        context = CallContext(show_id(permit.task), permit.key, permit.attempt, tool.name)
        order = Perform(0, tool.name, call.args, context, permit.expires_s)
        if not self._masks:
            return await self._ordered(permit, order, on_progress)
        attempt = await self._ordered(permit, order, lambda text, part: on_progress(self._hidden(text), part))
        value = attempt.value
        for _, spelt in self._masks:
            value = value.replace(spelt, MASK.encode())
        return msgspec.structs.replace(attempt, value=value, error=self._hidden(attempt.error))

    def _hidden(self, text: str) -> str:
        """Return `text` without secrets: neither brain nor journal may see one (promise P5)."""
        for secret, _ in self._masks:
            text = text.replace(secret, MASK)
        return text

    async def cancel(self, permit: Permit) -> None:
        """End a running attempt and return when it is over: its hand ends too where the tool cannot be interrupted."""
        running = self._running.get(permit)
        if running is not None:
            link, number, future = running
            link.cancel(number)
            await asyncio.wait([future])

    async def complete(self, permit: Permit, name: str, request: bytes) -> AsyncGenerator[Delta]:
        """Let the scripted model `name` of the file behind `permit` answer; the last delta carries the message.

        Raises:
            HandsError: It gave no answer.
        """
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        order = Complete(0, name, request)
        work = asyncio.create_task(self._ordered(permit, order, lambda text, _: pieces.put_nowait(text)))
        work.add_done_callback(lambda _: pieces.put_nowait(None))
        try:
            while (text := await pieces.get()) is not None:
                yield Delta(text)
        finally:
            work.cancel() if not work.done() else None
        attempt = await work
        if attempt.end != "done":
            raise HandsError("model_failed", attempt.error, retry="redo")
        yield Delta("", attempt.value, finish="stop")

    def told_lease(self, until_s: float) -> None:
        """Tell all hands, those to come too, how long the node's lease lasts (monotonic seconds)."""
        self._lease_until_s = until_s
        for task in self._links.values():
            link = _found(task)
            if link is not None:
                link.tell_lease(until_s)

    def release(self, task: Id) -> None:
        """End the hand of a task that leaves this node."""
        starting = self._links.pop(task, None)
        if starting is not None:
            starting.add_done_callback(_kill)

    def close(self) -> None:
        """End all hands."""
        for task in list(self._links):
            self.release(task)

    async def _ordered(self, permit: Permit, order: Perform | Complete, on_progress: OnProgress) -> Attempt:
        while True:
            try:
                link = await self._link(permit.task)
            except ComityError as error:
                hint = f" ({error.hint})" if error.hint else ""
                return Attempt("failed", error=f"no hand could be started: {error.message}{hint}")
            sent = link.perform(order, on_progress)
            if sent is not None:
                break
            self._forget(permit.task, link)  # it died a moment ago, before it could hear of this; another takes over
        number, future = sent
        if isinstance(order, Perform):
            self._running[permit] = (link, number, future)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if isinstance(order, Perform):
                link.cancel(number)
            raise
        finally:
            if isinstance(order, Perform):
                del self._running[permit]

    async def _link(self, task: Id) -> HandLink:
        starting = self._links.get(task)
        if starting is not None and starting.done():
            link = _found(starting)
            if link is not None and not link.is_gone:
                return link
            starting = None
        if starting is None:
            starting = self._links[task] = asyncio.create_task(self._start(task))
        return await asyncio.shield(starting)

    async def _start(self, task: Id) -> HandLink:
        who = f"hand {show_id(task)}"

        def gone(how: str) -> None:
            self._forget(task, link)
            log.info("%s (pid %d) is gone: %s", who, link.pid, how)

        link = HandLink(gone)
        child = await self._zygotes.fork("hand", await self._file_of(task), who, link.exited)
        link.connect(child, self._lease_until_s)
        self.pids[task] = link.pid
        log.info("%s has pid %d", who, link.pid)
        return link

    def _forget(self, task: Id, link: HandLink) -> None:
        starting = self._links.get(task)
        if starting is not None and _found(starting) is link:
            del self._links[task]
        if self.pids.get(task) == link.pid:
            del self.pids[task]


def _found(starting: asyncio.Task[HandLink]) -> HandLink | None:
    """Return the link that a start has led to, if it has."""
    is_found = starting.done() and not starting.cancelled() and starting.exception() is None
    return starting.result() if is_found else None


def _kill(starting: asyncio.Task[HandLink]) -> None:
    link = _found(starting)
    if link is not None:
        link.kill()
