"""A reply on its way: what comes of one question, to whoever waits for it, and what became of it at the other end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from comity.gateway.question import Question, read_thought
from comity.journal.call import CallKey, Delivered, Kind, Status
from comity.journal.segment import EMPTY_HEAD
from comity.journal.wire import read_answer

if TYPE_CHECKING:
    from comity.gateway.visit import Visit


class VisitOver(Exception):
    """The visit ended before the outcome came: the node let go of the task, or another program took its place."""


class StreamBroken(Exception):
    """Part of an answer went out that is not the answer any more: the connection is cut, the retry gets the whole."""


class Pending:
    """One call of a visit, from its asking on: raw pieces as they come, then the outcome.

    A call that was under way when the visit began is told by its outcome alone (`is_live` False): the first pieces of
    its answer went to a visit before, and what comes now may begin in the middle.
    """

    def __init__(self, key: CallKey, args: bytes, delivered: Delivered | None = None, *, is_live: bool = True) -> None:
        """Wait for the outcome of `key`, which was asked with `args`, or have it."""
        thought = read_thought(args) if key.kind == Kind.MODEL else None
        self.key = key
        self.wire = thought.wire if thought is not None else ""
        self.head = bytes.fromhex(thought.head) if thought is not None else EMPTY_HEAD
        self.raw = bytearray()
        self.attempt = 0
        self.delivered = delivered
        self.is_over = False
        self._is_live = is_live
        self._changed = asyncio.Event()

    def piece(self, attempt: int, raw: bytes) -> None:
        """Take a piece of the answer; one of another attempt begins it anew."""
        if not self._is_live:
            return
        if attempt != self.attempt:
            self.attempt, self.raw = attempt, bytearray()
        self.raw += raw
        self._ring()

    def settle(self, delivered: Delivered) -> None:
        """Take the outcome, which holds all of the answer."""
        self.delivered, self.raw = delivered, bytearray()
        self._ring()

    def end(self) -> None:
        """Take note that no outcome will come here."""
        self.is_over = True
        self._ring()

    async def change(self) -> None:
        """Return when something has come since the call.

        Raises:
            VisitOver: nothing will come any more.
        """
        if self.is_over and self.delivered is None:
            raise VisitOver
        await self._changed.wait()

    def _ring(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class Reply:
    """What one request of a program is told."""

    def __init__(self, visit: Visit, question: Question, pending: Pending) -> None:
        """Wait for `pending`, the call that answers `question`."""
        self._visit = visit
        self._question = question
        self._pending = pending

    @property
    def key(self) -> CallKey:
        """Return the call whose outcome this is."""
        return self._pending.key

    async def delivered(self) -> Delivered:
        """Return the outcome, wherever the task is held by then.

        Raises:
            Refusal: the task was parked or has ended, or another program took this one's place.
            Elsewhere: another node holds the task now.
        """
        while self._pending.delivered is None:
            await self._change()
        return self._pending.delivered

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Yield the raw answer of a thought: what may go out before it is durable, and at last all the rest.

        Nothing is yielded where the outcome is no stream; see `delivered`.

        Raises:
            StreamBroken: what was yielded is not how the answer begins.
            Refusal, Elsewhere: as `delivered`.
        """
        sent = bytearray()
        while self._pending.delivered is None:
            raw = self._pending.raw
            if not raw.startswith(sent):
                raise StreamBroken
            if len(raw) > len(sent):
                piece = bytes(raw[len(sent) :])
                sent += piece
                yield piece
                continue
            await self._change()
        rest = _body(self._pending.delivered, is_asked=bool(sent))
        if not rest.startswith(sent):
            raise StreamBroken
        if len(rest) > len(sent):
            yield rest[len(sent) :]

    def handed_over(self) -> None:
        """Take note that the whole answer went out to a client that was still there."""
        self._visit.handed_over(self._pending)

    def client_left(self) -> None:
        """Take note that the client went away before it had the whole answer; the call itself goes on."""
        self._visit.client_left(self._pending)

    async def _change(self) -> None:
        """Return when something has come; where this visit ended, from the one that comes after it."""
        visit = self._visit
        visit.waiting += 1
        try:
            await self._pending.change()
        except VisitOver:
            self._visit, self._pending = await visit.successor(self._question)
        finally:
            visit.waiting -= 1


def _body(delivered: Delivered, *, is_asked: bool) -> bytes:
    if delivered.status is not Status.DONE:
        if is_asked:
            raise StreamBroken
        return b""
    answer = read_answer(delivered.value)
    return answer.body.encode() if answer.is_stream else b""
