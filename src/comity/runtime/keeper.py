"""The program of a keeper: it starts one server process, and ends it when the node is gone or its lease has run out.

Started as `python -P -s -m comity.runtime.keeper CONTROL LOCK COMMAND…`, with the server's environment and standard
streams. Over the socket CONTROL the node tells how long its lease lasts (a double, in machine order) and hears how the
server ended; the end of that socket is the node's. The server leads a session of its own, all of which ends with it,
and dies with its keeper. The keeper holds the node's lock (LOCK, or -1), as hands do.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import socket
import struct
import subprocess
import sys

from comity.core.clock import SystemClock
from comity.runtime.hardening import die_with_parent, hide_from_neighbours

LEASE = struct.Struct("=d")
CANNOT_START = 127
_POLL_S_MAX = 3_600.0


class Keeper:
    """Looks after one server process until it has ended."""

    def __init__(self, control: socket.socket, server: subprocess.Popen[bytes], wake: int) -> None:
        """Keep `server`; `wake` becomes readable when a child has ended."""
        self._control = control
        self._server = server
        self._wake = wake
        self._clock = SystemClock()
        self._lease_until_s = math.inf
        self._heard = b""

    def run(self) -> int:
        """Return how the server ended, once all of it is gone."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while not self._has_ended():
            left_s = min(self._lease_until_s - self._clock.monotonic_s(), _POLL_S_MAX)
            if left_s <= 0:
                break
            for fd, _ in poll.poll(math.ceil(left_s * 1_000)):
                if fd == self._wake:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wake, 4_096)
                elif not self._listen():
                    self._kill()
        self._kill()
        return self._server.wait()

    def _listen(self) -> bool:
        """Take what the node says; False where it is gone."""
        try:
            data = self._control.recv(4_096)
        except OSError:
            return False
        self._heard += data
        while len(self._heard) >= LEASE.size:
            (self._lease_until_s,) = LEASE.unpack(self._heard[: LEASE.size])
            self._heard = self._heard[LEASE.size :]
        return bool(data)

    def _has_ended(self) -> bool:
        """Tell whether the server itself has ended; it is not reaped yet, so that nobody else can have its number."""
        if sys.platform == "linux":
            return os.waitid(os.P_PID, self._server.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        else:  # noqa: RET505 (mypy knows platforms by their branches)
            return self._server.poll() is not None

    def _kill(self) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self._server.pid, signal.SIGKILL)


def main(control_fd: int, command: list[str]) -> int:
    """Start the server, keep it, and tell the node how it ended."""
    control = socket.socket(fileno=control_fd)
    hide_from_neighbours()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    wake, wake_write = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    keeper = os.getpid()
    try:
        server = subprocess.Popen(
            command,
            start_new_session=True,
            restore_signals=True,
            preexec_fn=lambda: _become_server(keeper),  # noqa: PLW1509 (this process has one thread)
        )
    except OSError as error:
        _tell(control, f"`{command[0]}` cannot be started: {(error.strerror or str(error)).lower()}")
        return CANNOT_START
    for fd in (0, 1):  # the server alone holds them: their ends are its own
        os.close(fd)
    status = Keeper(control, server, wake).run()
    _tell(control, f"killed by signal {-status}" if status < 0 else f"exited with code {status}")
    return 0


def _become_server(keeper: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    if not die_with_parent(signal.SIGKILL, keeper):
        os._exit(CANNOT_START)


def _tell(control: socket.socket, how: str) -> None:
    with contextlib.suppress(OSError):
        control.sendall(how.encode())


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[3:]))
