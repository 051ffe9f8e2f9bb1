"""A request for a task that another node holds: passed on once, tried again while that node is gone, then let in."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from comity.gateway.exchange import ClientLeft, Exchange
from comity.gateway.forward import FORWARDED, PATIENCE_S, Forwarder
from comity.gateway.refusal import Refusal
from comity.testing.clock import FakeClock
from comity.testing.waiting import wait_until
from gate_stage import Client


class Node:
    """Another node: says what it was asked, in two pieces."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.asked.append({"path": scope["path"], "body": message["body"].decode(), "headers": headers})
        await send({"type": "http.response.start", "status": 201, "headers": [(b"x-said", b"yes")]})
        await send({"type": "http.response.body", "body": b"one ", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})


def passing(forwarder: Forwarder, clock: FakeClock, url: str) -> Any:
    """Return an application that passes everything on until it is answered."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send, clock, 1_000)
        try:
            body = await exchange.body()
            while not await forwarder.forward(exchange, url, body):
                continue
        except ClientLeft:
            pass
        except Refusal as refusal:
            await exchange.answer(refusal.status, json.dumps({"code": refusal.code}).encode(), refusal.headers)
        finally:
            exchange.close()

    return app


async def test_an_answer_of_the_node_that_holds_the_task_comes_back_as_it_is() -> None:
    clock, node = FakeClock(), Node()
    server = uvicorn.Server(uvicorn.Config(node, port=0, log_level="error", lifespan="off"))
    serving = asyncio.ensure_future(server.serve())
    await wait_until(lambda: server.started, 10, "the other node to be up")
    port = server.servers[0].sockets[0].getsockname()[1]
    forwarder = Forwarder(clock)
    app = passing(forwarder, clock, f"http://127.0.0.1:{port}")
    client = Client(app, "/v1/chat/completions", b"what", {"authorization": "Bearer ct_x", "host": "here"})
    await asyncio.wait_for(client.task, 10)
    await forwarder.aclose()
    server.should_exit = True
    await serving
    assert (client.status, bytes(client.body), client.headers["x-said"]) == (201, b"one two", "yes")
    (asked,) = node.asked
    assert (asked["path"], asked["body"]) == ("/v1/chat/completions", "what")
    assert asked["headers"]["authorization"] == "Bearer ct_x"
    assert asked["headers"][FORWARDED.decode()] == "1"
    assert asked["headers"]["host"] != "here"


async def test_a_request_is_passed_on_once_only() -> None:
    clock = FakeClock()
    app = passing(Forwarder(clock), clock, "http://127.0.0.1:1")
    client = Client(app, "/mcp", b"{}", {FORWARDED.decode(): "1"})
    assert await client.whole() == {"code": "task_moving"}
    assert (client.status, client.headers["x-should-retry"]) == (503, "true")


@pytest.mark.parametrize("is_patient", [True, False])
async def test_a_node_that_is_gone_is_asked_again_until_patience_ends(is_patient: bool) -> None:
    clock = FakeClock()
    forwarder = Forwarder(clock)
    client = Client(passing(forwarder, clock, "http://127.0.0.1:1"), "/mcp", b"{}", {})
    for _ in range(10_000):
        if client.task.done() or (is_patient and clock.monotonic_s() > 1_000 + PATIENCE_S / 2):
            break
        await clock.advance(0.25)
    assert client.task.done() is not is_patient
    if not is_patient:
        assert client.status == 503
    client.leave()
    await clock.advance(1)
    await asyncio.wait_for(client.task, 10)
    await forwarder.aclose()


async def test_a_node_that_says_nothing_for_long_is_taken_for_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comity.gateway.forward.SILENCE_S", 0.05)
    monkeypatch.setattr("comity.gateway.forward.PATIENCE_S", 0.5)
    clock = FakeClock()
    forwarder = Forwarder(clock)
    writers: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _reader, writer: writers.append(writer), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    client = Client(passing(forwarder, clock, f"http://127.0.0.1:{port}"), "/mcp", b"{}", {})
    for _ in range(250):
        await clock.advance(0.1)
        await asyncio.wait({client.task}, timeout=0.02)
        if client.task.done():
            break
    assert client.task.done()
    assert await client.whole() == {"code": "task_moving"}
    await forwarder.aclose()
    silent.close()
    for writer in writers:
        writer.close()
        await writer.wait_closed()
