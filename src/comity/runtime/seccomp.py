"""A filter on system calls, for the ways around Landlock.

Landlock judges TCP ports, but not a connection that is made by MPTCP, with the first packet's data, or by io_uring;
nor Unix sockets, by which a desktop's or a container engine's service starts anything. What a filter decides is a tree
of questions about a call's number and arguments; it is compiled to classic BPF. Source: seccomp(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
import sys
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

ALLOW = 0x7FFF_0000
_REFUSE = 0x0005_0000
_LOAD, _AND, _IS, _RETURN = 0x20, 0x54, 0x15, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_EVERY_BIT = 0xFFFF_FFFF
_X32 = 0x4000_0000
_SOCK_TYPE = 0xF
_IPPROTO_TCP, _IPPROTO_UDP = 6, 17
_MSG_FASTOPEN = 0x2000_0000
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_PR_GET_SECCOMP, _PR_SET_SECCOMP, _MODE_FILTER = 21, 22, 2
_LIBC = ctypes.CDLL(None, use_errno=True)


class Ask(NamedTuple):
    """A question about 32 bits of a call: `cases` by their value, after `mask`; else `otherwise`."""

    offset: int
    cases: Mapping[int, Tree]
    otherwise: Tree
    mask: int = _EVERY_BIT


Tree: TypeAlias = int | Ask
"""A verdict, or a question whose answer leads to one."""


class Machine(NamedTuple):
    """What a processor's architecture calls what a filter asks about."""

    architecture: int
    socket: int
    sendto: int
    sendmsg: int
    sendmmsg: int
    ioctl: int
    prlimit: int
    io_uring_setup: int = 425


MACHINES = {
    "x86_64": Machine(0xC000_003E, 41, 44, 46, 307, 16, 302),
    "aarch64": Machine(0xC000_00B7, 198, 206, 211, 269, 29, 261),
}


def machine() -> Machine | None:
    """Return this machine, or None where it takes no filter, or none is known for it."""
    if sys.platform != "linux" or _LIBC.prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) < 0:
        return None
    return MACHINES.get(platform.machine())


def refuse(code: int) -> int:
    """Return the verdict that fails a call with an errno."""
    return _REFUSE | code


def policy(kind: Machine, *, has_internet: bool, has_unix: bool) -> Tree:
    """Return what a brain or program may call: all, but for sockets that lead round Landlock, and harm to others.

    Args:
        kind: the machine.
        has_internet: whether TCP (as Landlock allows it) and UDP are to be had.
        has_unix: whether Unix sockets are; pairs of them always are.
    """
    no = refuse(errno.EACCES)
    of_type = {
        int(socket.SOCK_STREAM): _asked(2, {0: ALLOW, _IPPROTO_TCP: ALLOW}, no),
        int(socket.SOCK_DGRAM): _asked(2, {0: ALLOW, _IPPROTO_UDP: ALLOW}, no),
    }
    internet = _asked(1, of_type, no, _SOCK_TYPE) if has_internet else no
    families: dict[int, Tree] = {
        int(socket.AF_UNIX): ALLOW if has_unix else no,
        int(socket.AF_INET): internet,
        int(socket.AF_INET6): internet,
        16: _asked(2, {0: ALLOW}, no),  # the routing table, which a look-up of names reads
    }
    no_fast_open = refuse(errno.EOPNOTSUPP)
    calls: dict[int, Tree] = {
        kind.socket: _asked(0, families, no),
        kind.sendto: _asked(3, {0: ALLOW}, no_fast_open, _MSG_FASTOPEN),
        kind.sendmsg: _asked(2, {0: ALLOW}, no_fast_open, _MSG_FASTOPEN),
        kind.sendmmsg: _asked(3, {0: ALLOW}, no_fast_open, _MSG_FASTOPEN),
        kind.ioctl: _asked(1, {_TIOCSTI: refuse(errno.EPERM), _TIOCLINUX: refuse(errno.EPERM)}, ALLOW),
        kind.prlimit: _asked(0, {0: ALLOW}, refuse(errno.EPERM)),  # a limit of another process can end it
        kind.io_uring_setup: refuse(errno.ENOSYS),
    }
    unknown = refuse(errno.ENOSYS)
    by_number = Ask(_NUMBER_AT, {0: Ask(_NUMBER_AT, calls, ALLOW)}, unknown, _X32)
    return Ask(_ARCHITECTURE_AT, {kind.architecture: by_number}, unknown)


def compiled(tree: Tree) -> list[bytes]:
    """Return the instructions that answer a tree: each branch ends with its verdict, so nothing jumps far."""
    if isinstance(tree, int):
        return [_instruction(_RETURN, tree)]
    program = [_instruction(_LOAD, tree.offset)]
    if tree.mask != _EVERY_BIT:
        program.append(_instruction(_AND, tree.mask))
    for value, branch in tree.cases.items():
        inner = compiled(branch)
        program += [_instruction(_IS, value, if_not=len(inner)), *inner]
    return program + compiled(tree.otherwise)


def install(tree: Tree) -> None:
    """Have this process, and all that it starts, judged by it for good. Call `gain_no_privileges` before.

    Raises:
        OSError: The kernel refuses.
    """
    program = compiled(tree)
    code = ctypes.create_string_buffer(b"".join(program), len(program) * 8)
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
    if _LIBC.prctl(_PR_SET_SECCOMP, _MODE_FILTER, header, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _asked(argument: int, cases: Mapping[int, Tree], otherwise: Tree, mask: int = _EVERY_BIT) -> Ask:
    """Return a question about a call's argument: its lower half, which is all that the kernel looks at in these."""
    return Ask(_ARGUMENTS_AT + 8 * argument, cases, otherwise, mask)


def _instruction(code: int, value: int, if_not: int = 0) -> bytes:
    return struct.pack("=HBBI", code, 0, if_not, value)
