"""A request whose task another node holds goes there, and its answer comes back piece by piece.

The task's token stands in the request and is proof enough. Where the other node cannot be reached, nothing was said to
the client yet, and the task will be held by somebody else soon.
"""

from __future__ import annotations

import httpx2

from comity.core.clock import Clock
from comity.gateway.exchange import ClientLeft, Exchange
from comity.gateway.refusal import Refusal

FORWARDED = b"x-comity-forwarded"
CONNECT_S = 2.0
PAUSE_S = 0.25
PATIENCE_S = 40.0
"""So long a node that holds a task is asked again, before the client is told to."""
SILENCE_S = 240.0
"""A node that is silent for so long is gone: each thing that one waits for in silence takes 40 s at most."""
CONNECTIONS_MAX = 1_000
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"content-length",
        b"host",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)


class Forwarder:
    """Connections to the other nodes of a store."""

    def __init__(self, clock: Clock) -> None:
        """Connect to nobody yet."""
        self._clock = clock
        self._http: httpx2.AsyncClient | None = None

    async def forward(self, exchange: Exchange, url: str, body: bytes) -> bool:
        """Pass a request on to the node at `url`; False, after a moment, where that gave no answer.

        The client has heard nothing then; by and by the task has another holder.

        Raises:
            Refusal: the request was passed on once already, as the nodes do not agree yet on who holds the task; or
                the node gives no answer for too long.
        """
        if exchange.header(FORWARDED) or exchange.unanswered * PAUSE_S >= PATIENCE_S:
            text = "the task is changing hands"
            raise Refusal(503, "task_moving", text, "ask again", is_final=False, retry_after_s=1)
        path = exchange.scope["path"]
        query = exchange.scope.get("query_string", b"").decode()
        headers = [item for item in exchange.scope["headers"] if item[0].lower() not in _HOP_BY_HOP]
        headers.append((FORWARDED, b"1"))
        target = f"{url}{path}?{query}" if query else f"{url}{path}"
        request = self._open().build_request(exchange.scope["method"], target, content=body, headers=headers)
        try:
            response = await exchange.wait(self._open().send(request, stream=True))
        except httpx2.HTTPError:
            exchange.unanswered += 1
            await exchange.wait(self._clock.sleep(PAUSE_S))
            return False
        try:
            await self._pass_back(exchange, response)
        finally:
            await response.aclose()
        return True

    async def aclose(self) -> None:
        """Close all connections."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def _pass_back(self, exchange: Exchange, response: httpx2.Response) -> None:
        named = [(name.lower(), value) for name, value in response.headers.raw]
        kept = [item for item in named if item[0] not in _HOP_BY_HOP]
        await exchange.begin(response.status_code, kept)
        pieces = response.aiter_raw()
        try:
            while (piece := await exchange.wait(anext(pieces, b""))) != b"":
                await exchange.write(piece)
        except httpx2.HTTPError:
            raise ClientLeft from None  # the node is gone: without its end the client asks again
        await exchange.end()

    def _open(self) -> httpx2.AsyncClient:
        if self._http is None:
            self._http = httpx2.AsyncClient(
                timeout=httpx2.Timeout(None, connect=CONNECT_S, read=SILENCE_S),
                limits=httpx2.Limits(max_connections=CONNECTIONS_MAX),
                trust_env=False,
                follow_redirects=False,
            )
        return self._http
