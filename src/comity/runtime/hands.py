"""The `Hand` port over processes and upstreams: each task's tools run in hands of their own, foreign ones elsewhere.

A hand that is killed harms one task.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, Awaitable, Callable

from comity.core.errors import ComityError, HandsError
from comity.core.ids import Id, show_id
from comity.hands.boundary import not_made
from comity.hands.masks import Masks
from comity.journal.call import Attempt, Call, CallContext, Permit
from comity.journal.ports import Hand, OnProgress
from comity.journal.protocol import Complete, Delta, Perform
from comity.journal.spec import ToolSpec
from comity.runtime.handlink import HandLink
from comity.runtime.zygotes import Zygotes

FileOf = Callable[[Id], Awaitable[str]]
"""Gives the agent file of a task; raises UsageError where there is none."""

log = logging.getLogger("comity.runtime")

_NO_TOOL = ToolSpec("")
"""What a scripted model's hand is asked for."""
Place = tuple[Id, str]
"""A task, and the tool file that its hand has loaded; "" is the task's own agent file."""


class HandsByTool:
    """Performs each tool where it is: one of an upstream there, any other in a process here."""

    def __init__(self, inside: Hand) -> None:
        """Perform by `inside` what is not an upstream's."""
        self._inside = inside
        self.upstreams: Hand | None = None

    async def perform(self, permit: Permit, call: Call, tool: ToolSpec, on_progress: OnProgress) -> Attempt:
        """Perform one attempt; the permit is looked at last."""
        if not tool.server:
            return await self._inside.perform(permit, call, tool, on_progress)
        if self.upstreams is None:
            return Attempt("failed", error=f"this node reaches no upstream `{tool.server}`", code="no_such_upstream")
        return await self.upstreams.perform(permit, call, tool, on_progress)

    async def cancel(self, permit: Permit) -> None:
        """End a running attempt; it ends `unknown`."""
        await self._inside.cancel(permit)
        if self.upstreams is not None:
            await self.upstreams.cancel(permit)

    def release(self, task: Id) -> None:
        """Let go of what is kept for a task that leaves this node."""
        self._inside.release(task)
        if self.upstreams is not None:
            self.upstreams.release(task)


class ProcessHands:
    """Performs tools in hand processes. `pids` tells the newest hand of each task that has one.

    A hand is forked at a task's first call of a tool of its file, kept for the next, and ended by `release` when the
    task leaves the node.
    """

    def __init__(self, zygotes: Zygotes, file_of: FileOf, masks: Masks) -> None:
        """Fork hands from `zygotes`; what they are configured with is masked in what tools say."""
        self._masks = masks
        self._zygotes = zygotes
        self._file_of = file_of
        self._links: dict[Place, asyncio.Task[HandLink]] = {}
        self._running: dict[Permit, tuple[HandLink, int, asyncio.Future[Attempt]]] = {}
        self._lease_until_s = math.inf
        self.pids: dict[Id, int] = {}

    async def perform(self, permit: Permit, call: Call, tool: ToolSpec, on_progress: OnProgress) -> Attempt:
        """Perform one attempt in the task's hand; a hand that dies under it ends it `unknown`, whatever its class."""
        context = CallContext(show_id(permit.task), permit.key, permit.attempt, tool.name)
        order = Perform(0, tool.name, call.args, context, permit.expires_s)
        return self._masks.attempt(await self._ordered(permit, order, self._masks.progress(on_progress), tool))

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
        """End the hands of a task that leaves this node."""
        for place in [place for place in self._links if place[0] == task]:
            self._links.pop(place).add_done_callback(_kill)

    def close(self) -> None:
        """End all hands."""
        for task, _ in list(self._links):
            self.release(task)

    async def _ordered(
        self, permit: Permit, order: Perform | Complete, on_progress: OnProgress, tool: ToolSpec = _NO_TOOL
    ) -> Attempt:
        place = (permit.task, tool.file)
        while True:
            try:
                link = await self._link(place)
            except ComityError as error:
                hint = f" ({error.hint})" if error.hint else ""
                attempt = Attempt("failed", error=f"no hand could be started: {error.message}{hint}")
                return not_made(attempt, permit, tool.effect)
            sent = link.perform(order, on_progress)
            if sent is not None:
                break
            self._forget(place, link)  # it died a moment ago, before it could hear of this; another takes over
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

    async def _link(self, place: Place) -> HandLink:
        starting = self._links.get(place)
        if starting is not None and starting.done():
            link = _found(starting)
            if link is not None and not link.is_gone:
                return link
            starting = None
        if starting is None:
            starting = self._links[place] = asyncio.create_task(self._start(place))
        return await asyncio.shield(starting)

    async def _start(self, place: Place) -> HandLink:
        task, file = place
        who = f"hand {show_id(task)}"

        def gone(how: str) -> None:
            self._forget(place, link)
            log.info("%s (pid %d) is gone: %s", who, link.pid, how)

        link = HandLink(gone)
        child = await self._zygotes.fork("hand", file or await self._file_of(task), who, link.exited)
        link.connect(child, self._lease_until_s)
        self.pids[task] = link.pid
        log.info("%s has pid %d", who, link.pid)
        return link

    def _forget(self, place: Place, link: HandLink) -> None:
        starting = self._links.get(place)
        if starting is not None and _found(starting) is link:
            del self._links[place]
        if self.pids.get(place[0]) == link.pid:
            del self.pids[place[0]]


def _found(starting: asyncio.Task[HandLink]) -> HandLink | None:
    """Return the link that a start has led to, if it has."""
    is_found = starting.done() and not starting.cancelled() and starting.exception() is None
    return starting.result() if is_found else None


def _kill(starting: asyncio.Task[HandLink]) -> None:
    link = _found(starting)
    if link is not None:
        link.kill()
