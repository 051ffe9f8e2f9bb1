"""A stage for the tool URL: a door with one played visit, behind a running uvicorn or bare ASGI."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx2
import uvicorn
from starlette.applications import Starlette

from comity.core.clock import Clock, SystemClock
from comity.core.codec import canonical
from comity.gateway.mcp import mcp_routes
from comity.gateway.question import Question
from comity.gateway.refusal import Elsewhere, Refusal
from comity.journal.call import Delivered, Kind, Status
from comity.journal.spec import AgentSpec, Effect, ToolSpec
from comity.models.stream import Thought

TOKEN = "ct_right"
BODY_BYTES_MAX = 200_000

BOOK = ToolSpec(
    "crm.book",
    Effect.IRREVERSIBLE,
    "Books a room.",
    {
        "type": "object",
        "properties": {"room": {"type": "integer"}, "for": {"type": "string", "x-mcp-header": "For"}},
        "required": ["room"],
        "additionalProperties": False,
    },
    server="crm",
)
LOOK = ToolSpec(
    "look",
    Effect.READ,
    "Looks.",
    {"type": "object", "properties": {"at": {"type": "string"}}},
    title="A look",
    output={"type": "object", "properties": {"seen": {"type": "integer"}}, "required": ["seen"]},
    annotations={"readOnlyHint": True},
)
COUNT = ToolSpec("count", Effect.READ, "Counts.", {"type": "object"}, output={"type": "integer"})
SEARCHES = (ToolSpec("web.search", Effect.READ, server="web"), ToolSpec("crm.search", Effect.READ, server="crm"))
TOOLS = (BOOK, LOOK, COUNT, *SEARCHES)

Play = Callable[[Question], Delivered | None]
"""What comes of a question at once; None: nothing yet."""


class PlayedReply:
    """A reply that the test settles."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.outcome: asyncio.Future[Delivered] = asyncio.get_running_loop().create_future()
        self.told: list[str] = []

    async def delivered(self) -> Delivered:
        return await asyncio.shield(self.outcome)

    def settle(self, value: Any) -> None:
        """Let the call be done with `value`."""
        self.outcome.set_result(done(value))

    def handed_over(self) -> None:
        self.told.append("handed over")

    def client_left(self) -> None:
        self.told.append("client left")


class PlayedVisit:
    """A visit whose calls come to what the test plays."""

    def __init__(self, agent: AgentSpec, tools: tuple[ToolSpec, ...], play: Play) -> None:
        self.agent = agent
        self.tools = tools
        self.play = play
        self.replies: list[PlayedReply] = []
        self.said: list[tuple[str, float | None]] = []
        self.finished: list[tuple[bytes, str, str]] = []
        self.thought: Thought | None = None
        self.looked_for: list[tuple[str, bytes]] = []
        self.refusal: Exception | None = None
        self.recorded: list[Question] = []
        self.asks = 0

    @property
    def asked(self) -> list[Question]:
        """Return what was asked."""
        return [reply.question for reply in self.replies]

    async def ask(self, question: Question) -> PlayedReply:
        if self.refusal is not None:
            raise self.refusal
        self.asks += 1
        for reply in self.replies:
            if reply.question == question and not reply.outcome.done():
                return reply
        reply = PlayedReply(question)
        self.replies.append(reply)
        delivered = self.play(question)
        if delivered is not None:
            reply.outcome.set_result(delivered)
        return reply

    def is_recorded(self, question: Question) -> bool:
        return question in self.recorded

    def proposed_by(self, name: str, args: bytes) -> Thought | None:
        self.looked_for.append((name, args))
        return self.thought

    def say(self, text: str, fraction: float | None = None) -> None:
        self.said.append((text, fraction))

    def finish(self, result: bytes = b"null", code: str = "", error: str = "") -> None:
        self.finished.append((result, code, error))


class PlayedDoor:
    """A door that knows one token."""

    def __init__(
        self,
        play: Play | None = None,
        *,
        agent: AgentSpec | None = None,
        tools: tuple[ToolSpec, ...] = TOOLS,
        clock: Clock | None = None,
        has_world: bool = False,
    ) -> None:
        self.has_world = has_world
        spec = agent or AgentSpec("clerk", "outside")
        self.inner = PlayedVisit(spec, tools, play or plain)
        self.clock = clock or SystemClock()
        self.forwarder = self
        self.elsewhere: list[str] = []
        self.forwarded: list[bytes] = []
        self.app = Starlette(routes=mcp_routes(cast("Any", self), BODY_BYTES_MAX))

    async def visit(self, credential: str) -> PlayedVisit:
        if self.elsewhere:
            raise Elsewhere(self.elsewhere.pop())
        if credential != TOKEN:
            raise Refusal(401, "unknown_token", "the API key is no task token", "ask for one")
        return self.inner

    async def forward(self, exchange: Any, url: str, body: bytes) -> bool:
        """Play a node that is gone, which gives no answer."""
        self.forwarded.append(body)
        return False

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve over HTTP until the block ends; gives the address."""
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(self.app, log_level="warning", lifespan="off"))
        serving = asyncio.ensure_future(server._serve([listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = server.force_exit = True
            await serving


def done(value: Any) -> Delivered:
    """Return the outcome of a call that is done."""
    return Delivered(Status.DONE, canonical(value))


def plain(question: Question) -> Delivered | None:
    """Play tools that answer at once."""
    if question.kind is Kind.TOOL and question.name == "crm.book":
        return done({"content": [{"type": "text", "text": "booked"}], "structuredContent": {"number": 7}})
    if question.name == "look":
        return done({"seen": 3})
    if question.name == "count":
        return done(4)
    return done(None)


def never(question: Question) -> Delivered | None:
    """Play calls that the test settles."""
    return None


def rpc(method: str, params: dict[str, Any] | None = None, id: Any = 1) -> dict[str, Any]:
    """Return a JSON-RPC request."""
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": params or {}}


def tool_call(name: str, args: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return a `tools/call`."""
    return rpc("tools/call", {"name": name, "arguments": args or {}, **more})


def modern(message: dict[str, Any], **meta: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a message with the envelope of 2026-07-28, and the headers that go with it."""
    version = "2026-07-28"
    keys = {
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientCapabilities": {},
        **meta,
    }
    params = {**message["params"], "_meta": keys}
    headers = {"mcp-protocol-version": version, "mcp-method": message["method"]}
    if "name" in params:
        headers["mcp-name"] = params["name"]
    return {**message, "params": params}, headers


class Caller:
    """A bare HTTP client of one server."""

    def __init__(self, http: httpx2.AsyncClient, url: str) -> None:
        self.http = http
        self.url = url

    async def post(self, body: Any, path: str = "/mcp", token: str = TOKEN, **headers: str) -> httpx2.Response:
        """Post a message; bytes go as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"content-type": "application/json", "authorization": f"Bearer {token}", **named}
        return await self.http.post(self.url + path, content=data, headers=sent)

    async def old(self, message: Any, path: str = "/mcp", **headers: str) -> Any:
        """Post a message of the handshake eras; return the answer's JSON."""
        response = await self.post(message, path, **{"mcp_protocol_version": "2025-11-25", **headers})
        return response.json()

    async def new(self, message: dict[str, Any], path: str = "/mcp", **meta: Any) -> Any:
        """Post a message of 2026-07-28; return the answer's JSON."""
        body, headers = modern(message, **meta)
        return (await self.post(body, path, **headers)).json()

    async def result(self, name: str, args: dict[str, Any] | None = None, path: str = "/mcp") -> Any:
        """Call a tool; return its result."""
        answer = await self.old(tool_call(name, args), path)
        return answer.get("result", answer)


@asynccontextmanager
async def calling(door: PlayedDoor) -> AsyncIterator[Caller]:
    """Serve `door`, and give a client of it."""
    async with door.serving() as url, httpx2.AsyncClient(trust_env=False) as http:
        yield Caller(http, url)


class Request:
    """One request without a socket, piece by piece: for tests that step a fake clock."""

    def __init__(self, door: PlayedDoor, message: dict[str, Any], path: str = "/mcp", **headers: str) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.pieces: list[bytes] = []
        self.is_whole = False
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._inbox.put_nowait({"type": "http.request", "body": json.dumps(message).encode(), "more_body": False})
        named = {"content-type": "application/json", "authorization": f"Bearer {TOKEN}", **headers}
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()],
        }
        self.task = asyncio.ensure_future(door.app(scope, self._inbox.get, self._send))

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        if message.get("body"):
            self.pieces.append(message["body"])
        self.is_whole = not message.get("more_body")

    def leave(self) -> None:
        """Close the connection."""
        self._inbox.put_nowait({"type": "http.disconnect"})

    @property
    def events(self) -> list[Any]:
        """Return the messages of an event stream."""
        lines = b"".join(self.pieces).decode().split("\n")
        return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]

    async def answer(self) -> Any:
        """Return the JSON of the answer, once it is whole."""
        await asyncio.wait_for(self.task, 10)
        assert self.is_whole
        return json.loads(b"".join(self.pieces))
