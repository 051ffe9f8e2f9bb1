"""The server of a node: one port for the API, the gateway, health and metrics, in the node's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from comity.core.errors import ComityError, UsageError
from comity.runtime.log import redacted
from comity.runtime.node import Node
from comity.runtime.words import one_line
from comity.server import coordination_door, events, metrics, openapi
from comity.server.auth import Gatekeeper, Operators, TaskTokens
from comity.server.feed import Feed
from comity.server.listening import Listening, check_tls
from comity.server.operation import Api, routes_of
from comity.server.problem import problem_response
from comity.server.shield import Shield
from comity.server.table import OPERATIONS

KEEP_ALIVE_S = 75
"""Longer than clients keep idle connections, so that the server is never the one to close under a request."""
SOCKET_MESSAGE_BYTES_MAX = 65_536


class Server:
    """The HTTP side of one node: `start` it after the node, `drain` it before."""

    def __init__(
        self,
        node: Node,
        listening: Listening,
        operators: Operators,
        tokens: TaskTokens,
        routes: Sequence[BaseRoute] = (),
    ) -> None:
        """Serve the API and `routes` on a socket that listens; `tokens` are those of tasks.

        Raises:
            UsageError: the certificate of `[server]` cannot be used.
        """
        section = node.config.sections.server
        check_tls(section)
        self.url = listening.url
        self.feed = Feed(node.store, node.clock)
        node.kernel.listeners.append(self.feed)
        self.gatekeeper = Gatekeeper(node.store, operators, tokens)
        node.url = self.url
        self.is_draining = asyncio.Event()
        measures = metrics.Metrics(node, lambda: self.feed.statistics().watchers)
        api = Api(node, tokens, self.gatekeeper, self.is_draining)
        watched = events.routes(self.feed, self.gatekeeper, node.store, node.clock)
        shown = metrics.route_of(measures, self.gatekeeper, is_open=section.open_metrics)
        door = coordination_door.route_of(node.coordination.coordinator)
        self.routes = [*routes_of(OPERATIONS, api), openapi.route_of(OPERATIONS), shown, door, *watched, *routes]
        app = _app(self.routes)
        hosts = (*section.hosts, urlsplit(self.url).hostname or "")
        config = uvicorn.Config(
            metrics.Measured(Shield(app, hosts), measures, node.clock),
            loop="none",
            http="httptools",
            ws="websockets-sansio",
            ws_max_size=SOCKET_MESSAGE_BYTES_MAX,
            ws_ping_interval=None,  # the feed keeps connections alive, without a timer for each
            ws_per_message_deflate=False,  # it costs each connection its own tables
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=max(round(node.config.sections.node.drain_s), 1),
            ssl_certfile=section.tls_cert_file or None,
            ssl_keyfile=section.tls_key_file or None,
        )
        self._uvicorn = _Uvicorn(config)
        self._socket = listening.socket
        self.after_drain: list[Callable[[], Awaitable[None]]] = []
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to serve; what came in meanwhile has waited in the socket."""
        self._serving = asyncio.ensure_future(self._uvicorn.serve(sockets=[self._socket]))

    def check(self) -> None:
        """Raise what ended the server before it was told to."""
        if self._serving is not None and self._serving.done():
            self._serving.result()

    async def drain(self) -> None:
        """Accept nothing more, let watchers go, and let requests end for up to `drain_s`."""
        self.is_draining.set()
        await self.feed.close()
        self._uvicorn.should_exit = True
        if self._serving is not None:
            await self._serving
        self._socket.close()
        for close in self.after_drain:
            await close()

    async def close(self) -> None:
        """End everything at once."""
        self._uvicorn.force_exit = True
        await self.drain()


class _Uvicorn(uvicorn.Server):
    """A server that leaves signals to the command."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def _app(routes: Sequence[BaseRoute]) -> Starlette:
    handlers: dict[Any, Any] = {HTTPException: _refused, ComityError: _problem, Exception: _broken}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return app


async def _refused(request: Request, error: Exception) -> Response:
    """Answer what no route takes."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        found = UsageError("bad_method", f"`{request.method}` is not taken here", hint=f"take {allowed}")
        return problem_response(found, dict(error.headers or {}))
    hint = "`/api/v1/openapi.json` lists the paths"
    return problem_response(UsageError("no_such_path", f"there is nothing at `{_shown(request)}`", hint=hint))


async def _problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ComityError)
    return problem_response(error)


async def _broken(_request: Request, _error: Exception) -> Response:
    """Answer where Comity itself is wrong; the traceback goes to the log."""
    hint = "the node's log shows where"
    return problem_response(ComityError("bug", "something went wrong inside Comity", hint=hint))


def _shown(request: Request) -> str:
    return one_line(redacted(request.url.path), 200)
