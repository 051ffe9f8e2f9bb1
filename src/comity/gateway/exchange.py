"""One HTTP exchange over ASGI: a body with its limit, an answer piece by piece, and whether the client is there.

Nothing is silent for long: whoever waits for an answer is sent something now and then, if the format has such a thing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from starlette.types import Message, Receive, Scope, Send

from comity.core.clock import Clock
from comity.gateway.refusal import Refusal

T = TypeVar("T")
Beat = Callable[[], Awaitable[None]]
"""Sends the client a sign of life."""
QUIET_S = 15.0
_FIRST = asyncio.FIRST_COMPLETED
Header = tuple[bytes, bytes]


class ClientLeft(Exception):
    """The client went away; what it asked for goes on."""


class Exchange:
    """A request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, clock: Clock, body_bytes_max: int) -> None:
        """Take the parts of an ASGI call."""
        self.scope = scope
        self._receive = receive
        self._send = send
        self._clock = clock
        self._body_bytes_max = body_bytes_max
        self._watch: asyncio.Task[None] | None = None
        self._left: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.has_begun = False
        self.unanswered = 0
        """How often another node that the request was passed on to gave no answer."""

    def header(self, name: bytes) -> str:
        """Return a request header, an empty string where it is absent."""
        return next((value.decode("latin-1") for key, value in self.scope["headers"] if key == name), "")

    @property
    def client_is_there(self) -> bool:
        """Tell whether the client has not been seen to go away."""
        return not self._left.done()

    async def body(self) -> bytes:
        """Return the request's body; from then on it is seen when the client goes away.

        Raises:
            Refusal: it is above the limit.
            ClientLeft: the client went away before it was whole.
        """
        pieces = bytearray()
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            pieces += message.get("body", b"")
            if len(pieces) > self._body_bytes_max:
                text = f"the body has more than {self._body_bytes_max} bytes"
                raise Refusal(413, "body_too_large", text, "raise `server.body_bytes_max` in comity.toml")
            if not message.get("more_body"):
                break
        self._watch = asyncio.ensure_future(self._see_it_leave())
        return bytes(pieces)

    async def wait(self, work: Awaitable[T], beat: Beat | None = None, quiet_s: float = QUIET_S) -> T:
        """Return what `work` comes to; meanwhile `beat` after each silence of `quiet_s`.

        Raises:
            ClientLeft: the client went away first; `work` is cancelled, since others may wait for the same.
        """
        task = asyncio.ensure_future(work)
        try:
            while True:
                alarm = asyncio.ensure_future(self._clock.sleep(quiet_s)) if beat is not None else None
                waits: set[asyncio.Future[Any]] = {task, self._left}
                await asyncio.wait(waits | {alarm} if alarm is not None else waits, return_when=_FIRST)
                if alarm is not None:
                    alarm.cancel()
                if task.done():
                    return task.result()
                if self._left.done():
                    raise ClientLeft
                if beat is not None:
                    await beat()
        finally:
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def begin(self, status: int, headers: Iterable[Header]) -> None:
        """Send the status line and headers."""
        self.has_begun = True
        await self._send({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def write(self, data: bytes) -> None:
        """Send a piece of the answer's body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> bool:
        """Send the last piece; tell whether the client was still there."""
        await self._send({"type": "http.response.body", "body": data, "more_body": False})
        is_there = self.client_is_there
        self.close()
        return is_there

    async def answer(self, status: int, body: bytes, headers: Sequence[Header] = (), type: bytes = b"") -> bool:
        """Send a whole answer; tell whether the client was still there."""
        named = (b"content-type", type or b"application/json")
        await self.begin(status, (named, (b"content-length", str(len(body)).encode()), *headers))
        return await self.end(body)

    def close(self) -> None:
        """Look no longer whether the client is there."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    async def _see_it_leave(self) -> None:
        message: Message = {"type": ""}
        while message["type"] != "http.disconnect":
            message = await self._receive()
        if not self._left.done():
            self._left.set_result(None)
