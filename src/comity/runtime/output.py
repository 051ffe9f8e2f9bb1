"""What agent code prints: taken from a pipe line by line, for the node's log.

A process that floods is held back by its pipe: the node reads at most `CHUNK_BYTES` each `PAUSE_S` from it, and passes
on at most `LINES_MAX` lines of them. Control characters, which could speak to a terminal, are written as escapes.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable

CHUNK_BYTES = 64 * 1024
LINE_CHARS_MAX = 2_000
LINES_MAX = 200
PAUSE_S = 0.05

OnLine = Callable[[str, str], None]
"""Takes who printed (`brain <task id>`) and a line."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Output:
    """The node's end of one process's standard output and error."""

    def __init__(self, fd: int, who: str, on_line: OnLine) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._who = who
        self._on_line = on_line
        self._rest = b""
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._loop.add_reader(fd, self._readable)

    def close(self) -> None:
        """Take what is left in the pipe, once, and close it."""
        if self._fd < 0:
            return
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._fd)
        self._take(self._read() or b"")
        if self._rest:
            self._emit(self._rest)
        os.close(self._fd)
        self._fd = -1

    def _readable(self) -> None:
        data = self._read()
        if data is None:
            return
        self._take(data)
        if len(data) == CHUNK_BYTES:
            self._loop.remove_reader(self._fd)
            self._pause = self._loop.call_later(PAUSE_S, self._resume)
        elif not data:
            self._loop.remove_reader(self._fd)

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._fd, self._readable)

    def _read(self) -> bytes | None:
        try:
            return os.read(self._fd, CHUNK_BYTES)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return b""

    def _take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines[:LINES_MAX]:
            self._emit(line)
        if len(lines) > LINES_MAX:
            self._on_line(self._who, f"… {len(lines) - LINES_MAX} lines left out")
        if len(self._rest) > CHUNK_BYTES:
            self._emit(self._rest)
            self._rest = b""

    def _emit(self, line: bytes) -> None:
        text = line[: LINE_CHARS_MAX * 4].decode(errors="replace")[:LINE_CHARS_MAX]
        self._on_line(self._who, _CONTROL.sub(lambda found: f"\\x{ord(found.group()):02x}", text))
