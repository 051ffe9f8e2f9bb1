"""Restate: its own server (npm `@restatedev/restate-server`), the Python SDK behind Hypercorn, all on loopback.

The server keeps its defaults (24 partitions, WAL fsync on). The SDK's endpoint and the caller share one event
loop; the caller is a bare HTTP/1.1 client, so that a heavy client library does not count as Restate's CPU.
"""

from __future__ import annotations

import asyncio
import json
import time
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from pathlib import Path

from benchmarks.peer import Peer, Sample, Unavailable
from benchmarks.peers.restate_server import RestateServer

IN_FLIGHT = 250


class Restate(Peer):
    """Restate with a plain service and `ctx.run` steps, bidirectional streaming."""

    name = "restate"
    store = "own"
    distributions = ("restate-sdk", "hypercorn")

    @classmethod
    def start_server(cls, folder: Path) -> RestateServer:
        return RestateServer(folder)

    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.stopping = self.runner.run(_event())
        self.runner.run(self._serve())

    def close(self) -> None:
        self.runner.run(self._stop_serving())
        self.runner.close()

    def settings(self) -> dict[str, str]:
        shown = ("version", "default-num-partitions", "default-replication", "rocksdb-disable-wal-fsync")
        return {key: self.site.server[key] for key in shown}

    def w1(self, steps: int) -> Sample:
        self.runner.run(self._post("/Bench/task", 20))
        with self.meter() as lap:
            self.runner.run(self._post("/Bench/task", steps))
        return lap.sample(steps)

    def w2(self, tasks: int, steps: int) -> Sample:
        return self._at_once(tasks, "/Bench/task", steps)

    def w3(self, tasks: int) -> Sample:
        return self._at_once(tasks, "/Bench/noop", 0)

    def begin(self, steps: int) -> None:
        self.runner.run(self._post("/Bench/striking", steps, key="crash"))

    def resume(self, steps: int) -> str:
        """Serve again; the same idempotency key attaches to the invocation that the server still has."""
        self.runner.run(self._post("/Bench/striking", steps, key="crash"))
        return ""

    async def _serve(self) -> None:
        from hypercorn.asyncio import serve
        from hypercorn.config import Config

        from benchmarks.peers.restate_service import service_app

        config = Config()
        endpoint = int(self.site.server["endpoint_port"])
        config.bind = [f"127.0.0.1:{endpoint}"]
        config.loglevel = "ERROR"
        stop = self.stopping.wait
        self.serving = asyncio.create_task(serve(service_app(self.strike), config, shutdown_trigger=stop))
        await _listening(endpoint, self.serving)
        admin = int(self.site.server["admin_port"])
        known = json.loads(await _request(admin, "GET", "/deployments", ""))
        if not known["deployments"]:
            await _request(admin, "POST", "/deployments", json.dumps({"uri": f"http://127.0.0.1:{endpoint}"}))

    async def _stop_serving(self) -> None:
        self.stopping.set()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.serving, 5)

    async def _post(self, path: str, steps: int, key: str = "") -> None:
        headers = f"idempotency-key: {key}\r\n" if key else ""
        await _request(int(self.site.server["ingress_port"]), "POST", path, str(steps), headers)

    def _at_once(self, tasks: int, path: str, steps: int) -> Sample:
        self.runner.run(self._post(path, steps))
        return self.runner.run(self._measure_at_once(tasks, path, steps))

    async def _measure_at_once(self, tasks: int, path: str, steps: int) -> Sample:
        port = int(self.site.server["ingress_port"])
        connections = [await _Connection.open(port) for _ in range(min(IN_FLIGHT, tasks))]
        left = iter(range(tasks))

        async def work(connection: _Connection) -> None:
            for _ in left:
                await connection.ask("POST", path, str(steps))

        with self.meter() as lap:
            await asyncio.gather(*(work(connection) for connection in connections))
        for connection in connections:
            connection.writer.close()
        return lap.sample(tasks)


class _Connection:
    """A kept-alive HTTP/1.1 connection that asks one thing at a time."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int) -> _Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, method: str, path: str, body: str, headers: str = "") -> bytes:
        head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{headers}"
        self.writer.write(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
        status, *fields = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        sizes = [int(line.split(":", 1)[1]) for line in fields if line.startswith("content-length:")]
        answer = await (self.reader.readexactly(sizes[0]) if sizes else self._chunks())
        if not status.split(" ")[1].startswith("2"):
            raise Unavailable(f"{method} {path} was answered `{status}`: {answer[:200]!r}")
        return answer

    async def _chunks(self) -> bytes:
        parts = []
        while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
            parts.append(await self.reader.readexactly(size))
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return b"".join(parts)


async def _request(port: int, method: str, path: str, body: str, headers: str = "") -> bytes:
    connection = await _Connection.open(port)
    try:
        return await connection.ask(method, path, body, headers)
    finally:
        connection.writer.close()


async def _listening(port: int, serving: asyncio.Task[None], limit_s: float = 10.0) -> None:
    deadline = time.monotonic() + limit_s
    while True:
        with suppress(OSError):
            (await _Connection.open(port)).writer.close()
            return
        if time.monotonic() > deadline or serving.done():
            raise Unavailable(f"the SDK's endpoint does not listen after {limit_s:.0f} s")
        await asyncio.wait([serving], timeout=0.02)


async def _event() -> asyncio.Event:
    return asyncio.Event()
