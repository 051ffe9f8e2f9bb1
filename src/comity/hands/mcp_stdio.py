"""The `mcp` library's transport over a server process: one JSON-RPC message a line."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Protocol, Self

import anyio
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCRequest, jsonrpc_message_adapter

from comity.core.errors import HandsError
from comity.hands.mcp_sending import SENDING, NotSent, Sending

STOP_GRACE_S = 1.0
END_S_MAX = 0.5
"""How long a server may take to end once it has closed its output."""

log = logging.getLogger("comity.hands")


class ServerProcess(Protocol):
    """A server process, as its transport sees it."""

    ended: asyncio.Future[str]
    """How it ended, in words."""

    async def read_line(self) -> bytes:
        """Return the next line that it writes, or nothing at its end."""
        ...

    async def write(self, data: bytes, may_begin: Callable[[], bool]) -> bool:
        """Write `data`; False where `may_begin`, asked before the first byte leaves, said no."""
        ...

    def tell_lease(self, until_s: float) -> None:
        """Tell how long it may live (monotonic seconds)."""
        ...

    async def stop(self, grace_s: float) -> None:
        """End it, and return when it is gone."""
        ...


class StdioWay:
    """A connection to a server process that is started for it. `lost` is set when nothing more will come from it."""

    def __init__(self, start: Callable[[], Awaitable[ServerProcess]], name: str) -> None:
        """Start the process of upstream `name` by `start`, once the connection is entered."""
        self.lost = asyncio.Event()
        self.trouble = ""
        self._start = start
        self._name = name
        self._process: ServerProcess | None = None
        self._lease_until_s = 0.0
        self._writing = asyncio.Lock()

    def tell_lease(self, until_s: float) -> None:
        """Tell the server how long the node's lease lasts."""
        self._lease_until_s = until_s
        if self._process is not None:
            self._process.tell_lease(until_s)

    async def __aenter__(self) -> tuple[_Reader, _Writer]:
        """Start the server."""
        self._process = await self._start()
        if self._lease_until_s:
            self._process.tell_lease(self._lease_until_s)
        return _Reader(self), _Writer(self)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the server."""
        if isinstance(error, Exception):
            await self._hear_the_end()
        self.lost.set()
        if self._process is not None:
            await self._process.stop(STOP_GRACE_S)

    async def read(self) -> SessionMessage | Exception | None:
        """Return the next message, what was none, or None at the end."""
        assert self._process is not None
        try:
            line = await self._process.read_line()
        except HandsError as error:
            self.trouble, line = error.message, b""
        if not line:
            await self._hear_the_end()
            self.lost.set()
            return None
        try:
            return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
        except ValueError as error:
            log.warning("upstream `%s` wrote what is no message: %s", self._name, line[:200].decode(errors="replace"))
            return error

    async def _hear_the_end(self) -> None:
        """Learn how the server ended, where it is about to."""
        if self._process is not None and not self.trouble:
            ended = self._process.ended
            await asyncio.wait([ended], timeout=END_S_MAX)
            self.trouble = f"the server {ended.result()}" if ended.done() else "the server closed its output"

    async def write(self, message: SessionMessage) -> None:
        """Write a message whole, though the caller be cancelled meanwhile.

        Raises:
            NotSent: its permit had run out before the first byte left.
            anyio.BrokenResourceError: the server has ended.
        """
        is_call = isinstance(message.message, JSONRPCRequest) and message.message.method == "tools/call"
        data = message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
        work = asyncio.ensure_future(self._write(data, SENDING.get() if is_call else None))
        is_written = await asyncio.shield(work)
        if is_written is None:
            raise anyio.BrokenResourceError
        if not is_written:
            raise NotSent

    async def _write(self, data: bytes, sending: Sending | None) -> bool | None:
        """Tell whether it was written; None where the server has ended."""
        assert self._process is not None
        async with self._writing:
            try:
                return await self._process.write(data, sending.may_begin if sending is not None else _always)
            except OSError:
                return None


class _Stream:
    """What both directions share: they are closed with the connection, not by themselves."""

    def __init__(self, way: StdioWay) -> None:
        self._way = way

    async def aclose(self) -> None:
        """Leave it to the connection."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class _Reader(_Stream):
    async def receive(self) -> SessionMessage | Exception:
        found = await self._way.read()
        if found is None:
            raise anyio.EndOfStream
        return found

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        found = await self._way.read()
        if found is None:
            raise StopAsyncIteration
        return found


class _Writer(_Stream):
    async def send(self, item: SessionMessage, /) -> None:
        await self._way.write(item)


def _always() -> bool:
    return True
