"""Connections to where an operator said that models are, and to no address to which that name leads in secret.

A host is resolved once, its addresses are judged (`core.addresses`), and the connection is made to one that was. So a
name in somebody else's hands cannot lead a request, with its key, into the network behind the server.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import TypeVar

from comity.core.addresses import is_address, may_reach

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Gives the addresses of a host."""
Made = TypeVar("Made", bound=asyncio.Protocol)


async def connect(
    make: Callable[[], Made],
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
    *,
    allow_private: bool,
    resolve: Resolve | None = None,
) -> Made:
    """Connect to the first address of `host`, as an operator wrote it, that may be reached and answers.

    An address that stands there, or `localhost`, may be reached; names lead to private addresses only where
    `allow_private`.

    Raises:
        OSError: none was.
    """
    loop, error = asyncio.get_running_loop(), OSError(f"`{host}` has no address")
    name = host if tls is not None else None
    for address in await _addresses(host, port, resolve or _resolve, allow_private=allow_private):
        try:
            _, made = await loop.create_connection(make, address, port, ssl=tls, server_hostname=name)
        except OSError as failed:
            error = failed
        else:
            return made
    raise error


async def _addresses(host: str, port: int, resolve: Resolve, *, allow_private: bool) -> list[str]:
    found = [host] if is_address(host) else await resolve(host, port)
    allowed = [item for item in found if may_reach(item, named=host, allow_private=allow_private)]
    if found and not allowed:
        text = f"`{host}` leads to `{found[0]}`, an address of a private network, which `allow_private` would allow"
        raise PermissionError(text)
    return allowed


async def _resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host as this machine knows them, in the order in which to try them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(item[4][0]) for item in found))
