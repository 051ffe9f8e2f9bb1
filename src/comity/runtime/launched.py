"""A supervisor's side of a guardian (`launch.py`): start a program, send it signals, hear how it ended."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import IO, Self

from comity.core.errors import HandsError
from comity.runtime.channel import Channel
from comity.runtime.launching import (
    Launch,
    NotStarted,
    ProgramEnded,
    Send,
    Started,
    decode_from_guardian,
    guardian_frame,
)
from comity.runtime.zygote import scrubbed

KILLED = -signal.SIGKILL


class ProgramProcess:
    """A program that runs, with its guardian; made by `start`. `pid` is the program's own."""

    def __init__(
        self, launch: Launch, environment: Mapping[str, str], stdin: int | None, stdout: IO[str] | None
    ) -> None:
        loop = asyncio.get_running_loop()
        self.pid = 0
        self._started: asyncio.Future[str] = loop.create_future()
        self._ended: asyncio.Future[int] = loop.create_future()
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-s", "-m", "comity.runtime.launch", str(theirs.fileno())]
        with theirs:
            self._guardian = subprocess.Popen(
                command,
                env=scrubbed(environment, "hand"),
                stdin=stdin,
                stdout=stdout,
                pass_fds=(theirs.fileno(), *launch.fds),
            )
        self._channel = Channel(ours, self._heard, self._gone)
        self._channel.write(guardian_frame(launch))

    @classmethod
    async def start(
        cls,
        launch: Launch,
        environment: Mapping[str, str],
        *,
        stdin: int | None = None,
        stdout: IO[str] | None = None,
    ) -> Self:
        """Start a program and wait until it runs; `environment` is this process's, `stdin` and `stdout` as in `Popen`.

        Raises:
            HandsError: it cannot be started, or not be isolated.
        """
        process = cls(launch, environment, stdin, stdout)
        error = await process._started
        if error:
            await process.wait()
            name = launch.arguments[0]
            raise HandsError("not_started", f"`{name}` cannot be started: {error[:1].lower()}{error[1:]}")
        return process

    @property
    def has_ended(self) -> bool:
        """Tell whether it is gone."""
        return self._ended.done()

    async def wait(self) -> int:
        """Return how it ended, once it and all that it started are gone: an exit code, or minus a signal."""
        return await asyncio.shield(self._ended)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; SIGKILL ends all that it started as well."""
        self._channel.write(guardian_frame(Send(number)))

    async def end(self, grace_s: float) -> int:
        """Have it end, by force after so long; return how it ended."""
        self.send(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self.wait(), grace_s)
        except TimeoutError:
            self.send(signal.SIGKILL)
            return await self.wait()

    def _heard(self, body: bytes) -> None:
        message = decode_from_guardian(body)
        if isinstance(message, Started):
            self.pid = message.pid
            self._started.set_result("")
            return
        self._channel.close()
        if isinstance(message, NotStarted):
            self._started.set_result(message.error)
            self._end_with(KILLED)
        elif isinstance(message, ProgramEnded):
            self._end_with(message.status)

    def _gone(self) -> None:
        """Take note that the guardian is gone: by itself after its last word, or killed, and the program with it."""
        if not self._started.done():
            self._started.set_result("its guardian ended")
        self._end_with(KILLED)

    def _end_with(self, status: int) -> None:
        if not self._ended.done():
            self._ended.set_result(status)
            self._reaped = asyncio.get_running_loop().run_in_executor(None, self._guardian.wait)
