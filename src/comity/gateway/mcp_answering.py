"""How one MCP request is answered: as JSON where that is quick, else by an answer that begins at once and stays alive.

To a client that takes event streams it is one, with comments or notifications of progress; to any other it is JSON
with blanks in front. So nobody waits in silence, and a client's patience with silence does not matter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from comity.core.clock import Clock
from comity.gateway.exchange import Exchange, Header
from comity.gateway.mcp_wire import BAD_REQUEST, RpcError, RpcRequest

QUICK_S: Final = 0.2
"""What takes longer is answered by an answer that has begun before it is there."""
BEAT_S: Final = 4.0
"""A sign of life so often: many HTTP clients take five seconds of silence for an end."""
_JSON, _SSE = b"application/json", b"text/event-stream"


class Answering:
    """The answer to one request."""

    def __init__(self, exchange: Exchange, clock: Clock) -> None:
        """Look at what the client takes.

        Raises:
            RpcError: neither JSON nor an event stream.
        """
        self._exchange = exchange
        self._clock = clock
        self._since_s = clock.monotonic_s()
        self._is_sse, takes_json = _accepted(exchange.header(b"accept"))
        self.request: RpcRequest | None = None
        if not self._is_sse and not takes_json:
            error = RpcError(
                BAD_REQUEST, "the client takes neither JSON nor an event stream", "accept application/json"
            )
            error.status = 406
            raise error

    async def wait(self, work: asyncio.Future[Any], limit_s: float | None = None) -> bool:
        """Return True once `work` is done, False after `limit_s` of waiting.

        Raises:
            ClientLeft: the client went away; `work` goes on.
        """
        await asyncio.sleep(0)  # most work is done in one turn of the loop
        until_s = None if limit_s is None else self._clock.monotonic_s() + limit_s
        while not work.done():
            pause_s = BEAT_S if self._exchange.has_begun else QUICK_S
            if until_s is not None:
                left_s = until_s - self._clock.monotonic_s()
                if left_s <= 0:
                    return False
                pause_s = min(pause_s, left_s)
            await self._exchange.wait(self._done_or_late(work, pause_s))
            if not work.done():
                await self._beat()
        return True

    async def result(self, data: bytes) -> bool:
        """Send the answer; tell whether the client was still there."""
        return await self._last(200, data, ())

    async def error(self, error: RpcError) -> None:
        """Send an error as the answer."""
        if self.request is not None:
            error.id = self.request.id
        await self._last(error.status_for(self.request), error.encoded(), error.headers)

    async def _last(self, status: int, data: bytes, headers: Sequence[Header]) -> bool:
        if not self._exchange.has_begun:
            return await self._exchange.answer(status, data, headers)
        await self._exchange.write(_event(data) if self._is_sse else data)
        return await self._exchange.end()

    async def _beat(self) -> None:
        if not self._exchange.has_begun:
            kind = _SSE if self._is_sse else _JSON
            headers = [(b"content-type", kind), (b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
            await self._exchange.begin(200, headers)
        if not self._is_sse:
            await self._exchange.write(b"\n")
        elif self.request is not None and self.request.progress_token is not None:
            taken_s = round(self._clock.monotonic_s() - self._since_s, 3)
            await self._exchange.write(_event(self.request.progress(taken_s, "the call goes on")))
        else:
            await self._exchange.write(b": the call goes on\n\n")

    async def _done_or_late(self, work: asyncio.Future[Any], pause_s: float) -> None:
        alarm = asyncio.ensure_future(self._clock.sleep(pause_s))
        try:
            await asyncio.wait({work, alarm}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            alarm.cancel()


def _accepted(header: str) -> tuple[bool, bool]:
    """Return whether a client takes event streams (it must say so), and whether JSON (it need not)."""
    kinds = {part.partition(";")[0].strip().lower() for part in header.split(",")}
    takes_sse = bool(kinds & {_SSE.decode(), "text/*"})
    return takes_sse, bool(kinds & {_JSON.decode(), "application/*", "*/*", ""})


def _event(data: bytes) -> bytes:
    return b"event: message\ndata: " + data + b"\n\n"
