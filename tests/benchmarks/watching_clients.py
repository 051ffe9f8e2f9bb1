"""Those who watch: `python -m benchmarks.watching_clients`, ordered by lines of JSON; one process for all of them.

Each is a connection with an event stream, read by hand, so that the clients cost as little as they can.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

AT_ONCE = 200
TEXT = b'"text":"'


class WatchingClients(asyncio.Protocol):
    """One connection; the class counts what all of them were told."""

    told: dict[str, list[float]] = {}  # noqa: RUF012 - counted over all connections of the process
    alive = 0

    def __init__(self, request: bytes, opened: asyncio.Future[None]) -> None:
        self._request = request
        self._opened = opened

    def connection_made(self, transport: Any) -> None:
        """Ask."""
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Note when which text came; the first bytes say that the stream is open."""
        if not self._opened.done():
            if b"event: entry" not in data:
                return
            type(self).alive += 1
            self._opened.set_result(None)
        now_s = time.monotonic()
        start = data.find(TEXT)
        while start >= 0:
            text = data[start + len(TEXT) : data.find(b'"', start + len(TEXT))].decode()
            self.told.setdefault(text, []).append(now_s)
            start = data.find(TEXT, start + 1)

    def connection_lost(self, error: Exception | None) -> None:
        """Count it out."""
        if self._opened.done():
            type(self).alive -= 1
        else:
            self._opened.set_exception(error or ConnectionError("closed"))


async def connect(url: str, token: str, tasks: Sequence[str]) -> dict[str, Any]:
    """Open a connection for each task named, some at a time."""
    host, loop, turns = urlsplit(url), asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE)
    began_s = time.monotonic()

    async def one(task: str) -> None:
        path = f"/api/v1/tasks/{UUID(hex=task)}/events"
        request = f"GET {path} HTTP/1.1\r\nHost: {host.netloc}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        async with turns:
            opened = loop.create_future()
            await loop.create_connection(lambda: WatchingClients(request, opened), host.hostname, host.port)
            await opened

    await asyncio.gather(*map(one, tasks))
    return {"alive": WatchingClients.alive, "seconds": time.monotonic() - began_s}


async def told() -> dict[str, Any]:
    """Return the first and last moment at which each text came, and how often."""
    times = {text: (min(found), max(found), len(found)) for text, found in WatchingClients.told.items()}
    WatchingClients.told.clear()
    return {"alive": WatchingClients.alive, "times": times}


async def main() -> None:
    """Do what is ordered until the orders end."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        answer = await {"connect": connect, "told": told}[order["do"]](**order.get("with", {}))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
