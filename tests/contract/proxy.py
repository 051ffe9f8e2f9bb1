"""A proxy before a PostgreSQL server's socket that breaks connections at a chosen word."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Self

from psycopg import conninfo


class Proxy:
    """Forwards a Unix socket. `url` is the database's behind it.

    `swallow`: cut the connection instead of forwarding the message with this word. `swallow_answer_of`: forward it, and
    cut the connection when the answer comes. Each once. `refuses`: take no new connections after that.
    """

    def __init__(self, url: str) -> None:
        given = conninfo.conninfo_to_dict(url)
        self._socket = Path(str(given["host"])) / f".s.PGSQL.{given.get('port', 5432)}"
        self._folder = Path(tempfile.mkdtemp(prefix="comity-proxy-"))
        self.url = conninfo.make_conninfo(url, host=str(self._folder))
        self.swallow = b""
        self.swallow_answer_of = b""
        self.refuses = False
        self.swallowed = 0
        self._pumps: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._serve, self._folder / self._socket.name)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        shutil.rmtree(self._folder)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses and self.swallowed:
            writer.close()
            return
        self._pumps.add(asyncio.current_task())
        server_reader, server_writer = await asyncio.open_unix_connection(str(self._socket))
        is_cut = asyncio.Event()

        async def to_server() -> None:
            while data := await reader.read(65_536):
                if self.swallow and self.swallow in data:
                    self.swallow = b""
                    self.swallowed += 1
                    break
                if self.swallow_answer_of and self.swallow_answer_of in data:
                    self.swallow_answer_of = b""
                    is_cut.set()
                server_writer.write(data)
                await server_writer.drain()

        async def to_client() -> None:
            while data := await server_reader.read(65_536):
                if is_cut.is_set():
                    self.swallowed += 1
                    break
                writer.write(data)
                await writer.drain()

        pumps = [asyncio.ensure_future(to_server()), asyncio.ensure_future(to_client())]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for end in (writer, server_writer):
                end.close()
