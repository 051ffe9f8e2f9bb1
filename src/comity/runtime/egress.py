"""The way out: one guard for every connection to a place that somebody else may name.

A host is resolved once, every address of it is judged (`core.addresses`), and the connection is made to an address that
was, so that a name cannot lead elsewhere between look and leap. Redirects are answers, the environment's proxies and
.netrc are not read, and certificates are always checked against the name that was asked for.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import httpx2

from comity.core.addresses import is_address, may_reach

CONNECTIONS_MAX = 100
KEPT_S = 2.0
"""How long an idle connection is kept: shorter than servers do, since one that is just closed loses a request."""

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Gives the addresses of a host."""


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Sends requests to addresses that may be reached, and to no others."""

    def __init__(self, *, named: str = "", allow_private: bool = False, resolve: Resolve | None = None) -> None:
        """Guard requests.

        Args:
            named: the URL as the operator wrote it: an address that stands in it may be reached, whatever it is.
            allow_private: names may lead to private addresses.
            resolve: how to look names up; the system's way by default.
        """
        self._named = urlsplit(named).hostname or ""
        self._allow_private = allow_private
        self._resolve = resolve or resolve_here
        # A context without roots trusts nobody; loading those of the system takes long, for plain HTTP in vain.
        has_tls = not named.startswith("http:")
        self._inner = httpx2.AsyncHTTPTransport(
            verify=httpx2.create_ssl_context() if has_tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            trust_env=False,
            limits=httpx2.Limits(max_connections=CONNECTIONS_MAX, keepalive_expiry=KEPT_S),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request to the first address of its host that answers.

        Raises:
            httpx2.ConnectError: no address may be reached, or none was.
        """
        host, method = request.url.raw_host.decode(), request.method
        error: httpx2.HTTPError | None = None
        for address in await self._addresses(host, request.url.port or _PORTS.get(request.url.scheme, 0)):
            url, extensions = request.url.copy_with(host=address), {**request.extensions, "sni_hostname": host}
            to = httpx2.Request(method, url, headers=request.headers, stream=request.stream, extensions=extensions)
            try:
                return await self._inner.handle_async_request(to)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as failed:
                error = failed
        raise error or httpx2.ConnectError(f"`{host}` has no address")

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()

    async def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = [host] if is_address(host) else await self._resolve(host, port)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise httpx2.ConnectError(f"`{host}` cannot be looked up: {why}") from None
        named = self._named if host == self._named else ""
        allowed = [item for item in found if may_reach(item, named=named, allow_private=self._allow_private)]
        if found and not allowed:
            text = f"`{host}` leads to `{found[0]}`, an address of a private network, which `allow_private` would allow"
            raise httpx2.ConnectError(text)
        return allowed


_PORTS = {"http": 80, "https": 443}


async def resolve_here(host: str, port: int) -> list[str]:
    """Return the addresses of a host as this machine knows them, in the order in which to try them.

    Raises:
        OSError: nobody knows the name.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(item[4][0]) for item in found))
