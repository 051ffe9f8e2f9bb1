"""The tally: a process of its own that counts effects, and knows nothing of Comity. Standard library, loopback only.

Each effect is appended to a file, with its key and arguments, and fsynced before it is answered. A gate holds whoever
passes it until it is opened, so that "in the middle of the effect" is a place, not a time: `before NAME REF`, `after
NAME REF`. One JSON object a line, one answer a line. Run as `python -m tally.server FILE`; it prints its port.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from tally.book import Book, Effect


class Server:
    """One book behind a socket."""

    def __init__(self, path: Path) -> None:
        self.book = Book()
        self._gates: dict[str, asyncio.Event] = {}
        self._waiting: Counter[str] = Counter()
        self._passed: Counter[str] = Counter()
        if path.exists():
            for line in path.read_text().splitlines():
                self._do(json.loads(line))
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection until it ends."""
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                answer = await self._answer(json.loads(line), reader)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        writer.close()

    async def _answer(self, asked: dict[str, Any], reader: asyncio.StreamReader) -> Any:
        match asked["op"]:
            case "act" | "undo":
                return self._keep(asked)
            case "pass":
                return await self._pass(asked["gate"], reader)
            case "hold":
                self._gates.setdefault(asked["gate"], asyncio.Event())
            case "open":
                gate = self._gates.pop(asked["gate"], None)
                if gate is not None:
                    gate.set()
            case "waiting":
                return self._waiting[asked["gate"]]
            case "look":
                return self.book.look(asked["name"], asked["args"])
            case "book":
                return {"effects": self.book.effects, "undone": list(self.book.undone)}
        return None

    def _keep(self, asked: dict[str, Any]) -> int:
        data = json.dumps(asked).encode() + b"\n"
        assert os.write(self._file, data) == len(data)
        os.fsync(self._file)
        return self._do(asked)

    def _do(self, asked: dict[str, Any]) -> int:
        if asked["op"] == "undo":
            return self.book.undo(asked["name"], asked["args"])
        return self.book.act(asked["name"], asked["key"], asked["args"], by_key=asked["by_key"])

    async def _pass(self, name: str, reader: asyncio.StreamReader) -> None:
        """Wait at a gate; whoever dies there has not passed."""
        gate = self._gates.get(name)
        if gate is None:
            return
        self._waiting[name] += 1
        opened, gone = asyncio.ensure_future(gate.wait()), asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({opened, gone}, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                raise ConnectionResetError
        finally:
            self._waiting[name] -= 1
            opened.cancel()
            gone.cancel()
            await asyncio.gather(opened, gone, return_exceptions=True)


async def main(path: str) -> None:
    """Serve until killed, or until whoever started this is gone."""
    threading.Thread(target=lambda: os._exit(0 if sys.stdin.read() else 1), daemon=True).start()
    server = await asyncio.start_server(Server(Path(path)).serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 (how the test learns the port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

__all__ = ["Effect", "Server", "main"]
