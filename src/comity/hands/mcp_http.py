"""The `mcp` library's transport over HTTP, and what stands between it and the network.

The library ends a whole connection where one request cannot be sent; here that costs the one request. What its server
said before the message (a status, a redirect) is told to the call that it concerns, which knows then what happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any

import httpx2
from mcp.client.streamable_http import streamable_http_client
from mcp_types import INTERNAL_ERROR

from comity.core.codec import canonical
from comity.hands.mcp_sending import SENDING, NotSent, Sending

ANSWER_BYTES_MAX = 64 * 1024 * 1024
FAREWELL_S_MAX = 1.0
_PHASES = ("connect", "read", "write", "pool")
_UNTOUCHED = {
    401: "it does not know us (401): check the variables that `headers_env` names",
    403: "it does not let us (403): check the variables that `headers_env` names",
}
"""Statuses by which a server says that it did nothing. Source: RFC 9110, sections 15.5.2 and 15.5.4."""


class HttpWay:
    """A connection to a server over HTTP. `lost` is set when the server no longer knows it."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        transport: httpx2.AsyncBaseTransport,
        connect_timeout_s: float,
    ) -> None:
        """Reach `url` by `transport`, with `headers` on each request."""
        self.lost = asyncio.Event()
        self.trouble = ""
        self._url = url
        self._headers = {"user-agent": "comity", "accept-encoding": "identity", **headers}
        self._transport = transport
        self._timeout = httpx2.Timeout(None, connect=connect_timeout_s, pool=connect_timeout_s)
        self._stack = AsyncExitStack()

    def tell_lease(self, until_s: float) -> None:
        """Leave it: nothing of the node's runs there."""

    async def __aenter__(self) -> tuple[Any, Any]:
        """Open the connection; nothing is sent yet."""
        outlet = Outlet(self._transport, self._hear)
        client = httpx2.AsyncClient(
            transport=outlet,
            headers=self._headers,
            timeout=self._timeout,
            trust_env=False,
            follow_redirects=False,
        )
        await self._stack.enter_async_context(client)
        return await self._stack.enter_async_context(
            streamable_http_client(self._url, http_client=client, max_sse_event_size=ANSWER_BYTES_MAX)
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Close the connection."""
        self.lost.set()
        return await self._stack.__aexit__(kind, error, trace)

    def _hear(self, trouble: str, is_lost: bool) -> None:  # noqa: FBT001 (called by position, as callbacks are)
        self.trouble = trouble
        if is_lost:
            self.lost.set()


class Outlet(httpx2.AsyncBaseTransport):
    """Sends requests by another transport, and turns every failure of it into an answer with a JSON-RPC error."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, on_trouble: Callable[[str, bool], None]) -> None:
        """Send by `inner`; `on_trouble` is told what went wrong, and whether the session is lost with it."""
        self._inner = inner
        self._on_trouble = on_trouble

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; a call's permit is looked at when the first byte of its head is about to leave."""
        sending = SENDING.get()
        if request.method == "DELETE":  # a courtesy at the end, which nothing waits for
            request.extensions = {**request.extensions, "timeout": dict.fromkeys(_PHASES, FAREWELL_S_MAX)}
        if sending is not None:
            request.extensions = {**request.extensions, "trace": _look_at(sending)}
        try:
            response = await self._inner.handle_async_request(request)
        except NotSent:
            return _error(503, "the permit ran out before the call was sent")
        except httpx2.HTTPError as error:
            trouble = str(error) or type(error).__name__
            self._on_trouble(trouble, False)
            return _error(502, trouble)
        trouble, is_lost = _trouble(request, response)
        if trouble:
            await response.aclose()
            self._on_trouble(trouble, is_lost)
            if sending is not None:
                sending.refused, sending.is_stale = trouble, is_lost
            return _error(502, trouble)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            return _error(502, "its answer is compressed, which nobody asked for")
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=_Body(response.stream),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()


class _Body(httpx2.AsyncByteStream):
    """An answer's body; one that breaks off, or never ends, just ends: what it was to say is not whole then."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        try:
            async for chunk in self._inner:
                size += len(chunk)
                if size > ANSWER_BYTES_MAX:
                    return
                yield chunk
        except httpx2.HTTPError:
            return

    async def aclose(self) -> None:
        await self._inner.aclose()


def _look_at(sending: Sending) -> Callable[[str, Any], Any]:
    """Return what the network's library calls at each of its steps; it may still hold the call back."""

    async def step(name: str, _info: Any) -> None:
        if name.endswith("send_request_headers.started") and not sending.may_begin():
            raise NotSent

    return step


def _trouble(request: httpx2.Request, response: httpx2.Response) -> tuple[str, bool]:
    """Return what is wrong where the server did nothing with a request, and whether it forgot the session."""
    if 300 <= response.status_code < 400:
        return f"it answers with a redirect ({response.status_code}), which is not followed", False
    if response.status_code == 404 and "mcp-session-id" in request.headers:
        return "it no longer knows the session", True
    return _UNTOUCHED.get(response.status_code, ""), False


def _error(status: int, message: str) -> httpx2.Response:
    error = {"code": INTERNAL_ERROR, "message": message}
    body = canonical({"jsonrpc": "2.0", "id": None, "error": error})
    return httpx2.Response(status, headers={"content-type": "application/json"}, content=body)
