"""The program of a guardian: it starts one program, isolated, and answers for its end.

Started as `python -P -s -m comity.runtime.launch CONTROL`, so that nothing is done between fork and exec in a process
that has threads. What the program leaves behind becomes the guardian's child: nothing of it is there any more when the
program has ended or the supervisor is gone. An error before the program runs keeps it from running.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from comity.core.clock import SystemClock
from comity.journal.framing import Frames
from comity.runtime.hardening import adopt_orphans, die_with_parent, hide_from_neighbours
from comity.runtime.isolation import isolate
from comity.runtime.launching import (
    FromGuardian,
    Launch,
    NotStarted,
    ProgramEnded,
    Started,
    ToGuardian,
    decode_to_guardian,
    guardian_frame,
)

LEFT_ALONE = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals that mean the program or the supervisor, never the guardian between them."""
NEVER = float("inf")


class Guardian:
    """Looks after one program."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._clock = SystemClock()
        self._frames = Frames()
        self._pid = 0
        self._status: int | None = None
        self._until_s = NEVER
        self._wake, wake_write = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake_write, False)
        for number in LEFT_ALONE:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)

    def run(self) -> None:
        """Start what the supervisor asks for; return when it, and all that it started, is gone."""
        launch = next(self._heard(), None)
        if not isinstance(launch, Launch):
            return
        try:
            self._pid = _start(launch)
        except OSError as error:
            self._say(NotStarted(error.strerror or str(error)))
            return
        for fd in launch.fds:  # it alone holds them: their end is its end
            os.close(fd)
        self._say(Started(self._pid))
        self._look_after(launch)
        self._end_all(launch)
        assert self._status is not None, "it was waited for"
        self._say(ProgramEnded(self._status))

    def _look_after(self, launch: Launch) -> None:
        """Do as the supervisor says until the program has ended, or is to be ended."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while self._status is None and (left_s := self._until_s - self._clock.monotonic_s()) > 0:
            for fd, _ in poll.poll(None if left_s == NEVER else left_s * 1_000):
                if fd == self._wake:
                    self._reap()
                    continue
                messages = list(self._heard())
                if not messages:
                    poll.unregister(self._control)
                    self._end(signal.SIGTERM, launch.grace_s)
                for message in messages:
                    if not isinstance(message, Launch):
                        self._end(message.signal, NEVER)

    def _end(self, number: int, grace_s: float) -> None:
        """Send the program a signal; after so long it is ended with all that it started."""
        with suppress(ProcessLookupError):
            os.kill(self._pid, number)
        self._until_s = self._clock.monotonic_s() + (0 if number == signal.SIGKILL else grace_s)

    def _reap(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._wake, 4_096)
        while self._reap_one(os.WNOHANG):
            pass

    def _reap_one(self, flags: int) -> bool:
        """Take leave of a child that has ended; return whether there was one."""
        try:
            pid, status = os.waitpid(-1, flags)
        except ChildProcessError:
            return False
        if pid == self._pid:
            self._status = os.waitstatus_to_exitcode(status)
        return pid != 0

    def _end_all(self, launch: Launch) -> None:
        """End the program and what is left of all that it started; return when the last of it is gone."""
        is_over = False
        while not is_over:
            if sys.platform != "linux" and not launch.has_terminal:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._pid, signal.SIGKILL)
            for pid in _children():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            is_over = not self._reap_one(0)

    def _heard(self) -> Iterator[ToGuardian]:
        """Yield what the supervisor says next; nothing where it is gone."""
        bodies: list[bytes] = []
        while not bodies:
            try:
                data = self._control.recv(65_536)
            except ConnectionResetError:
                data = b""
            if not data:
                return
            bodies = self._frames.feed(data)
        yield from map(decode_to_guardian, bodies)

    def _say(self, message: FromGuardian) -> None:
        with suppress(OSError):  # nobody is left to hear it
            self._control.sendall(guardian_frame(message))


def _start(launch: Launch) -> int:
    """Start the program and return its pid.

    Raises:
        OSError: It is not there, or cannot be isolated.
    """
    guardian = os.getpid()
    read, write = os.pipe()

    def begin() -> None:
        try:
            signal.set_wakeup_fd(-1)
            for number in (*LEFT_ALONE, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            if launch.isolation is not None:
                isolate(launch.isolation)
            if not die_with_parent(signal.SIGKILL, guardian):
                os._exit(1)
        except OSError as error:
            os.write(write, f"it cannot be isolated: {error}".encode())
            raise

    try:
        process = subprocess.Popen(
            launch.arguments,
            env=launch.environment,
            pass_fds=launch.fds,
            process_group=None if launch.has_terminal else 0,
            preexec_fn=begin,  # noqa: PLW1509 - this process has one thread
        )
    except subprocess.SubprocessError:
        os.close(write)
        write = -1
        raise OSError(os.read(read, 4_096).decode(errors="replace") or "it ended before it began") from None
    finally:
        os.close(read)
        if write >= 0:
            os.close(write)
    process.returncode = 0  # the guardian reaps it, with all others
    return process.pid


def _children() -> list[int]:
    """Return the pids of this process's children, as Linux tells them; what nobody waited for has not been reused."""
    mine = str(os.getpid())
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            if fields[1] == mine:
                found.append(int(folder.name))
    return found


def main(control_fd: int) -> None:
    """Be a guardian."""
    hide_from_neighbours()
    adopt_orphans()
    Guardian(socket.socket(fileno=control_fd)).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
