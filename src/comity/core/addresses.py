"""Which addresses an outgoing connection may reach: the public ones, and those that an operator named literally.

A name that leads elsewhere (loopback, private and link-local networks, the metadata services of clouds) is how a
foreign server or a URL in a prompt reaches into a network. Whoever connects resolves once, asks here, and connects to
the address that was judged.
"""

from __future__ import annotations

import ipaddress
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_SERVICES: Final = (ipaddress.ip_network("192.0.0.0/24"), ipaddress.ip_network("168.63.129.16/32"))
"""Addresses that look public and are services of a cloud to its own machines."""


def may_reach(address: str, *, named: str = "", allow_private: bool = False) -> bool:
    """Tell whether a connection to `address` may be made.

    Args:
        address: a resolved IP address.
        named: the host as the operator wrote it; empty where somebody else wrote the URL. An IP address that stands
            there may be reached, whatever it is, and so may loopback by the name `localhost`.
        allow_private: the operator lets this connection reach private addresses.
    """
    found = _parsed(address)
    if found is None:
        return False
    if allow_private or is_public(found) or found == _parsed(named):
        return True
    return is_loopback_name(named) and found.is_loopback


def is_public(address: Address) -> bool:
    """Tell whether an address belongs to the public internet, and so does the IPv4 address that it may carry."""
    carried = _carried(address)
    if carried is not None:
        return is_public(carried)
    is_service = any(address in network for network in _SERVICES)
    return address.is_global and not address.is_multicast and not address.is_reserved and not is_service


def is_local(host: str) -> bool:
    """Tell whether a host, as it is written, is this machine or an address of a private network."""
    found = _parsed(host)
    return not is_public(found) if found is not None else is_loopback_name(host)


def is_address(host: str) -> bool:
    """Tell whether a host is an address, and so needs no look-up."""
    return _parsed(host) is not None


def is_loopback_name(host: str) -> bool:
    """Tell whether a name means this machine, wherever it is asked (RFC 6761, section 6.3)."""
    return host.lower() == "localhost" or host.lower().endswith(".localhost")


def _parsed(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None


def _carried(address: Address) -> Address | None:
    """Return the IPv4 address to which an IPv6 address is translated on its way, None where there is none."""
    if not isinstance(address, ipaddress.IPv6Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo is not None else None)
