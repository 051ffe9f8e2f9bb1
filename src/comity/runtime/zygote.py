"""The node's side of a zygote: one process that has imported an agent file, and forks brains or hands from it.

It is executed with an environment made from an allow-list, so that no secret of the node is anywhere in its memory.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from comity.core.errors import HandsError, UsageError
from comity.journal.protocol import Described
from comity.journal.spec import Program
from comity.runtime.channel import Channel
from comity.runtime.forking import (
    CONTROL_BYTES_MAX,
    Equip,
    Exited,
    Fork,
    Forked,
    Kill,
    Loaded,
    Role,
    control_frame,
    decode_from_zygote,
    how_it_ended,
)
from comity.runtime.isolation import Isolation
from comity.runtime.output import OnLine, Output

ALLOWED_ENV = ("PATH", "LANG", "TZ", "PYTHONPATH")
END_S_MAX = 2.0
DIED_WITH_ZYGOTE = "the zygote that it was forked from ended"


class ZygoteSettings(NamedTuple):
    """How zygotes are started.

    `hand_env` names further variables that hands get, `lock_fd` is the node's lock, `isolation` what brains are kept
    from.
    """

    on_line: OnLine
    hand_env: tuple[str, ...] = ()
    lock_fd: int = -1
    load_s_max: float = 60.0
    isolation: Isolation | None = None


class Child(NamedTuple):
    """A forked process: its channel's socket is connected, its output is being read."""

    zygote: Zygote
    number: int
    pid: int
    sock: socket.socket

    def kill(self) -> None:
        """End it, and what it started, with SIGKILL; its `on_exit` will be called."""
        self.zygote.kill(self.number)


class _Life(NamedTuple):
    on_exit: Callable[[str], None]
    output: Output


class Zygote:
    """One zygote process; made by `start`."""

    def __init__(self, role: Role, file: str, settings: ZygoteSettings) -> None:
        self.role = role
        self.file = file
        self.is_over = False
        self._settings = settings
        self._ids = itertools.count(1)
        self._forks: dict[int, asyncio.Future[int]] = {}
        self._lives: dict[int, _Life] = {}
        self._is_retired = False
        self._loaded: asyncio.Future[Loaded] = asyncio.get_running_loop().create_future()
        self._stamps = {file: _stamp(file)}
        self._reaped: asyncio.Future[None] | None = None
        self._process, self._channel, self._output = self._execute()
        self.pid = self._process.pid

    @classmethod
    async def start(cls, role: Role, file: str, settings: ZygoteSettings) -> Zygote:
        """Start one and wait until it has loaded its file.

        Raises:
            UsageError: The file cannot be loaded.
        """
        # The zygote dies with the thread that starts it, so that is the loop's own.
        zygote = cls(role, file, settings)
        try:
            loaded = await asyncio.wait_for(asyncio.shield(zygote._loaded), settings.load_s_max)
        except TimeoutError:
            zygote.close()
            raise UsageError(
                "agent_file_slow",
                f"`{file}` did not load within {settings.load_s_max:g} s",
                hint="keep work out of import",
            ) from None
        except asyncio.CancelledError:
            zygote.close()
            raise
        if loaded.described.program is None:
            zygote.close()
            described = loaded.described
            raise UsageError(described.code or "agent_file_broken", described.error, hint=described.hint)
        zygote._stamps |= {path: _stamp(path) for path in loaded.files if path not in zygote._stamps}
        return zygote

    @property
    def program(self) -> Program:
        """Return what the file offers."""
        program = self._loaded.result().described.program
        assert program is not None
        return program

    def is_fresh(self) -> bool:
        """Tell whether the sources on disk are still those that were loaded."""
        return not self.is_over and all(_stamp(path) == stamp for path, stamp in self._stamps.items())

    async def fork(self, who: str, on_exit: Callable[[str], None]) -> Child:
        """Fork a child; `on_exit` is called once, in words, when it is dead.

        Raises:
            HandsError: The machine has no room for another process, or the zygote is gone.
        """
        ours, theirs = socket.socketpair()
        output_read, output_write = os.pipe()
        number = next(self._ids)
        self._lives[number] = _Life(on_exit, Output(output_read, who, self._settings.on_line))
        future = self._forks[number] = asyncio.get_running_loop().create_future()
        if not self._channel.write(control_frame(Fork(number)), (theirs.detach(), output_write)):
            future.set_exception(_no_process(DIED_WITH_ZYGOTE))
        try:
            pid = await asyncio.shield(future)
        except asyncio.CancelledError:
            self.kill(number)
            ours.close()
            raise
        except HandsError:
            self._forget(number)
            ours.close()
            raise
        finally:
            del self._forks[number]
        if number not in self._lives:
            ours.close()
            raise _no_process("it ended at once")
        return Child(self, number, pid, ours)

    def kill(self, number: int) -> None:
        """End a child, if it has not ended."""
        if number in self._lives:
            self._channel.write(control_frame(Kill(number)))

    def retire(self) -> None:
        """End the zygote once its last child is gone: newer code has one of its own."""
        self._is_retired = True
        if not self._lives:
            self.close()

    def close(self) -> None:
        """End the zygote and all that was forked from it."""
        if not self.is_over:
            self._channel.close()
            self._gone()

    async def wait_closed(self) -> None:
        """Return when the process, which was told to end or has ended, is gone."""
        if self._reaped is not None:
            await self._reaped

    def _execute(self) -> tuple[subprocess.Popen[bytes], Channel, Output]:
        ours, theirs = socket.socketpair()
        output_read, output_write = os.pipe()
        lock = [self._settings.lock_fd] if self.role == "hand" and self._settings.lock_fd >= 0 else []
        command = [sys.executable, "-P", "-s", "-m", "comity.runtime.forkserver", self.role, self.file]
        try:
            process = subprocess.Popen(  # a few ms; asyncio would watch it, from a thread
                [*command, str(theirs.fileno()), str(os.getpid()), *map(str, lock)],
                env=scrubbed(os.environ, self.role),
                stdin=subprocess.DEVNULL,
                stdout=output_write,
                stderr=output_write,
                pass_fds=[theirs.fileno(), *lock],
            )
        except BaseException:
            ours.close()
            os.close(output_read)
            raise
        finally:
            theirs.close()
            os.close(output_write)
        name = f"{self.role} zygote of {Path(self.file).name}"
        output = Output(output_read, name, self._settings.on_line)
        channel = Channel(ours, self._heard, self._gone, CONTROL_BYTES_MAX)
        if self.role == "brain":
            equipment = Equip(isolation=self._settings.isolation)
        else:
            names = self._settings.hand_env
            equipment = Equip({name: os.environ[name] for name in names if name in os.environ})
        channel.write(control_frame(equipment))
        return process, channel, output

    def _heard(self, body: bytes) -> None:
        try:
            message = decode_from_zygote(body)
        except msgspec.DecodeError:  # the agent's code spoke in its place
            self.close()
            return
        if isinstance(message, Loaded):
            if not self._loaded.done():
                self._loaded.set_result(message)
        elif isinstance(message, Forked):
            self._forked(message)
        else:
            self._exited(message)

    def _forked(self, message: Forked) -> None:
        future = self._forks.get(message.id)
        if future is None or future.done():
            return
        if message.error:
            future.set_exception(_no_process(message.error))
        else:
            future.set_result(message.pid)

    def _exited(self, message: Exited) -> None:
        life = self._forget(message.id)
        if life is not None and message.id not in self._forks:
            life.on_exit(how_it_ended(message.status))
        if self._is_retired and not self._lives:
            self.close()

    def _forget(self, number: int) -> _Life | None:
        life = self._lives.pop(number, None)
        if life is not None:
            life.output.close()
        return life

    def _gone(self) -> None:
        """Take note that the zygote has ended, and so, by the kernel's hand, all of its children."""
        self.is_over = True
        self._reaped = asyncio.get_running_loop().run_in_executor(None, _reap, self._process)
        self._output.close()
        if not self._loaded.done():
            error = "its process ended while it was loaded"
            self._loaded.set_result(Loaded(Described(None, f"`{self.file}`: {error}", "agent_file_broken")))
        for future in self._forks.values():
            if not future.done():
                future.set_exception(_no_process(DIED_WITH_ZYGOTE))
        for number in list(self._lives):
            life = self._forget(number)
            if life is not None and number not in self._forks:
                life.on_exit(DIED_WITH_ZYGOTE)


def scrubbed(env: Mapping[str, str], role: Role) -> dict[str, str]:
    """Return the part of `env` that a process of that role is executed with."""
    kept = {name: value for name, value in env.items() if name in ALLOWED_ENV or name.startswith("LC_")}
    if role == "brain":
        kept["PYTHONHASHSEED"] = "0"  # sets of strings are walked in the same order when a task is resumed
    return kept


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Wait until a zygote that lost its node's socket has ended its children and itself; a frozen one is killed."""
    try:
        process.wait(END_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _stamp(path: str) -> tuple[int, int]:
    try:
        found = Path(path).stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)


def _no_process(why: str) -> HandsError:
    return HandsError("no_process", f"no process could be started: {why}", retry="redo")
