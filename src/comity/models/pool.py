"""The connections to one upstream: opened when needed, kept for a moment, over TLS and through a proxy where asked."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

import httpx2

from comity.models import failure
from comity.models.connection import Connection
from comity.models.reaching import Resolve, connect
from comity.models.settings import Upstream

CONNECTIONS_MAX = 1_000
IDLE_MAX = 100
IDLE_S = 4.0
"""An idle connection is closed after so long: servers hang up after five seconds and more."""
DRAIN_S = 0.25
"""So long may the end of a body take after the end of the answer in it, for its connection to be used again."""
_PATH = "/%:@!$&'()*+,;=~-._"
_PORTS = {"http": 80, "https": 443}


class Endpoint(NamedTuple):
    """Where a URL leads."""

    scheme: str
    host: str
    port: int
    path: str
    user: str

    @property
    def authority(self) -> str:
        """Return host and port as a URL has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


class ConnectionPool:
    """A pool; it belongs to the event loop on which it is used first."""

    def __init__(self, name: str, upstream: Upstream, resolve: Resolve | None = None) -> None:
        """Open nothing yet; `resolve` looks names up, the system's way by default."""
        self._resolve = resolve
        self._name = name
        self._upstream = upstream
        self._target = _endpoint(upstream.base_url)
        self._proxy = _endpoint(upstream.proxy) if upstream.proxy else None
        self._tls: ssl.SSLContext | None = None
        self._idle: dict[Connection, asyncio.TimerHandle] = {}
        self._all: set[Connection] = set()
        self._slots = asyncio.Semaphore(CONNECTIONS_MAX)

    @asynccontextmanager
    async def post(self, path: str, headers: Mapping[str, str], body: bytes) -> AsyncIterator[Connection]:
        """Send a request below the base URL; give its connection when the head of the answer is there.

        Raises:
            ComityError: `model_unreachable` where nothing was sent; else `model_broken` or `model_timeout`.
        """
        connection = await self._connection()
        try:
            await connection.ask(self._head(path, headers, len(body)), body)
            yield connection
        except BaseException:
            connection.close()
            raise
        else:
            self._give_back(connection)
        finally:
            self._slots.release()

    async def aclose(self) -> None:
        """Close all connections."""
        for alarm in self._idle.values():
            alarm.cancel()
        self._idle.clear()
        for connection in self._all:
            connection.close()
        if self._all:
            await asyncio.wait([connection.lost for connection in self._all])

    async def _connection(self) -> Connection:
        """Return a connection that is idle, or a new one."""
        try:
            async with asyncio.timeout(self._upstream.connect_timeout_s):
                await self._slots.acquire()
                try:
                    return self._idle_one() or await self._open()
                except BaseException:
                    self._slots.release()
                    raise
        except TimeoutError:
            raise failure.unreachable(self._name, "no connection was made in time") from None
        except OSError as error:
            raise failure.unreachable(self._name, (error.strerror or str(error)).lower()) from None

    def _idle_one(self) -> Connection | None:
        while self._idle:
            connection, alarm = self._idle.popitem()
            alarm.cancel()
            if connection.is_usable:
                return connection
        return None

    async def _open(self) -> Connection:
        first = self._proxy or self._target
        connection = await connect(
            lambda: Connection(self._name, self._upstream.timeout_s),
            first.host,
            first.port,
            self._context() if first.scheme == "https" else None,
            allow_private=self._upstream.allow_private or self._proxy is not None,
            resolve=self._resolve,
        )
        self._all.add(connection)
        connection.lost.add_done_callback(lambda _: self._all.discard(connection))
        if self._proxy is not None and self._target.scheme == "https":
            try:
                await self._go_through(connection, self._proxy)
            except BaseException:
                connection.close()
                raise
        return connection

    async def _go_through(self, connection: Connection, proxy: Endpoint) -> None:
        """Let a proxy connect to the target, and encrypt what goes there."""
        target = self._target
        authority = f"[{target.host}]:{target.port}" if ":" in target.host else f"{target.host}:{target.port}"
        head = [f"CONNECT {authority} HTTP/1.1", f"host: {authority}", *_authorization(proxy), "", ""]
        status = await connection.tunnel("\r\n".join(head).encode())
        if status != 200:
            raise failure.unreachable(self._name, f"the proxy answered {status}")
        loop = asyncio.get_running_loop()
        made = await loop.start_tls(connection.transport, connection, self._context(), server_hostname=target.host)
        assert made is not None
        connection.secured(made)

    def _context(self) -> ssl.SSLContext:
        """Return the context with the system's roots; the environment's variables are not asked."""
        if self._tls is None:
            self._tls = httpx2.create_ssl_context(trust_env=False)
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    def _head(self, path: str, headers: Mapping[str, str], size: int) -> bytes:
        target, proxy = self._target, self._proxy
        is_absolute = proxy is not None and target.scheme == "http"
        place = f"http://{target.authority}{target.path}{path}" if is_absolute else f"{target.path}{path}"
        lines = [f"POST {place} HTTP/1.1", f"host: {target.authority}", f"content-length: {size}"]
        if proxy is not None and is_absolute:
            lines += _authorization(proxy)
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode()

    def _give_back(self, connection: Connection) -> None:
        """Let a connection come to the end of its answer, unless that takes long, and keep it."""
        if connection.is_over:
            self._keep(connection)
            return
        alarm = asyncio.get_running_loop().call_later(DRAIN_S, connection.close)

        def keep() -> None:
            alarm.cancel()
            self._keep(connection)

        connection.drain(keep)

    def _keep(self, connection: Connection) -> None:
        """Keep a connection whose answer is over for the next request, for a moment."""
        if connection.is_usable and len(self._idle) < IDLE_MAX:
            self._idle[connection] = asyncio.get_running_loop().call_later(IDLE_S, self._drop, connection)
        else:
            connection.close()

    def _drop(self, connection: Connection) -> None:
        self._idle.pop(connection, None)
        connection.close()


def _endpoint(url: str) -> Endpoint:
    """Return where a URL leads; a ValueError says that it leads nowhere."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS:
        raise ValueError(parts.scheme)
    user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}" if "@" in parts.netloc else ""
    host = (parts.hostname or "").encode("idna").decode()
    return Endpoint(
        parts.scheme, host, parts.port or _PORTS[parts.scheme], quote(parts.path.rstrip("/"), safe=_PATH), user
    )


def _authorization(proxy: Endpoint) -> list[str]:
    return [f"proxy-authorization: Basic {b64encode(proxy.user.encode()).decode()}"] if proxy.user else []
