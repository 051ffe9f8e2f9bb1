"""What the model URL serves beside thoughts: the list of models, and a word on what it does not serve."""

from __future__ import annotations

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from comity.gateway.door import Door
from comity.gateway.exchange import ClientLeft, Exchange
from comity.gateway.models import credential_of
from comity.gateway.refusal import Refusal
from comity.models.format import WireFormat
from comity.models.formats import FORMATS

_SERVED = "served are " + ", ".join(f"`/v1{wire.path}`" for wire in FORMATS.values()) + " and `/v1/models`"


class ModelList:
    """The endpoint of `/v1/models`: the models that are configured by name."""

    def __init__(self, door: Door, body_bytes_max: int) -> None:
        """List the models of `door`'s node."""
        self._door = door
        self._body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send, self._door.clock, self._body_bytes_max)
        try:
            await exchange.body()
            if self._door.tokens.read(credential_of(exchange)) is None:
                text = "the API key is no task token of this server"
                await _refuse(exchange, Refusal(401, "unknown_token", text))
                return
            names = self._door.node.models.names
            data = [{"id": name, "object": "model", "created": 0, "owned_by": "comity"} for name in names]
            await exchange.answer(200, msgspec.json.encode({"object": "list", "data": data}))
        except ClientLeft:
            pass
        except Refusal as refusal:
            await _refuse(exchange, refusal)
        finally:
            exchange.close()


class NotServed:
    """The endpoint of all other paths below `/v1`, for HTTP and for WebSocket (Realtime and the like)."""

    def __init__(self, door: Door, body_bytes_max: int) -> None:
        """Refuse, with a word on what is served."""
        self._door = door
        self._body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope["path"].rpartition("/v1/")[2]
        refusal = Refusal(404, "not_served", f"`/v1/{path}` is not served here", _SERVED)
        if scope["type"] == "websocket":
            socket = WebSocket(scope, receive, send)
            text = "connections that stay open (Realtime, Responses over WebSocket) are not served here"
            body = FORMATS["chat"].error_body(400, "websocket_not_served", text, "use HTTP with server-sent events")
            await socket.send_denial_response(Response(body, 400, media_type="application/json"))
            return
        exchange = Exchange(scope, receive, send, self._door.clock, self._body_bytes_max)
        try:
            await exchange.body()
            await _refuse(exchange, refusal)
        except ClientLeft:
            pass
        except Refusal as too_large:
            await _refuse(exchange, too_large)
        finally:
            exchange.close()


async def _refuse(exchange: Exchange, refusal: Refusal) -> None:
    wire: WireFormat = FORMATS["messages" if exchange.header(b"anthropic-version") else "chat"]
    body = wire.error_body(refusal.status, refusal.code, refusal.message, refusal.hint)
    await exchange.answer(refusal.status, body, refusal.headers)
