"""The node's end of a socket pair: frames in, frames out, never blocking the loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence

from comity.core.errors import JournalError
from comity.core.limits import FRAME_BYTES_MAX
from comity.journal.framing import READ_BYTES, Frames


class Channel:
    """Calls `on_frame` with each body that arrives, and `on_end` once: at the stream's end or at a frame too long."""

    def __init__(
        self,
        sock: socket.socket,
        on_frame: Callable[[bytes], None],
        on_end: Callable[[], None],
        bytes_max: int = FRAME_BYTES_MAX,
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._on_frame = on_frame
        self._on_end = on_end
        self._frames = Frames(bytes_max)
        self._outbox: deque[tuple[memoryview, Sequence[int]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._is_open = True
        self._loop.add_reader(sock, self._readable)

    def write(self, data: bytes, fds: Sequence[int] = ()) -> bool:
        """Send `data`, or keep it until the socket takes it. `fds` go with it and are closed here afterwards.

        Returns:
            False where the other side is known to be gone: nothing of `data` was or will be sent.
        """
        if not self._is_open:
            _close_all(fds)
            return False
        view = memoryview(data)
        if not self._outbox:
            try:
                sent = self._send(view, fds)
            except OSError:
                _close_all(fds)
                return False
            if sent == len(view):
                return True
            view, fds = view[sent:], () if sent else fds
            self._loop.add_writer(self._sock, self._writable)
        self._outbox.append((view, fds))
        return True

    def drain(self) -> None:
        """Take what has arrived already: the last words of a process that is gone."""
        while self._is_open and self._readable():
            pass

    def close(self) -> None:
        """Close this end; `on_end` is not called."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()
            for _, fds in self._outbox:
                _close_all(fds)
            self._outbox.clear()

    def _send(self, view: memoryview, fds: Sequence[int]) -> int:
        """Send what the socket takes; the descriptors go with the first byte."""
        try:
            if not fds:
                return self._sock.send(view)
            sent = socket.send_fds(self._sock, [view], fds)
        except (BlockingIOError, InterruptedError):
            return 0
        _close_all(fds)
        return sent

    def _writable(self) -> None:
        try:
            while self._outbox:
                view, fds = self._outbox.popleft()
                sent = self._send(view, fds)
                if sent < len(view):
                    self._outbox.appendleft((view[sent:], () if sent else fds))
                    return
        except OSError:
            self._outbox.clear()  # the reader will see the end
        self._loop.remove_writer(self._sock)

    def _readable(self) -> bool:
        """Read once; return whether there may be more."""
        try:
            data = self._sock.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data = b""
        if not data:
            self._ended()
            return False
        try:
            for body in self._frames.feed(data):
                self._on_frame(body)
                if not self._is_open:
                    return False
        except JournalError:
            self._ended()
            return False
        return True

    def _ended(self) -> None:
        self.close()
        self._on_end()


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
