"""Frames on a stream: cut what was read into messages, and write one whole. The layout is in `journal/protocol.py`."""

from __future__ import annotations

import os
from typing import Final

from comity.core.errors import JournalError
from comity.core.limits import FRAME_BYTES_MAX

READ_BYTES: Final = 64 * 1024


class Frames:
    """Cuts a stream into the bodies of its frames."""

    def __init__(self, bytes_max: int = FRAME_BYTES_MAX) -> None:
        """Refuse frames above `bytes_max`."""
        self._bytes_max = bytes_max
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the bodies that `data` completes; what is left waits for the next piece.

        Raises:
            JournalError: A frame says that it is longer than the limit: the other side is not one of ours.
        """
        rest = self._rest
        if not rest and len(data) >= 4 and int.from_bytes(data[:4], "big") == len(data) - 4:
            return [data[4:]]
        rest += data
        start = 0
        bodies: list[bytes] = []
        while len(rest) - start >= 4:
            end = start + 4 + int.from_bytes(rest[start : start + 4], "big")
            if end - start - 4 > self._bytes_max:
                raise JournalError(
                    "frame_too_long", f"a frame of `{end - start - 4}` bytes, the limit is {self._bytes_max}"
                )
            if end > len(rest):
                break
            bodies.append(bytes(rest[start + 4 : end]))
            start = end
        del rest[:start]
        return bodies


def read_some(fd: int) -> bytes:
    """Return what is there to read on a blocking descriptor; nothing at its end, or where the other side was killed."""
    try:
        return os.read(fd, READ_BYTES)
    except ConnectionResetError:
        return b""


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data` to a blocking descriptor."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
