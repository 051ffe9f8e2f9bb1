"""A server process behind its keeper, as the node sees it: lines go in and out, its end is told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from comity.core.errors import HandsError
from comity.runtime.keeper import LEASE
from comity.runtime.output import OnLine, Output

LINE_BYTES_MAX = 64 * 1024 * 1024
ALLOWED_ENV = ("PATH", "HOME", "TMPDIR", "TZ", "LANG", "PYTHONPATH")
WORDS_BYTES_MAX = 4_096
END_S_MAX = 2.0
DRAIN_S = 0.5
"""How long what a server wrote before its end is waited for, where another process holds its output."""


class KeptSettings(NamedTuple):
    """How server processes are started: in `folder`; `lock_fd` is the node's lock, `on_line` takes what they say."""

    on_line: OnLine
    folder: str
    lock_fd: int = -1


class KeptProcess:
    """A server that runs; made by `start`. `ended` tells how it ended, in words, as soon as it has."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket, output: Output) -> None:
        assert process.stdin is not None
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._process = process
        self._control = control
        self._output = output
        self._input = process.stdin
        self._lines = asyncio.StreamReader(LINE_BYTES_MAX)
        self._pipe: asyncio.ReadTransport | None = None
        self._words = b""
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def start(
        cls, command: Sequence[str], environment: Mapping[str, str], who: str, settings: KeptSettings
    ) -> KeptProcess:
        """Start `command`, with `environment` and nothing else.

        Raises:
            HandsError: the machine has no room for another process. A command that is not there ends at once.
        """
        ours, theirs = socket.socketpair()
        output_read, output_write = os.pipe()
        lock = [settings.lock_fd] if settings.lock_fd >= 0 else []
        keeper = [sys.executable, "-P", "-s", "-m", "comity.runtime.keeper"]
        try:
            process = subprocess.Popen(  # noqa: ASYNC220 (a few ms; asyncio would watch it, from a thread)
                [*keeper, str(theirs.fileno()), str(settings.lock_fd), *command],
                bufsize=0,
                env=dict(environment),
                cwd=settings.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output_write,
                pass_fds=[theirs.fileno(), *lock],
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            os.close(output_read)
            why = (error.strerror or str(error)).lower()
            raise HandsError("no_process", f"no process could be started: {why}", retry="redo") from None
        finally:
            theirs.close()
            os.close(output_write)
        made = cls(process, ours, Output(output_read, who, settings.on_line))
        try:
            await made._connect()
        except BaseException:
            process.kill()  # its server dies with it
            made._close()
            process.wait()
            raise
        return made

    @property
    def pid(self) -> int:
        """Return the process id of the keeper."""
        return self._process.pid

    async def read_line(self) -> bytes:
        """Return the next line that the server writes, or nothing at its end.

        Raises:
            HandsError: the line is longer than any message may be.
        """
        try:
            return await self._lines.readline()
        except ValueError:
            raise HandsError("line_too_long", f"it wrote a line of more than {LINE_BYTES_MAX} bytes") from None

    async def write(self, data: bytes, may_begin: Callable[[], bool]) -> bool:
        """Write `data` to the server; False where `may_begin`, asked before the first byte leaves, said no.

        Raises:
            OSError: the server has ended, or reads no more.
        """
        rest = memoryview(data)
        while rest:
            if self._input.closed:
                raise BrokenPipeError
            if len(rest) == len(data) and not may_begin():
                return False
            try:
                rest = rest[os.write(self._input.fileno(), rest) :]
            except BlockingIOError:
                await self._writable(self._input.fileno())
        return True

    def tell_lease(self, until_s: float) -> None:
        """Tell the keeper how long the server may live (monotonic seconds)."""
        try:
            self._control.send(LEASE.pack(until_s))
        except OSError:
            return  # it has ended, or reads nothing: then its next look at its lease ends it

    def kill(self) -> None:
        """End the server, and all that it started, with SIGKILL."""
        if not self.ended.done():
            with contextlib.suppress(OSError):  # its keeper has just ended, and the server with it
                self._control.shutdown(socket.SHUT_WR)

    async def stop(self, grace_s: float) -> None:
        """End it: it may end by itself for `grace_s` once its input has ended. Return when it is gone."""
        self._close_input()
        await asyncio.wait([self.ended], timeout=grace_s)
        self.kill()
        await asyncio.wait([self.ended], timeout=END_S_MAX)
        if not self.ended.done():  # its keeper is frozen, or was killed
            self._process.kill()
        self._close()
        await self._loop.run_in_executor(None, self._process.wait)

    async def _connect(self) -> None:
        self._control.setblocking(False)
        os.set_blocking(self._input.fileno(), False)
        self._loop.add_reader(self._control.fileno(), self._heard)
        made = await self._loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self._lines), self._process.stdout
        )
        self._pipe = made[0]

    def _heard(self) -> None:
        """Take what the keeper says; the end of its socket is the server's end."""
        try:
            data = self._control.recv(WORDS_BYTES_MAX)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        self._words = (self._words + data)[:WORDS_BYTES_MAX]
        if not data:
            self._loop.remove_reader(self._control.fileno())
            self.ended.set_result(self._words.decode(errors="replace") or "its keeper was killed")
            self._loop.call_later(DRAIN_S, self._end_lines)

    async def _writable(self, fd: int) -> None:
        ready = asyncio.Event()

        def over(_: object) -> None:
            ready.set()

        self._loop.add_writer(fd, ready.set)
        self.ended.add_done_callback(over)
        try:
            await ready.wait()
        finally:
            self._loop.remove_writer(fd)
            self.ended.remove_done_callback(over)

    def _end_lines(self) -> None:
        """End the lines of a server that is gone, though a process that it left behind may hold the pipe."""
        if self._pipe is not None:
            self._pipe.close()
        if not self._lines.at_eof():
            self._lines.feed_eof()

    def _close_input(self) -> None:
        if not self._input.closed:
            self._loop.remove_writer(self._input.fileno())
            self._input.close()

    def _close(self) -> None:
        self._close_input()
        if not self.ended.done():
            self._loop.remove_reader(self._control.fileno())
            self.ended.set_result("it did not end when it was told to")
        self._end_lines()
        self._control.close()
        self._output.close()


def environment_of(variables: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a server process sees of the node's `environment`: the basics, and the variables that are named."""
    names = {*ALLOWED_ENV, *variables}
    return {name: value for name, value in environment.items() if name in names or name.startswith("LC_")}
