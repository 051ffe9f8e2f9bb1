"""The filter on system calls: what its compiled program decides, read as the kernel reads it."""

from __future__ import annotations

import errno
import socket
import struct

import pytest

from comity.runtime.seccomp import ALLOW, MACHINES, Machine, compiled, policy, refuse

NO = refuse(errno.EACCES)
MPTCP, UDPLITE, PING, NETLINK, VSOCK = 262, 136, 1, 16, 40


def judge(program: list[bytes], architecture: int, number: int, *arguments: int) -> int:
    """Run classic BPF on a call, as far as the filter uses it."""
    call = struct.pack("=iIQ6Q", number, architecture, 0, *arguments, *(0,) * (6 - len(arguments)))
    place, held = 0, 0
    while True:
        code, if_so, if_not, value = struct.unpack("=HBBI", program[place])
        place += 1
        if code == 0x20:
            (held,) = struct.unpack_from("=I", call, value)
        elif code == 0x54:
            held &= value
        elif code == 0x15:
            place += if_so if held == value else if_not
        else:
            assert code == 0x06, "a return"
            return value


@pytest.fixture(params=MACHINES.values(), ids=MACHINES)
def machine(request: pytest.FixtureRequest) -> Machine:
    return request.param


def of_socket(machine: Machine, family: int, kind: int, protocol: int, **allowed: bool) -> int:
    program = compiled(policy(machine, **{"has_internet": True, "has_unix": False, **allowed}))
    return judge(program, machine.architecture, machine.socket, family, kind, protocol)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_tcp_and_udp_are_had_and_what_else_carries_data_is_not(machine: Machine, family: int) -> None:
    flags = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    assert of_socket(machine, family, socket.SOCK_STREAM | flags, 0) == ALLOW
    assert of_socket(machine, family, socket.SOCK_STREAM, socket.IPPROTO_TCP) == ALLOW
    assert of_socket(machine, family, socket.SOCK_DGRAM, socket.IPPROTO_UDP) == ALLOW
    for kind, protocol in (
        (socket.SOCK_STREAM, MPTCP),
        (socket.SOCK_STREAM, socket.IPPROTO_SCTP),
        (socket.SOCK_SEQPACKET, 0),
        (socket.SOCK_RAW, socket.IPPROTO_TCP),
        (socket.SOCK_DGRAM, UDPLITE),
        (socket.SOCK_DGRAM, PING),
    ):
        assert of_socket(machine, family, kind, protocol) == NO


def test_without_a_network_there_is_no_socket_of_the_internet(machine: Machine) -> None:
    assert of_socket(machine, socket.AF_INET, socket.SOCK_STREAM, 0, has_internet=False) == NO
    assert of_socket(machine, socket.AF_INET6, socket.SOCK_DGRAM, 0, has_internet=False) == NO


def test_unix_sockets_are_had_where_they_are_allowed(machine: Machine) -> None:
    assert of_socket(machine, socket.AF_UNIX, socket.SOCK_STREAM, 0) == NO
    assert of_socket(machine, socket.AF_UNIX, socket.SOCK_STREAM, 0, has_unix=True) == ALLOW


def test_of_other_families_only_the_routing_table_is_had(machine: Machine) -> None:
    assert of_socket(machine, NETLINK, socket.SOCK_RAW, 0) == ALLOW
    assert of_socket(machine, NETLINK, socket.SOCK_RAW, 9) == NO
    for family in (VSOCK, 17, 21, 30, 38, 43):
        assert of_socket(machine, family, socket.SOCK_STREAM, 0) == NO


def test_other_calls_are_judged_by_their_arguments(machine: Machine) -> None:
    program = compiled(policy(machine, has_internet=True, has_unix=True))
    fast_open, quiet = 0x2000_0000, 0x4000

    def verdict(number: int, *arguments: int) -> int:
        return judge(program, machine.architecture, number, *arguments)

    assert verdict(machine.sendto, 3, 0, 5, quiet) == ALLOW
    assert verdict(machine.sendto, 3, 0, 5, quiet | fast_open) == refuse(errno.EOPNOTSUPP)
    assert verdict(machine.sendmsg, 3, 0, fast_open) == refuse(errno.EOPNOTSUPP)
    assert verdict(machine.sendmmsg, 3, 0, 1, fast_open) == refuse(errno.EOPNOTSUPP)
    assert verdict(machine.ioctl, 0, 0x5413) == ALLOW
    assert verdict(machine.ioctl, 0, 0x5412) == refuse(errno.EPERM)
    assert verdict(machine.prlimit, 0, 7) == ALLOW
    assert verdict(machine.prlimit, 4711, 7) == refuse(errno.EPERM)
    assert verdict(machine.io_uring_setup, 4) == refuse(errno.ENOSYS)
    assert verdict(0) == ALLOW


def test_a_call_by_another_architectures_numbers_is_not_there(machine: Machine) -> None:
    program = compiled(policy(machine, has_internet=True, has_unix=True))
    assert judge(program, 0x4000_0003, machine.socket) == refuse(errno.ENOSYS)
    assert judge(program, machine.architecture, 0x4000_0000 | machine.socket) == refuse(errno.ENOSYS)
