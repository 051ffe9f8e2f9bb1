"""The model URL: OpenAI's Chat Completions and Responses, Anthropic's Messages, and the list of models.

A request is taken apart, becomes a question, and is answered with the bytes that its upstream sent. What goes out of a
stream before its outcome is durable is never more than words; see `models/stream.py`.
"""

from __future__ import annotations

from contextlib import aclosing

from starlette.types import Receive, Scope, Send

from comity.core.errors import UsageError
from comity.gateway.asking import thought_of
from comity.gateway.continuing import made_whole
from comity.gateway.door import Door
from comity.gateway.exchange import ClientLeft, Exchange, Header
from comity.gateway.refusal import Elsewhere, Refusal
from comity.gateway.reply import Reply, StreamBroken, VisitOver
from comity.journal.call import Delivered, Status
from comity.journal.wire import SSE, Answer, read_answer
from comity.models.format import RequestParts, WireFormat

BEAT_STREAM = b": thinking\n\n"
BEAT_PLAIN = b" "
PLAIN_QUIET_S = 40.0
"""After so long a plain answer begins, with blanks in front, which JSON allows: no client waits in silence for ever."""
_SSE_HEADERS: tuple[Header, ...] = ((b"content-type", SSE.encode()), (b"cache-control", b"no-cache"))
_STATUS = {
    "model_busy": 503,
    "model_unreachable": 502,
    "model_broken": 502,
    "model_timeout": 504,
    "model_not_found": 404,
    "unknown_model": 404,
    "wrong_wire": 400,
    "no_api_key": 500,
}
_MAY_RETRY = frozenset({"model_busy", "model_unreachable", "model_broken", "model_timeout"})


class ModelURL:
    """The endpoint of one wire format: an ASGI application."""

    def __init__(self, door: Door, wire: WireFormat, body_bytes_max: int) -> None:
        """Serve `wire` through `door`."""
        self._door = door
        self._wire = wire
        self._body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send, self._door.clock, self._body_bytes_max)
        thinking = _Thinking(self._door, self._wire, exchange)
        try:
            await thinking.serve()
        except ClientLeft:
            pass  # what it asked for goes on, and is there when it asks again
        except Refusal as refusal:
            await thinking.refuse(refusal)
        except UsageError as error:
            await thinking.refuse(Refusal(400, error.code, error.message, error.hint))
        finally:
            exchange.close()


class _Thinking:
    """One model request."""

    def __init__(self, door: Door, wire: WireFormat, exchange: Exchange) -> None:
        self._door = door
        self._wire = wire
        self._exchange = exchange
        self._parts: RequestParts | None = None

    async def serve(self) -> None:
        """Answer it."""
        exchange, door = self._exchange, self._door
        body = await exchange.body()
        self._parts = parts = self._wire.take_apart(body)
        door.look_for_model(parts.model)
        credential, is_answered = credential_of(exchange), False
        while not is_answered:
            try:
                visit = await exchange.wait(door.visit(credential))
                whole = await made_whole(visit, self._wire, parts)
                question = thought_of(visit, self._wire, whole, exchange)
                visit.warn_of(whole)
                await self._reply(await exchange.wait(visit.ask(question)), parts)
                is_answered = True
            except VisitOver:
                continue  # the node let go of the task, or begins another visit
            except Elsewhere as elsewhere:
                if exchange.has_begun:
                    raise ClientLeft from None  # without its end the client asks again, and gets the whole
                is_answered = await door.forwarder.forward(exchange, elsewhere.url, body)

    async def refuse(self, refusal: Refusal) -> None:
        """Say why not, in the request's own format; an answer that has begun otherwise is cut off."""
        if not self._exchange.has_begun:
            body = self._wire.error_body(refusal.status, refusal.code, refusal.message, refusal.hint)
            await self._exchange.answer(refusal.status, body, refusal.headers)
        elif self._parts is not None and self._parts.is_stream:
            event = self._wire.error_event(refusal.status, refusal.code, refusal.message, refusal.hint)
            await self._exchange.end(event)

    async def _reply(self, reply: Reply, parts: RequestParts) -> None:
        is_whole = False
        try:
            is_whole = await (self._stream(reply, parts) if parts.is_stream else self._plain(reply))
        finally:
            if is_whole:
                reply.handed_over()
            else:
                reply.client_left()

    async def _plain(self, reply: Reply) -> bool:
        delivered = await self._exchange.wait(reply.delivered(), self._blank, PLAIN_QUIET_S)
        answer = _answer(delivered)
        if answer.is_stream:
            answer = self._wire.to_plain(answer)
        if self._exchange.has_begun:
            return answer.status < 400 and await self._exchange.end(answer.body.encode())
        return await self._exchange.answer(answer.status, answer.body.encode(), type=answer.type.encode())

    async def _stream(self, reply: Reply, parts: RequestParts) -> bool:
        """Pass the stream on as it comes; its first piece, or a silence, begins the answer."""
        exchange = self._exchange
        try:
            async with aclosing(reply.pieces()) as pieces:
                while (piece := await exchange.wait(anext(pieces, b""), self._comment)) != b"":
                    await self._begin_stream()
                    await exchange.write(piece)
        except StreamBroken:
            return False  # without its end the client takes the answer for broken, and asks again
        answer = _answer(await reply.delivered())
        if answer.status >= 400:
            if exchange.has_begun:
                return await exchange.end(self._wire.error_event(answer.status, "model_refused", answer.body))
            return await exchange.answer(answer.status, answer.body.encode(), type=answer.type.encode())
        await self._begin_stream()
        return await exchange.end(b"" if answer.is_stream else self._wire.to_stream(answer, parts.rest).body.encode())

    async def _begin_stream(self) -> None:
        if not self._exchange.has_begun:
            await self._exchange.begin(200, _SSE_HEADERS)

    async def _comment(self) -> None:
        await self._begin_stream()
        await self._exchange.write(BEAT_STREAM)

    async def _blank(self) -> None:
        if not self._exchange.has_begun:
            await self._exchange.begin(200, ((b"content-type", b"application/json"),))
        await self._exchange.write(BEAT_PLAIN)


def credential_of(exchange: Exchange) -> str:
    """Return the task token of a request: of its path, its `Authorization` header, or its `x-api-key`."""
    named = exchange.scope.get("path_params", {}).get("token")
    if named:
        return str(named)
    scheme, _, token = exchange.header(b"authorization").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else exchange.header(b"x-api-key").strip()


def _answer(delivered: Delivered) -> Answer:
    """Return the upstream's answer.

    Raises:
        Refusal: there is none: the call was refused, or no model answered.
    """
    if delivered.status is Status.DONE:
        return read_answer(delivered.value)
    status = _STATUS.get(delivered.code, 403 if delivered.status is Status.REFUSED else 502)
    may_retry = delivered.code in _MAY_RETRY
    text = delivered.error or f"the model call ended {delivered.status}"
    raise Refusal(status, delivered.code or str(delivered.status), text, delivered.hint, is_final=not may_retry)
