"""The tool URL: MCP over streamable HTTP, in three eras, with nothing kept between requests.

A tool call becomes a question of the task's visit. A client that goes away, or says `notifications/cancelled`, ends
nothing: what may have happened cannot be unsaid, and the same call asked again joins it and gets its outcome.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from comity.gateway.door import Door
from comity.gateway.exchange import ClientLeft, Exchange, Header
from comity.gateway.mcp_answering import Answering
from comity.gateway.mcp_errand import Errand
from comity.gateway.mcp_tools import ServedTools
from comity.gateway.mcp_wire import (
    BAD_PARAMS,
    BAD_REQUEST,
    HANDSHAKES,
    NO_METHOD,
    SERVER,
    VERSIONS,
    RpcError,
    RpcRequest,
    read,
)
from comity.gateway.models import credential_of
from comity.gateway.refusal import Elsewhere, Refusal
from comity.gateway.reply import Reply, VisitOver
from comity.gateway.visit import Visit
from comity.journal.call import Delivered

T = TypeVar("T")

PATIENCE_S: Final = 45.0
"""After so long a client that waits for time, a signal, an agent or a person is told to ask again."""
INSTRUCTIONS: Final = (
    "Calls of these tools are journaled. A result with `isError` says why a call was not done and what would help. "
    "A call that is repeated because its answer was lost is not performed again."
)
_CAPABILITIES: Final[dict[str, Any]] = {"tools": {}}
_FRESH: Final = {"ttlMs": 0, "cacheScope": "private"}
"""What is listed may change at once (a tool is accepted, a grant is another), and is this program's only."""
_ALLOW: Final[Header] = (b"allow", b"POST")

Kept = WeakKeyDictionary[Visit, dict[tuple[str, bool, bool], ServedTools]]
"""What visits were served last, by server, era and whether there is a world: each call would look at every tool."""


def mcp_routes(door: Door, body_bytes_max: int) -> list[BaseRoute]:
    """Return the routes of the tool URL: of all tools, and of one MCP server's."""
    app = McpURL(door, body_bytes_max)
    return [Route(f"{prefix}/mcp{rest}", app) for prefix in ("", "/t/{token}") for rest in ("", "/{server}")]


class McpURL:
    """The endpoint: an ASGI application."""

    def __init__(self, door: Door, body_bytes_max: int) -> None:
        """Serve programs that come in by `door`."""
        self._door = door
        self._body_bytes_max = body_bytes_max
        self._kept: Kept = WeakKeyDictionary()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send, self._door.clock, self._body_bytes_max)
        try:
            await self._answer(exchange)
        except ClientLeft:
            pass  # what it asked for goes on, and is there when it asks again
        finally:
            exchange.close()

    async def _answer(self, exchange: Exchange) -> None:
        try:
            answering = Answering(exchange, self._door.clock)
        except RpcError as error:
            await exchange.answer(error.status, error.encoded())
            return
        try:
            await _Serving(self._door, exchange, answering, self._kept).serve()
        except RpcError as error:
            await answering.error(error)
        except Refusal as refusal:
            await answering.error(RpcError.of_refusal(refusal))


class _Serving:
    """One request."""

    def __init__(self, door: Door, exchange: Exchange, answering: Answering, kept: Kept) -> None:
        self._door = door
        self._exchange = exchange
        self._answering = answering
        self._kept = kept

    async def serve(self) -> None:
        """Answer it, here or at the node that holds the task.

        Raises:
            RpcError, Refusal: it is not taken.
        """
        exchange = self._exchange
        _check_method(exchange)
        body = await exchange.body()
        credential, is_answered = credential_of(exchange), False
        while not is_answered:
            try:
                visit = await self._in_time(self._door.visit(credential))
                assert visit is not None
                await self._handle(visit, body)
                is_answered = True
            except VisitOver:
                continue  # the node let go of the task, or begins another visit
            except Elsewhere as elsewhere:
                if exchange.has_begun:
                    text = "the task moved to another node while the call went on"
                    raise Refusal(503, "task_moved", text, "call again: it is joined", is_final=False) from None
                is_answered = await self._door.forwarder.forward(exchange, elsewhere.url, body)

    async def _handle(self, visit: Visit, body: bytes) -> None:
        request = self._answering.request = read(body, self._exchange.scope["headers"])
        if request is None:
            await self._exchange.answer(202, b"")
            return
        if request.method == "tools/call":
            await self._call(visit, request)
            return
        await self._answering.result(request.encoded(self._listed(visit, request)))

    def _listed(self, visit: Visit, request: RpcRequest) -> dict[str, Any]:
        """Return the result of a request that only looks."""
        described = {"capabilities": _CAPABILITIES, "instructions": INSTRUCTIONS}
        if request.method == "tools/list":
            if request.params.get("cursor") is not None:
                raise RpcError(BAD_PARAMS, "there is one page only", "leave `cursor` out")
            tools = {"tools": self._served(visit, request).listed()}
            return {**tools, **_FRESH} if request.is_modern else tools
        if request.is_modern:
            if request.method == "server/discover":
                return {"supportedVersions": list(VERSIONS), **described, **_FRESH}
        elif request.method == "initialize":
            wanted = request.params.get("protocolVersion")
            if not isinstance(wanted, str):
                raise RpcError(BAD_PARAMS, "`protocolVersion` is missing", f"for instance `{HANDSHAKES[0]}`")
            version = wanted if wanted in HANDSHAKES else HANDSHAKES[0]
            return {"protocolVersion": version, "serverInfo": SERVER, **described}
        elif request.method == "ping":
            return {}
        raise RpcError(NO_METHOD, f"there is no method `{request.method}`", "this server has tools, and nothing else")

    def _served(self, visit: Visit, request: RpcRequest) -> ServedTools:
        server = self._exchange.scope.get("path_params", {}).get("server", "")
        kept = self._kept.setdefault(visit, {})
        has_world = self._door.has_world
        served = kept.get((server, request.is_modern, has_world))
        if served is None or served.tools is not visit.tools:
            served = ServedTools(
                visit.agent, visit.tools, server, is_modern=request.is_modern, has_world=has_world
            )  # fmt: skip
            kept[server, request.is_modern, has_world] = served
        return served

    async def _call(self, visit: Visit, request: RpcRequest) -> None:
        errand = self._served(visit, request).call(visit, request.params)
        if not isinstance(errand, Errand):
            await self._answering.result(request.encoded(errand))
            return
        reply = told = await self._asked(visit, errand)
        is_there = False
        try:
            delivered = await self._outcome(visit, reply, errand)
            if delivered is None:
                told = await visit.ask(errand.note)
                await self._in_time(told.delivered())
            result = errand.told(delivered) if delivered is not None else errand.not_yet
            assert result is not None
            is_there = await self._answering.result(request.encoded(result))
        finally:
            for each in {reply, told}:
                if each is told and is_there:
                    each.handed_over()
                else:
                    each.client_left()

    async def _asked(self, visit: Visit, errand: Errand) -> Reply:
        """Ask the decision first, then the call: both, though the client may leave meanwhile."""
        work = asyncio.ensure_future(_decided(visit, errand))
        try:
            await self._answering.wait(work)
        except ClientLeft:
            (await work).client_left()
            raise
        return work.result()

    async def _outcome(self, visit: Visit, reply: Reply, errand: Errand) -> Delivered | None:
        """Return the outcome; None where the client is to ask again, now or as it was told before a new start."""
        if errand.not_yet is None:
            return await self._in_time(reply.delivered())
        if visit.is_recorded(errand.note):
            return None
        return await self._in_time(reply.delivered(), PATIENCE_S)

    async def _in_time(self, work: Awaitable[T], limit_s: float | None = None) -> T | None:
        """Return what `work` comes to, keeping the client company; None after `limit_s`."""
        task = asyncio.ensure_future(work)
        try:
            return task.result() if await self._answering.wait(task, limit_s) else None
        finally:
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


async def _decided(visit: Visit, errand: Errand) -> Reply:
    if errand.decision is not None:
        reply = await visit.ask(errand.decision)
        await reply.delivered()
        reply.handed_over()  # nobody is told of it
    return await visit.ask(errand.question)


def _check_method(exchange: Exchange) -> None:
    """Refuse what is no POST of JSON; a page of another site can send no such without being asked first.

    Raises:
        RpcError: it is something else.
    """
    kind = exchange.header(b"content-type").partition(";")[0].strip().lower()
    error: RpcError | None = None
    if exchange.scope["method"] != "POST":
        error = RpcError(
            BAD_REQUEST, "there is no stream and no session here", "POST a request; nothing else is needed"
        )
        error.status, error.headers = 405, [_ALLOW]
    elif kind != "application/json":
        error = RpcError(BAD_REQUEST, f"the body is `{kind or 'of no type'}`", "send `content-type: application/json`")
        error.status = 415
    if error is not None:
        raise error
