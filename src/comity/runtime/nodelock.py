"""A node's life as a file lock: held by the node and, as the same open file, by each of its hands.

The lock is free only when all of them are gone; a frozen process still holds it. So a node that restarts on the same
machine knows at once that no old hand can still act. Source: flock(2): a lock belongs to the open file, and inherited
descriptors share it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from pathlib import Path

from comity.core.errors import LeaseError
from comity.core.ids import Id, show_id

PROBES = 5
PROBE_S = 0.001


class NodeLock:
    """A held lock; `fd` is what hands inherit."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.fd = fd

    @classmethod
    def acquire(cls, path: Path) -> NodeLock:
        """Take the lock at once.

        Raises:
            LeaseError: Another process holds it: the node runs, or a hand of its last life does.
        """
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for _ in range(PROBES):  # a neighbour that only asks `is_free` holds it for microseconds
            if _try_lock(fd):
                os.ftruncate(fd, 0)
                os.write(fd, f"{os.getpid()}\n".encode())
                return cls(path, fd)
            time.sleep(PROBE_S)
        os.close(fd)
        raise LeaseError(
            "node_is_alive",
            f"`{path.name}` is held",
            hint="another node process, or a hand of its last life, still runs",
        )

    def fileno(self) -> int:
        """Return the descriptor to inherit."""
        return self.fd

    def release(self) -> None:
        """Give up this process's share; hands that live on keep theirs."""
        with contextlib.suppress(OSError):
            os.close(self.fd)


def lock_path(home: Path, node: Id) -> Path:
    """Return where the lock of `node` lies."""
    return home / "nodes" / f"{show_id(node)}.lock"


def is_free(path: Path) -> bool:
    """Tell whether a node of this machine and all of its hands are gone; a node that never locked is."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        return _try_lock(fd)
    finally:
        os.close(fd)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True
