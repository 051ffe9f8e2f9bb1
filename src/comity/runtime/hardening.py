"""What a process asks of Linux for itself: to die with its parent, and to be unreadable for its neighbours.

Elsewhere these do nothing; the end of a socket then has to do.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import struct
import sys

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
_CLEAR_ALL = 4
_CAPABILITIES_VERSION = 0x2008_0522
KEPT_CAPABILITIES = sum(1 << number for number in (0, 1, 3, 4, 5, 6, 7, 10))
"""What root keeps: owners, modes, signals, users, low ports (CHOWN … SETUID, NET_BIND_SERVICE); nothing that reaches
into the kernel, devices or other processes."""


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


def adopt_orphans() -> None:
    """Have what this process started come back to it as a child when its own parent ends."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def gain_no_privileges() -> None:
    """Have this process, and all that it starts, never gain a privilege; root loses the dangerous ones.

    Source: prctl(2), PR_SET_NO_NEW_PRIVS; capabilities(7).
    """
    if sys.platform != "linux":
        return
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    with contextlib.suppress(OSError):  # an unknown number ends it; without CAP_SETPCAP there are none to drop
        for number in range(64):
            if not KEPT_CAPABILITIES >> number & 1:
                _prctl(PR_CAPBSET_DROP, number)
    _prctl(PR_CAP_AMBIENT, _CLEAR_ALL)
    header = struct.pack("=Ii", _CAPABILITIES_VERSION, 0)
    held = ctypes.create_string_buffer(24)
    _checked(_LIBC.capget(header, held))
    low, high = KEPT_CAPABILITIES & 0xFFFF_FFFF, KEPT_CAPABILITIES >> 32
    kept = [mine & mask for mine, mask in zip(struct.unpack("=6I", held), (low,) * 3 + (high,) * 3, strict=True)]
    _checked(_LIBC.capset(header, struct.pack("=6I", *kept)))


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        _checked(_LIBC.prctl(option, value, 0, 0, 0))


def _checked(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


_LIBC = ctypes.CDLL(None, use_errno=True)
