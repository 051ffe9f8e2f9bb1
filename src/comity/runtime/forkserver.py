"""The program of a zygote: import an agent file once, then fork a child for each request.

Started as `python -P -s -m comity.runtime.forkserver ROLE FILE CONTROL PARENT [LOCK]`, with an environment that holds
no secret. It loads nothing of `runtime` but its own protocol, so that a brain has `agents`, `journal` and `core` in
memory. A child leads a process group of its own, which ends with it: what a tool started does not outlive its hand.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from comity.core.errors import ComityError
from comity.journal.program import Loaded as LoadedFile
from comity.journal.program import load
from comity.journal.protocol import Described
from comity.runtime.forking import (
    Equip,
    Exited,
    Fork,
    Forked,
    FromZygote,
    Kill,
    Loaded,
    ToZygote,
    control_frame,
    decode_to_zygote,
)
from comity.runtime.hardening import die_with_parent, hide_from_neighbours
from comity.runtime.isolation import Isolation, isolate, isolate_from_kin

WORKERS = {"brain": "comity.agents.worker", "hand": "comity.hands.worker"}
CRASHED = 70

Serve = Callable[[LoadedFile, int], None]


class ForkServer:
    """Answers the node's requests until the node is gone."""

    def __init__(
        self, control: socket.socket, serve: Serve, loaded: LoadedFile, foreign_fds: set[int], *, is_isolated: bool
    ) -> None:
        self._control = control
        self._serve = serve
        self._loaded = loaded
        self._foreign_fds = foreign_fds
        self._is_isolated = is_isolated
        self._pid = os.getpid()
        self._ids: dict[int, int] = {}
        self._pids: dict[int, int] = {}
        self._wake, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        os.set_blocking(self._wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._end())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)

    def run(self) -> NoReturn:
        """Wait for requests and for the ends of children."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == self._wake:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wake, 4096)
                    self._reap()
                else:
                    self._answer()

    def _answer(self) -> None:
        message, fds = _receive(self._control)
        if isinstance(message, Fork):
            self._fork(message.id, fds)
        elif isinstance(message, Kill):
            self._kill(message)
        else:
            self._end()

    def _fork(self, number: int, fds: list[int]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            pid = os.fork()
        except OSError as error:
            self._say(Forked(number, 0, error.strerror or str(error)))
            return
        else:
            if pid == 0:
                self._become_child(*fds)
        finally:
            for fd in fds:
                os.close(fd)
        self._ids[pid] = number
        self._pids[number] = pid
        self._say(Forked(number, pid))

    def _become_child(self, channel: int, output: int) -> NoReturn:
        status = CRASHED
        try:
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            signal.set_wakeup_fd(-1)
            os.setsid()
            if not die_with_parent(signal.SIGKILL, self._pid):
                os._exit(CRASHED)
            os.dup2(output, 1)
            os.dup2(output, 2)
            _close_all_but({0, 1, 2, channel, *self._foreign_fds})
            _reseed()
            if self._is_isolated:
                isolate_from_kin()
            self._serve(self._loaded, channel)
            status = 0
        finally:
            if status:
                traceback.print_exc()
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        while (ended := _next_ended()) is not None:
            pid, status = ended
            number = self._ids.pop(pid, None)
            if number is not None:
                del self._pids[number]
                self._say(Exited(number, status))

    def _kill(self, message: Kill) -> None:
        pid = self._pids.get(message.id)
        if pid is not None:
            _kill_group(pid)

    def _say(self, message: FromZygote) -> None:
        try:
            self._control.sendall(control_frame(message))
        except OSError:
            self._end()

    def _end(self) -> NoReturn:
        for pid in self._ids:
            _kill_group(pid)
        os._exit(0)


def main(role: str, file: str, control_fd: int, parent: int) -> None:
    """Load, tell the node, serve."""
    control = socket.socket(fileno=control_fd)
    hide_from_neighbours()
    if not die_with_parent(signal.SIGTERM, parent):
        return
    equipment, _ = _receive(control)
    if not isinstance(equipment, Equip):
        return
    os.environ.update(equipment.env)
    if equipment.isolation is not None:
        try:
            isolate(_with_sources(equipment.isolation, file))
        except OSError as error:
            text = f"the brains of `{file}` cannot be isolated: {error.strerror}"
            control.sendall(control_frame(Loaded(Described(None, text, "no_isolation"))))
            return
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    serve: Serve = importlib.import_module(WORKERS[role]).serve
    before = _open_fds()
    try:
        loaded = load(file)
    except ComityError as error:
        described = Described(None, error.message, error.code, error.hint)
        control.sendall(control_frame(Loaded(described)))
        return
    foreign_fds = _open_fds() - before
    gc.collect()
    gc.freeze()
    control.sendall(control_frame(Loaded(Described(loaded.program), _sources(file))))
    kept = foreign_fds | {int(fd) for fd in sys.argv[5:]}
    ForkServer(control, serve, loaded, kept, is_isolated=equipment.isolation is not None).run()


def _with_sources(isolation: Isolation, file: str) -> Isolation:
    """Return the isolation of brains whose sources are read, though state lies beside them, and never changed."""
    folder = os.path.realpath(Path(file).parent)
    read = {folder, *(os.path.realpath(path) for path in sys.path)}
    return msgspec.structs.replace(isolation, fixed=(*isolation.fixed, folder), listed=tuple(read))


def _receive(control: socket.socket) -> tuple[ToZygote | None, list[int]]:
    """Return the node's next message with the descriptors that came with it; None where the node is gone."""
    head, fds = _receive_exactly(control, 4)
    body, _ = _receive_exactly(control, int.from_bytes(head, "big"))
    return (decode_to_zygote(body) if body else None), fds


def _receive_exactly(control: socket.socket, size: int) -> tuple[bytes, list[int]]:
    data = b""
    fds: list[int] = []
    while len(data) < size:
        try:
            more, more_fds, _, _ = socket.recv_fds(control, size - len(data), 2)
        except ConnectionResetError:
            more, more_fds = b"", []
        if not more:
            return b"", fds
        data += more
        fds += more_fds
    return data, fds


def _next_ended() -> tuple[int, int] | None:
    """Reap a child that has ended, and end what it started; return its pid and status."""
    try:
        if sys.platform == "linux":
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return None
            _kill_group(ended.si_pid)  # before it is reaped: until then nobody else can have its number
            pid, status = os.waitpid(ended.si_pid, 0)
        else:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return None
            _kill_group(pid)
    except ChildProcessError:
        return None
    return pid, os.waitstatus_to_exitcode(status)


def _sources(file: str) -> tuple[str, ...]:
    """Return the agent file and the modules beside it that it imported: a change of any makes a fresh zygote."""
    folder = Path(file).parent
    found = {str(file)}
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if path and Path(path).is_relative_to(folder) and "site-packages" not in path:
            found.add(path)
    return tuple(sorted(found))


def _open_fds() -> set[int]:
    return {int(name) for name in os.listdir("/dev/fd")}  # noqa: PTH208 (a Path has no names alone)


def _close_all_but(kept: set[int]) -> None:
    for fd in _open_fds() - kept:
        with contextlib.suppress(OSError):
            os.close(fd)


def _reseed() -> None:
    """Give numpy a chance of its own; Python's `random` reseeds itself after a fork."""
    numpy_random: Any = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def _kill_group(pid: int) -> None:
    """Kill a child's process group; or the child, that has not come to lead one yet."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except OSError:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
