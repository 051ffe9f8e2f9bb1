"""What a process asks of Linux for itself: to die with its parent, and to be unreadable for its neighbours.

Elsewhere these do nothing; the end of a socket then has to do.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4


def die_with_parent(signal_number: signal.Signals, parent: int) -> bool:
    """Have the kernel send this process a signal when the thread that started it ends.

    Returns:
        Whether `parent` is still there: where not, the signal will never come and the caller ends itself.
    """
    _prctl(PR_SET_PDEATHSIG, signal_number)
    return os.getppid() == parent


def allow_many_descriptors() -> None:
    """Raise the limit of open descriptors as far as this process may: a node has two for each of its processes."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # some systems name a limit that they do not grant
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def hide_from_neighbours() -> None:
    """Make memory and environment of this process unreadable for others of the same user (`/proc/<pid>/…`, ptrace)."""
    _prctl(PR_SET_DUMPABLE, 0)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux" and _LIBC.prctl(option, value, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


_LIBC = ctypes.CDLL(None, use_errno=True)
