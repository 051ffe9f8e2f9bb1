"""A gateway on a stage: a kernel on a store in memory, models and tools that the test plays, no sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from starlette.applications import Starlette

from comity.core.codec import canonical, decode
from comity.core.errors import ComityError
from comity.core.ids import Id, new_id
from comity.gateway.door import Door
from comity.gateway.routes import model_routes
from comity.gateway.tokens import TaskTokens
from comity.journal.budget import Cost, Grant
from comity.journal.call import Attempt, Call, Permit
from comity.journal.entry import Body
from comity.journal.ports import ModelLimits, ModelRequest, OnProgress
from comity.journal.protocol import Delta
from comity.journal.spec import AgentSpec, Effect, Outside, Program, ToolSpec
from comity.journal.task import State, TaskRow
from comity.journal.wire import Answer, answer_bytes
from comity.kernel import Devices, Kernel
from comity.kernel.patience import Patient
from comity.runtime.brains import BrainsByKind
from comity.runtime.coordination.assembly import Coordination
from comity.runtime.orders import Orders
from comity.runtime.programs import FixedPrograms
from comity.testing.clock import FakeClock, FakeEntropy
from comity.testing.memory import MemoryStore
from stage import QUICK

TOOLS = (
    ToolSpec("book", Effect.IRREVERSIBLE, "books a room"),
    ToolSpec("mail", Effect.IDEMPOTENT, "sends a mail"),
    ToolSpec("look", Effect.READ, "looks at rooms"),
)


def chat(text: str = "", *, calls: tuple[tuple[str, Any], ...] = ()) -> Answer:
    """Return a plain answer of Chat Completions."""
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if calls:
        message["tool_calls"] = [
            {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": json.dumps(args)}}
            for n, (name, args) in enumerate(calls)
        ]
    finish = "tool_calls" if calls else "stop"
    body = {
        "id": "x",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }
    return Answer(json.dumps(body))


def streamed(*words: str) -> list[bytes]:
    """Return the events of a streamed answer, the end included."""
    events = [{"choices": [{"index": 0, "delta": {"role": "assistant", "content": word}}]} for word in words]
    last: dict[str, Any] = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    return [b"data: " + json.dumps(item).encode() + b"\n\n" for item in (*events, last)] + [b"data: [DONE]\n\n"]


@dataclass
class PlayedModel:
    """The model of a test: `play` answers a request; what is asked is counted."""

    play: Callable[[ModelRequest], Awaitable[Answer | list[bytes] | ComityError]]
    asked: list[ModelRequest] = field(default_factory=list)
    names: tuple[str, ...] = ("m",)
    held: asyncio.Event | None = None
    """Where set, a stream waits for it before its last two events, and before the event of number `held_at`."""
    held_at: int = -1

    def limits(self, model: str) -> ModelLimits | None:
        return ModelLimits(1_000) if model in self.names else None

    async def stream(self, permit: Permit, request: ModelRequest) -> AsyncIterator[Delta]:
        self.asked.append(request)
        answer = await self.play(request)
        if isinstance(answer, ComityError):
            raise answer
        if isinstance(answer, list):
            for number, event in enumerate(answer[:-2]):
                if self.held is not None and number == self.held_at:
                    await self.held.wait()
                yield Delta(raw=event)
            if self.held is not None:
                await self.held.wait()
            answer = Answer(b"".join(answer).decode(), "text/event-stream")
        yield Delta("", answer_bytes(answer), Cost(1, 1))


@dataclass
class PlayedHand:
    """The tools of a test: `play` performs a call; what is done is counted."""

    play: Callable[[str, Any], Awaitable[Any]]
    done: list[tuple[str, Any]] = field(default_factory=list)

    async def perform(self, permit: Permit, call: Call, tool: ToolSpec, on_progress: OnProgress) -> Attempt:
        args = decode(call.args)
        self.done.append((call.name, args))
        try:
            return Attempt("done", canonical(await self.play(call.name, args)))
        except ConnectionError as error:
            return Attempt("unknown", error=str(error))

    async def cancel(self, permit: Permit) -> None:
        pass

    def release(self, task: Id) -> None:
        pass


class Client:
    """One request to an ASGI application, piece by piece."""

    def __init__(self, app: Any, path: str, body: bytes, headers: dict[str, str], method: str = "POST") -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.is_whole = False
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._inbox.put_nowait({"type": "http.request", "body": body, "more_body": False})
        self.changed = asyncio.Event()
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }
        self.task = asyncio.ensure_future(app(scope, self._inbox.get, self._send))

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message.get("body", b"")
            self.is_whole = not message.get("more_body")
        self.changed.set()

    def leave(self) -> None:
        """Close the connection."""
        self._inbox.put_nowait({"type": "http.disconnect"})

    async def whole(self) -> Any:
        """Return the answer's JSON, or its bytes where it is none."""
        await asyncio.wait_for(self.task, 10)
        assert self.is_whole, (self.status, bytes(self.body))
        return json.loads(self.body) if self.headers["content-type"] == "application/json" else bytes(self.body)

    async def until(self, text: bytes) -> None:
        """Return once the answer holds `text`."""
        while text not in self.body:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 10)


class GateStage:
    """A store, a clock, a model and tools; `node` plays a node with a gateway, which may be started anew."""

    def __init__(self, outside: Outside | None = None, on_divergence: Any = "park") -> None:
        self.clock = FakeClock()
        self.entropy = FakeEntropy(7)
        self.store = MemoryStore(self.clock)
        self.agent = AgentSpec("clerk", "outside", outside=outside or Outside(), on_divergence=on_divergence)
        self.programs = FixedPrograms(Program("", "", (self.agent,), TOOLS))
        self.orders = Orders(self.store, self.clock, self.entropy, "tester")
        self.model = PlayedModel(self.no_model)
        self.hand = PlayedHand(self.no_tool)

    async def no_model(self, request: ModelRequest) -> Answer:
        raise AssertionError("the test plays no model")

    async def no_tool(self, name: str, args: Any) -> Any:
        raise AssertionError("the test plays no tool")

    async def create(self, *, agents: tuple[str, ...] = ()) -> Id:
        """Create a task."""
        program = await self.programs.find("clerk")
        assert program is not None
        grant = Grant(tuple(tool.name for tool in TOOLS), ("*",), agents)
        return await self.orders.create(program, "clerk", "a goal", grant=grant)

    @asynccontextmanager
    async def node(self) -> AsyncIterator[Gate]:
        """Play a node until the block ends; then everything of it is gone, as after a crash."""
        outside = BrainsByKind(self.programs, cast("Any", None))
        devices = Devices(
            self.store, self.clock, self.entropy, self.hand, cast("Any", self.model), outside, self.programs
        )
        kernel = Kernel(devices, QUICK, new_id(self.clock, self.entropy))
        played = SimpleNamespace(
            id=kernel.lease.node,
            store=self.store,
            clock=self.clock,
            entropy=self.entropy,
            kernel=kernel,
            outside=outside,
            programs=self.programs,
            models=self.model,
            patient=Patient(self.store, self.clock),
            coordination=Coordination(self.store, self.clock, self.entropy, kernel.lease.node, self.programs),
        )
        door = Door(cast("Any", played), await TaskTokens.of_store(self.store, self.entropy))
        await kernel.start("stage", 1)
        gate = Gate(self, door, kernel)
        try:
            yield gate
        finally:
            await kernel.stop()
            for client in gate.clients:
                client.task.cancel()
            await asyncio.gather(*(client.task for client in gate.clients), return_exceptions=True)
            await self.store.declare_dead(kernel.lease.node)


class Gate:
    """A node's gateway while it is up."""

    def __init__(self, stage: GateStage, door: Door, kernel: Kernel) -> None:
        self.stage = stage
        self.door = door
        self.kernel = kernel
        self.app = Starlette(routes=model_routes(door, 1_000_000))
        self.clients: list[Client] = []

    async def adopt(self, task: Id, *, renew: bool = False) -> str:
        """Adopt a task, and return the token."""
        incarnation = await self.stage.orders.adopt(task, renew=renew)
        self.kernel.poke(task)
        return self.door.tokens.mint(task, incarnation)

    def post(
        self, token: str, body: Any, path: str = "/v1/chat/completions", *, method: str = "POST", **headers: str
    ) -> Client:
        """Send a request."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        client = Client(self.app, path, data, {"authorization": f"Bearer {token}", **headers}, method)
        self.clients.append(client)
        return client

    async def until(self, task: Id, *states: State) -> TaskRow:
        """Let time pass until the task is in one of `states`."""
        for _ in range(2_000):
            row = await self.stage.orders.row(task)
            if row.state in states:
                return row
            await self.stage.clock.advance(0.1)
        raise AssertionError(f"the task is {row.state} ({row.reason})")

    async def told(self, client: Client) -> Any:
        """Let time pass until a request is answered, and return its answer."""
        for _ in range(2_000):
            if client.task.done():
                return await client.whole()
            await self.stage.clock.advance(0.1)
        raise AssertionError("the request was never answered")

    async def bodies(self, task: Id) -> list[Body]:
        """Return what the task's journal holds."""
        return [entry.read() for entry in await self.stage.store.load(task)]


def asking(*texts: str, **more: Any) -> dict[str, Any]:
    """Return a chat request of user messages."""
    return {"model": "m", "messages": [{"role": "user", "content": text} for text in texts], **more}
