"""Which addresses an outgoing connection may reach."""

from __future__ import annotations

import pytest

from comity.core.addresses import is_local, may_reach

PRIVATE = [
    "127.0.0.1",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "192.0.0.192",
    "168.63.129.16",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2001:0:0:0:0:0:f5ff:fffe",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_of_a_network_behind_the_public_one_is_refused_unless_an_operator_lets_it(address):
    assert not may_reach(address)
    assert not may_reach(address, named="tools.example.com")
    assert may_reach(address, allow_private=True)
    assert may_reach(address, named=address)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_a_public_address_may_be_reached(address):
    assert may_reach(address)


def test_what_is_no_address_is_refused_whatever_is_allowed():
    assert not may_reach("example.com", named="example.com", allow_private=True)
    assert not may_reach("")


def test_localhost_means_loopback_and_nothing_else():
    assert may_reach("127.0.0.1", named="localhost")
    assert may_reach("::1", named="Api.Localhost")
    assert not may_reach("10.0.0.1", named="localhost")
    assert not may_reach("127.0.0.1", named="localhost.example.com")
    assert not may_reach("127.0.0.1")


def test_another_address_than_the_named_one_is_refused():
    assert not may_reach("10.0.0.2", named="10.0.0.1")
    assert may_reach("::1", named="[::1]")


def test_a_host_is_local_as_it_is_written():
    assert [is_local(host) for host in ("10.0.0.1", "[fd00::1]", "localhost")] == [True, True, True]
    assert [is_local(host) for host in ("8.8.8.8", "example.com", "")] == [False, False, False]
