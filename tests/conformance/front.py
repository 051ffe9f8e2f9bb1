"""A small HTTP proxy before one node or several: each request goes to the next of them, in turn.

It is a process of its own, and a wire: whoever cannot be reached is skipped, where nobody can the client's connection
is reset; a node that dies in the middle of an answer cuts it off, a client that goes away is gone for the node too. It
counts requests by key and kind, and can hold the last byte of a chosen answer. Run as `python -m conformance.front`;
it prints its port and, after a space, the port where tests speak to it (one JSON object a line).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections import Counter
from typing import Any, NamedTuple

import h11

from conformance.serving import end_with_parent

READ = 65_536


class Ask(NamedTuple):
    """A request as it came: `key` is the credential it carries, `kind` what it wants (`model`, `tool` or `other`)."""

    head: h11.Request
    body: bytes
    key: str
    kind: str


class Front:
    """Backends, what was seen, and what is to be held."""

    def __init__(self) -> None:
        self.backends: list[int] = []
        self.seen: Counter[str] = Counter()
        self.holds: dict[str, asyncio.Event] = {}
        self.held: set[str] = set()
        self._turn = 0

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Do what a test wants, and answer with what was seen and is held."""
        while line := await reader.readline():
            wish = json.loads(line)
            match wish["op"]:
                case "backends":
                    self.backends = wish["ports"]
                case "hold":
                    self.holds[wish["name"]] = asyncio.Event()
                case "release":
                    self.holds[wish["name"]].set()
            writer.write(json.dumps({"seen": self.seen, "held": sorted(self.held)}).encode() + b"\n")
        writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of a client until either side ends it."""
        client = Side(h11.Connection(h11.SERVER), reader, writer)
        try:
            while ask := await read_ask(client):
                await self._forward(ask, client)
                if client.http.our_state is not h11.DONE or client.http.their_state is not h11.DONE:
                    break
                client.http.start_next_cycle()
            writer.close()
        except (OSError, asyncio.IncompleteReadError, h11.ProtocolError):
            writer.transport.abort()  # as a wire that was cut

    async def _forward(self, ask: Ask, client: Side) -> None:
        """Send a request to the next backend and its answer back; end both as soon as one of them is gone."""
        self.seen[f"{ask.key} {ask.kind}"] += 1
        hold = f"{ask.key} {ask.kind} {self.seen[f'{ask.key} {ask.kind}']}"
        node = await self._connect()
        relaying = asyncio.ensure_future(self._relay(ask, node, client, hold))
        leaving = asyncio.ensure_future(client.reader.read(READ))
        try:
            await asyncio.wait({relaying, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if relaying.done():
                relaying.result()
            else:
                raise ConnectionResetError("the client is gone")
        finally:
            for task in (relaying, leaving):
                task.cancel()
            await asyncio.gather(relaying, leaving, return_exceptions=True)
            node.writer.transport.abort()

    async def _connect(self) -> Side:
        for _ in self.backends:
            port = self.backends[self._turn % len(self.backends)]
            self._turn += 1
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                return Side(h11.Connection(h11.CLIENT), reader, writer)
        raise ConnectionResetError("no node can be reached")

    async def _relay(self, ask: Ask, node: Side, client: Side, hold: str) -> None:
        await node.send(ask.head, h11.Data(ask.body), h11.EndOfMessage())
        late = b""
        while True:
            event = await node.next()
            match event:
                case h11.Response():
                    await client.send(h11.Response(status_code=event.status_code, headers=event.headers))
                case h11.Data():
                    data = late + bytes(event.data)
                    late = data[-1:] if hold in self.holds else b""
                    await client.send(h11.Data(data[: len(data) - len(late)]))
                case h11.EndOfMessage():
                    if late:
                        self.held.add(hold)
                        await self.holds[hold].wait()
                        self.held.discard(hold)
                        await client.send(h11.Data(late))
                    await client.send(h11.EndOfMessage())
                    return
                case h11.ConnectionClosed():
                    raise ConnectionResetError("the node closed the connection")


class Side(NamedTuple):
    """One side of the proxy: a connection and the state of HTTP on it."""

    http: h11.Connection
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def next(self) -> Any:
        """Return what comes next."""
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self.reader.read(READ))
        return event

    async def send(self, *given: Any) -> None:
        """Send events."""
        for event in given:
            self.writer.write(self.http.send(event) or b"")
        await self.writer.drain()


async def read_ask(client: Side) -> Ask | None:
    """Read a whole request; None where the client has no more."""
    head = await client.next()
    if not isinstance(head, h11.Request):
        return None
    body = b""
    while isinstance(event := await client.next(), h11.Data):
        body += bytes(event.data)
    if not isinstance(event, h11.EndOfMessage):
        raise ConnectionResetError("the client is gone")
    headers = {name.decode(): value.decode() for name, value in head.headers}
    path = head.target.decode()
    key = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
    if path.startswith("/t/"):
        key = path.split("/")[2]
    kept = [(name, value) for name, value in head.headers if name != b"transfer-encoding"]
    if len(kept) < len(head.headers):
        kept.append((b"content-length", str(len(body)).encode()))
    request = h11.Request(method=head.method, target=head.target, headers=kept)
    return Ask(request, body, key, kind_of(path.partition("?")[0], body))


def kind_of(path: str, body: bytes) -> str:
    """Tell what a request wants."""
    if path.endswith(("/chat/completions", "/responses", "/messages")):
        return "model"
    return "tool" if b'"tools/call"' in body else "other"


async def main() -> None:
    """Serve until killed."""
    end_with_parent()
    front = Front()
    servers = [await asyncio.start_server(handler, "127.0.0.1", 0) for handler in (front.serve, front.control)]
    sys.stdout.write(" ".join(str(server.sockets[0].getsockname()[1]) for server in servers) + "\n")
    sys.stdout.flush()
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main())
