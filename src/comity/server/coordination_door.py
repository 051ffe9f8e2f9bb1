"""The door by which other nodes of a store reach the components that this node writes.

Nobody else has business there: the secret changes with each start of a node, and stands only in the store.
"""

from __future__ import annotations

import hmac

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from comity.core.codec import pack
from comity.runtime.coordination.coordinator import Coordinator
from comity.runtime.coordination.remote import PATH
from comity.runtime.coordination.seat import Ask

BODY_BYTES_MAX = 4 * 1024 * 1024


def route_of(coordinator: Coordinator) -> Route:
    """Return the route of the door."""

    async def enter(request: Request) -> Response:
        given = request.headers.get("authorization", "")
        is_known = hmac.compare_digest(given.encode(), f"Bearer {coordinator.secret}".encode())
        if not (coordinator.secret and is_known):
            return Response(status_code=404)
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > BODY_BYTES_MAX:
                return Response(status_code=413)
        try:
            ask = msgspec.msgpack.decode(body, type=Ask)
        except (msgspec.DecodeError, RecursionError):
            return Response(status_code=400)
        return Response(pack(await coordinator.answer(ask)), media_type="application/msgpack")

    return Route(PATH, enter, methods=["POST"], include_in_schema=False)
