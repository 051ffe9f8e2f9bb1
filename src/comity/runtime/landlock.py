"""Landlock: a process gives up rights for good, for itself and for all that it starts.

The kernel's interface and nothing else: `isolation.py` says who gives up what. Of rights that the running kernel does
not know yet none is given up, so an older kernel enforces less; `abi` tells what it knows.
Source: landlock(7); Documentation/userspace-api/landlock.rst.
"""

from __future__ import annotations

import ctypes
import enum
import functools
import os
import stat
import struct
import sys
from typing import Self

ABI_FILES, ABI_PORTS, ABI_SCOPES = 1, 4, 6
"""The ABI with which a kernel can restrict files, TCP ports, and signals with abstract sockets."""

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_RULE_PATH, _RULE_PORT = 1, 2
_BIND, _CONNECT = 1, 2
_ABSTRACT_SOCKETS, _SIGNALS = 1, 2
_LIBC = ctypes.CDLL(None, use_errno=True)


class Files(enum.IntFlag):
    """What may be done with files and folders; a right on a folder holds for everything below it."""

    EXECUTE = 1 << 0
    WRITE = 1 << 1
    READ = 1 << 2
    LIST = 1 << 3
    REMOVE_FOLDER = 1 << 4
    REMOVE = 1 << 5
    MAKE_CHARACTER_DEVICE = 1 << 6
    MAKE_FOLDER = 1 << 7
    MAKE_FILE = 1 << 8
    MAKE_SOCKET = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK_DEVICE = 1 << 11
    MAKE_LINK = 1 << 12
    MOVE = 1 << 13
    TRUNCATE = 1 << 14
    CONTROL_DEVICE = 1 << 15


OF_A_FILE = Files.EXECUTE | Files.WRITE | Files.READ | Files.TRUNCATE | Files.CONTROL_DEVICE
"""The rights that a rule on something else than a folder can hold."""
_SINCE = {Files.MOVE: 2, Files.TRUNCATE: 3, Files.CONTROL_DEVICE: 5}


@functools.cache
def abi() -> int:
    """Return the version of the kernel's interface; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    try:
        return _call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    except OSError:  # not built in, or not switched on at boot
        return 0


class Ruleset:
    """What the calling process may do once it has called `restrict`. A context manager, which closes it.

    Signals and abstract Unix sockets beyond its own processes are given up always; files and TCP ports where asked,
    but for what `allow` and `allow_port` name. Without them it is a domain of its own, which others of a kind with it
    can neither trace nor signal.
    """

    def __init__(self, *, has_files: bool = False, has_ports: bool = False) -> None:
        known = abi()
        # No ruleset may be empty, and nobody makes devices.
        files = Files.MAKE_BLOCK_DEVICE | Files.MAKE_CHARACTER_DEVICE
        if has_files:
            files = Files(sum(right for right in Files if _SINCE.get(right, ABI_FILES) <= known))
        ports = _BIND | _CONNECT if has_ports and known >= ABI_PORTS else 0
        scopes = _ABSTRACT_SOCKETS | _SIGNALS if known >= ABI_SCOPES else 0
        fields = 3 if known >= ABI_SCOPES else 2 if known >= ABI_PORTS else 1
        given = struct.pack(f"{fields}Q", *(files, ports, scopes)[:fields])
        self._files = files
        self._ports = ports
        self._fd = _call(_CREATE_RULESET, given, len(given), 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def allow(self, path: str, rights: Files) -> None:
        """Allow `rights` on a file, or on a folder and all below it; what is not there (any more) is left out."""
        try:
            fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (FileNotFoundError, PermissionError, NotADirectoryError):
            return
        try:
            possible = self._files if stat.S_ISDIR(os.fstat(fd).st_mode) else self._files & OF_A_FILE
            if rights & possible:
                _call(_ADD_RULE, self._fd, _RULE_PATH, struct.pack("=Qi", rights & possible, fd), 0)
        finally:
            os.close(fd)

    def allow_port(self, port: int, *, may_connect: bool = False, may_listen: bool = False) -> None:
        """Allow to use a TCP port; to listen on 0 is to listen on whatever free one the kernel gives."""
        rights = (_CONNECT * may_connect | _BIND * may_listen) & self._ports
        if rights:
            _call(_ADD_RULE, self._fd, _RULE_PORT, struct.pack("=QQ", rights, port), 0)

    def restrict(self) -> None:
        """Give up all that the rules do not allow, now and for good. Call `gain_no_privileges` before."""
        _call(_RESTRICT_SELF, self._fd, 0)

    def close(self) -> None:
        """Close it; what was restricted stays so."""
        os.close(self._fd)


def _call(number: int, *arguments: int | bytes | None) -> int:
    """Make a system call.

    Raises:
        OSError: The kernel refuses.
    """
    given = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    result = int(_LIBC.syscall(ctypes.c_long(number), *given))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
