"""A server on loopback that has events alone, and clients that watch: an event stream, a WebSocket, pages."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple, Self

import httpx2
import uvicorn
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect

from comity.core.clock import Clock, SystemClock
from comity.core.entropy import SystemEntropy
from comity.core.ids import Id, show_id
from comity.journal.ports import Store
from comity.journal.unit import OperatorSubject, StateWrite, Unit
from comity.kernel.outside import INCARNATION, incarnation_key
from comity.server.auth import Gatekeeper, Operators
from comity.server.events import routes
from comity.server.feed import Feed
from comity.server.shield import Shield

PATIENCE_S = 20.0


class Told(NamedTuple):
    """An event as a client got it."""

    event: str
    id: str
    data: Any


class Named(NamedTuple):
    """Whom a token of these tests names."""

    task: Id
    incarnation: int


class PlainTokens:
    """Tokens of tasks that anybody could make."""

    def mint(self, task: Id, incarnation: int) -> str:
        return f"ct_{task.hex()}-{incarnation}"

    def read(self, token: str) -> Named | None:
        task, _, incarnation = token.removeprefix("ct_").partition("-")
        return Named(bytes.fromhex(task), int(incarnation)) if token.startswith("ct_") else None


class Serving:
    """The server, its feed, and an operator's token. It may be entered again, at the same address."""

    def __init__(self, store: Store, clock: Clock | None = None, **options: Any) -> None:
        self.store = store
        self.clock = clock or SystemClock()
        self.port = 0
        self._options = options
        self.tokens = PlainTokens()
        self.operators = Operators(store, self.clock, SystemEntropy())
        self.token = self.operators.passing()

    async def __aenter__(self) -> Self:
        self.feed = Feed(self.store, self.clock, **self._options)
        gatekeeper = Gatekeeper(self.store, self.operators, self.tokens)
        app = Shield(Starlette(routes=routes(self.feed, gatekeeper, self.store, self.clock)), ())
        config = uvicorn.Config(
            app,
            loop="none",
            http="httptools",
            ws="websockets-sansio",
            lifespan="off",
            log_config=None,
            access_log=False,
            ws_ping_interval=None,
            ws_per_message_deflate=False,
        )
        self.socket = socket.create_server(("127.0.0.1", self.port))
        self.port = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.server = _Uvicorn(config)
        self._serving = asyncio.ensure_future(self.server.serve(sockets=[self.socket]))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.feed.close()
        self.server.should_exit = True
        async with asyncio.timeout(PATIENCE_S):
            await self._serving
        self.socket.close()

    async def token_of(self, task: Id) -> str:
        """Return the token of a task's first incarnation."""
        write = StateWrite(INCARNATION, incarnation_key(task), b"null")
        await self.store.commit([Unit(OperatorSubject("test"), state=(write,))])
        return self.tokens.mint(task, 1)

    def path(self, task: Id | None) -> str:
        return f"/api/v1/tasks/{show_id(task)}/events" if task else "/api/v1/events"

    def headers(self, token: str = "", **more: str) -> dict[str, str]:
        return {"authorization": f"Bearer {token or self.token}", **more}

    async def get(self, task: Id | None, query: str = "", token: str = "", **headers: str) -> httpx2.Response:
        """Ask for a page, or for what refuses."""
        async with httpx2.AsyncClient(timeout=PATIENCE_S) as client:
            return await client.get(self.url + self.path(task) + query, headers=self.headers(token, **headers))

    @contextlib.asynccontextmanager
    async def stream(
        self, task: Id | None, query: str = "", token: str = "", **headers: str
    ) -> AsyncIterator[EventSource]:
        """Open an event stream."""
        async with (
            httpx2.AsyncClient(timeout=PATIENCE_S) as client,
            client.stream("GET", self.url + self.path(task) + query, headers=self.headers(token, **headers)) as answer,
        ):
            yield EventSource(answer)

    @contextlib.asynccontextmanager
    async def socket_to(
        self, task: Id | None, query: str = "", token: str = "", **options: Any
    ) -> AsyncIterator[ClientConnection]:
        """Open a WebSocket."""
        url = self.url.replace("http", "ws", 1) + self.path(task) + query
        async with connect(url, additional_headers=self.headers(token), open_timeout=PATIENCE_S, **options) as found:
            yield found


class EventSource:
    """An event stream as a client reads it, by the rules of the HTML standard; comments are kept as events."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def next(self) -> Told | None:
        """Return the next event, None at the end of the stream."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(PATIENCE_S):
            async for line in self._lines:
                if line.startswith(":"):
                    fields = {"event": "comment", "data": json.dumps(line[1:].strip())}
                elif line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif fields:
                    return Told(fields["event"], fields.get("id", ""), json.loads(fields["data"]))
        return None

    async def all(self) -> list[Told]:
        """Return every event up to the end of the stream."""
        told: list[Told] = []
        while (event := await self.next()) is not None:
            told.append(event)
        return told


def told_by(frame: str | bytes) -> Told:
    """Return the event in a frame of a WebSocket, or in a page."""
    found = json.loads(frame) if isinstance(frame, str | bytes) else frame
    number = found.get("id")
    return Told(found["event"], "" if number is None else str(number), found.get("data"))


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
