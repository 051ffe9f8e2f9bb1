"""One HTTP/1.1 connection to an upstream: a request goes out, its answer comes back, and then the next may.

A general client costs as much as all the rest of a call; this one does what a model call needs and no more. httptools
reads what comes. Nothing that an upstream sends is trusted: heads and pauses have limits, and whatever comes unasked
closes the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

from comity.core.errors import ComityError
from comity.models import failure

HEAD_BYTES_MAX = 65_536
BUFFER_BYTES_MAX = 1_048_576
"""So much of an answer is held for a slow reader; then the upstream has to wait."""


class Connection(asyncio.Protocol):
    """A connection and the answer that comes on it."""

    def __init__(self, name: str, silence_s: float) -> None:
        """Serve upstream `name`, which may be silent for `silence_s` within an answer."""
        self._name = name
        self._silence_s = silence_s
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._heard_s = 0.0
        self._parser: httptools.HttpResponseParser | None = None
        self._tunnel: bytearray | None = None
        self._when_over: Callable[[], None] | None = None
        self.lost: asyncio.Future[None] = self._loop.create_future()
        """Done when the connection is gone."""
        self._reset()

    def _reset(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.is_over = False
        self._head_size = 0
        self._chunks: list[bytes] = []
        self._size = 0
        self._is_paused = False
        self._error: ComityError | None = None

    @property
    def is_usable(self) -> bool:
        """Tell whether another request can be sent: the last answer is over, and nobody hung up."""
        return self.is_over and self._error is None and not self.transport.is_closing()

    @property
    def transport(self) -> asyncio.Transport:
        """Return what the connection goes over."""
        assert self._transport is not None
        return self._transport

    def secured(self, transport: asyncio.Transport) -> None:
        """Go over `transport` from now on, which encrypts."""
        self._transport = transport

    async def tunnel(self, head: bytes) -> int:
        """Ask a proxy for a way through, and return the status that it answers with."""
        self._tunnel = bytearray()
        self.transport.write(head)
        while not self.status and self._error is None:
            await self._hear()
        self._tunnel = None
        if not self.status:
            raise failure.unreachable(self._name, "the proxy sent no answer")
        status, self.status = self.status, 0
        return status

    async def ask(self, head: bytes, body: bytes) -> None:
        """Send a request and return when the head of its answer is there: `status` and `headers`.

        Raises:
            ComityError: `model_broken`, `model_timeout`; `model_unreachable` where nothing was sent.
        """
        if self._error is not None or self.transport.is_closing():
            raise failure.unreachable(self._name, "it closed the connection")
        self._reset()
        self._parser = httptools.HttpResponseParser(self)
        self._heard_s = self._loop.time()
        self._alarm = self._loop.call_later(self._silence_s, self._look_at_silence)
        self.transport.writelines((head, body))
        while not self.status and self._error is None:
            await self._hear()
        if not self.status and self._error is not None:
            raise self._error

    async def read(self) -> bytes:
        """Return what has come of the body, waiting for something; b"" at its end.

        Raises:
            ComityError: `model_broken`, `model_timeout`: it will not come to its end.
        """
        while not self._chunks and not self.is_over and self._error is None:
            await self._hear()
        if not self._chunks:
            if self._error is not None and not self.is_over:
                raise self._error
            return b""
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._empty()
        return data

    def drain(self, when_over: Callable[[], None]) -> None:
        """Throw away what is still to come of the answer, and call `when_over` at its end."""
        self._empty()
        self._when_over = when_over

    def close(self) -> None:
        """Hang up."""
        self._silence_ends()
        if self._transport is not None:
            self._transport.abort()

    # What the transport says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the way out."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        if self._tunnel is not None:
            self._take_tunnel(data)
        elif self._parser is None:
            self._fail(failure.broken(f"upstream `{self._name}` sent what nobody asked for"))
        else:
            self._heard_s = self._loop.time()
            self._take(self._parser, data)
        self._wake()

    def eof_received(self) -> None:
        """Take the end of a body that has no length of its own; the transport closes itself."""
        is_framed = b"content-length" in self.headers or b"transfer-encoding" in self.headers
        if self.status and not self.is_over and not is_framed:
            self._end()
            self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """Learn that it is gone."""
        if not self.is_over:
            self._fail(failure.broken(f"upstream `{self._name}` closed the connection"))
        self._silence_ends()
        self._wake()
        if not self.lost.done():
            self.lost.set_result(None)

    # What the parser says.

    def on_message_begin(self) -> None:
        """Refuse a second answer to one request."""
        if self.is_over:
            raise ValueError

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; of several with one name the last counts."""
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Take the status; one below 200 only announces the answer."""
        assert self._parser is not None
        status = self._parser.get_status_code()
        if status >= 200:
            self.status = status
        else:
            self.headers = {}

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body; above the limit the upstream has to wait."""
        if self._when_over is not None:
            return
        self._chunks.append(body)
        self._size += len(body)
        if self._size > BUFFER_BYTES_MAX and not self._is_paused:
            self._is_paused = True
            self.transport.pause_reading()

    def on_message_complete(self) -> None:
        """Take the end."""
        assert self._parser is not None
        if self.status:
            may_go_on = self._parser.should_keep_alive()
            self._end()
            if not may_go_on:
                self.transport.close()

    def _take(self, parser: httptools.HttpResponseParser, data: bytes) -> None:
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(failure.broken(f"upstream `{self._name}` sent what is no HTTP"))
        if not self.status:
            self._head_size += len(data)
            if self._head_size > HEAD_BYTES_MAX:
                self._fail(failure.broken(f"upstream `{self._name}` sent an endless head"))

    def _take_tunnel(self, data: bytes) -> None:
        assert self._tunnel is not None
        self._tunnel += data
        head, ended, rest = bytes(self._tunnel).partition(b"\r\n\r\n")
        words = head.split(b"\r\n", 1)[0].split(b" ")
        if len(head) > HEAD_BYTES_MAX or rest or (ended and (len(words) < 2 or not words[1].isdigit())):
            self._fail(failure.broken("the proxy sent what is no answer"))
        elif ended:
            self.status = int(words[1])

    def _empty(self) -> None:
        """Forget what came, and let the upstream go on where it had to wait."""
        self._chunks.clear()
        self._size = 0
        if self._is_paused and not self.transport.is_closing():
            self.transport.resume_reading()
        self._is_paused = False

    def _end(self) -> None:
        self.is_over = True
        self._silence_ends()
        when_over, self._when_over = self._when_over, None
        if when_over is not None:
            self._loop.call_soon(when_over)

    def _fail(self, error: ComityError) -> None:
        self._error = self._error or error
        if self._transport is not None:
            self._transport.abort()

    def _look_at_silence(self) -> None:
        """End an answer that has been silent too long; look again otherwise."""
        is_read = not self._chunks  # otherwise it is we who are slow
        left_s = self._heard_s + self._silence_s - self._loop.time() if is_read else self._silence_s
        if left_s > 0:
            self._alarm = self._loop.call_later(left_s, self._look_at_silence)
        else:
            self._fail(failure.timed_out(self._name, self._silence_s))
            self._wake()

    def _silence_ends(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    async def _hear(self) -> None:
        """Wait until something comes."""
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
