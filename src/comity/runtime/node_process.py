"""A node process of a supervisor's own: `comity up` on a socket that outlives it, started again when it dies.

Connections that are made while no node is there wait in the socket, so the programs behind them see a slow answer and
no refusal.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from comity.core.clock import Clock
from comity.core.errors import HandsError
from comity.runtime.forking import how_it_ended
from comity.runtime.launched import ProgramProcess
from comity.runtime.launching import Launch

BACKLOG: Final = 2_048
STARTS_MAX: Final = 5
"""So many starts in a row that come to nothing are enough."""
PAUSE_S: Final = 0.2
DRAIN_MARGIN_S: Final = 5.0


class Announced(msgspec.Struct, frozen=True):
    """What a node tells its supervisor once it is up."""

    url: str
    token: str


class NodeProcess:
    """One node, and whatever takes its place. `announced` is what the one that is up said."""

    def __init__(
        self,
        options: Sequence[str],
        environment: Mapping[str, str],
        clock: Clock,
        *,
        drain_s: float,
        on_death: Callable[[str], None],
    ) -> None:
        """Prepare a node.

        Args:
            options: of `comity up`.
            environment: what it is executed with, keys and all.
            clock: measures pauses between starts.
            drain_s: how long it may take to end.
            on_death: told in words how one ended that is started again; it may raise, then that is the end.
        """
        self.announced: Announced | None = None
        self._options = options
        self._environment = {**environment, "COMITY_SERVER__TLS_CERT_FILE": "", "COMITY_SERVER__TLS_KEY_FILE": ""}
        self._clock = clock
        self._drain_s = drain_s + DRAIN_MARGIN_S
        self._on_death = on_death
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self._process: ProgramProcess | None = None
        self._up = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """Return the port that programs connect to."""
        return int(self._socket.getsockname()[1])

    async def start(self) -> int | None:
        """Start it; return None once it is up, else its exit code: it has said on stderr why it is not."""
        process = await self._execute()
        if not self._up.is_set():
            self._socket.close()
            return await process.wait()
        self._keeping = asyncio.create_task(self._keep(process))
        return None

    async def ready(self) -> Announced:
        """Return what the node that is up said, once one is.

        Raises:
            HandsError: none can be started any more.
            ComityError: what `on_death` raised.
        """
        while not self._up.is_set():
            assert self._keeping is not None, "it was started"
            up = asyncio.create_task(self._up.wait())
            await asyncio.wait({up, self._keeping}, return_when=asyncio.FIRST_COMPLETED)
            up.cancel()
            if self._keeping.done():
                self._keeping.result()
        assert self.announced is not None
        return self.announced

    async def close(self) -> None:
        """Drain it and return when it is gone."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        if self._process is not None and not self._process.has_ended:
            await self._process.end(self._drain_s)
        self._socket.close()

    async def _keep(self, process: ProgramProcess) -> None:
        failed = 0
        while failed < STARTS_MAX:
            how = how_it_ended(await process.wait())
            self._up.clear()
            self._on_death(how)
            await self._clock.sleep(PAUSE_S * 2**failed)
            process = await self._execute()
            failed = 0 if self._up.is_set() else failed + 1
        text = f"the node ended {STARTS_MAX} times in a row before it was up: {how_it_ended(await process.wait())}"
        raise HandsError("no_node", text, hint="it says on stderr why")

    async def _execute(self) -> ProgramProcess:
        """Start a node; return it once it is up, or has ended before."""
        read, write = os.pipe()
        fds = (self._socket.fileno(), write)
        arguments = (sys.executable, "-P", "-m", "comity", "up", *self._options)
        arguments += ("--listen-fd", str(fds[0]), "--announce-fd", str(fds[1]))
        launch = Launch(arguments, self._environment, fds=fds, grace_s=self._drain_s)
        try:
            starting = ProgramProcess.start(launch, self._environment, stdin=subprocess.DEVNULL, stdout=sys.stderr)
            self._process = process = await starting
        except BaseException:
            os.close(read)
            raise
        finally:
            os.close(write)
        line = await _line_of(read)
        if line:
            self.announced = msgspec.json.decode(line, type=Announced)
            self._up.set()
        return process


async def _line_of(fd: int) -> bytes:
    """Return the line that a pipe brings; nothing where its other end is closed before."""
    reader = asyncio.StreamReader()
    pipe = os.fdopen(fd, "rb", 0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    try:
        return await reader.readline()
    finally:
        transport.close()
