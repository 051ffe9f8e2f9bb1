"""The server's life: it serves before the node takes work, lets requests end when it drains, and speaks TLS."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import subprocess
from pathlib import Path

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from comity.gateway.tokens import TaskTokens
from comity.server.app import Server
from comity.server.listening import listen
from http_stage import HttpStage, serving


async def another(stage: HttpStage, *routes: BaseRoute) -> Server:
    """Return a second server of the stage's node, started, with routes of a test."""
    tokens = TaskTokens(b"k" * 32)
    server = Server(stage.node, listen(stage.node.config.sections.server), stage.operators, tokens, routes)
    await server.start()
    return server


async def test_a_drain_lets_requests_end_and_takes_no_more(tmp_path: Path) -> None:
    came, may_end = asyncio.Event(), asyncio.Event()

    async def slow(_request: Request) -> Response:
        came.set()
        await may_end.wait()
        return Response("done")

    async with serving(tmp_path) as stage:
        server = await another(stage, Route("/slow", slow))
        async with httpx2.AsyncClient(base_url=server.url) as client:
            asked = asyncio.ensure_future(client.get("/slow"))
            await came.wait()
            draining = asyncio.ensure_future(server.drain())
            await server.is_draining.wait()
            port = int(server.url.rpartition(":")[2])
            with contextlib.suppress(ConnectionError):  # refused; or reset, where the socket closed before it accepted
                while True:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    await writer.wait_closed()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            ended, _ = await asyncio.wait({draining}, timeout=0.5)
            assert not ended
            may_end.set()
            assert (await asked).text == "done"
            await draining


async def test_a_request_that_hangs_holds_a_drain_for_so_long_and_no_longer(tmp_path: Path) -> None:
    came = asyncio.Event()

    async def hangs(_request: Request) -> Response:
        came.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(tmp_path, settings={"node.drain_s": "0.1"}) as stage:
        server = await another(stage, Route("/hangs", hangs))
        async with httpx2.AsyncClient(base_url=server.url) as client:
            asked = asyncio.ensure_future(client.get("/hangs"))
            await came.wait()
            await asyncio.wait_for(server.drain(), 10)
            with pytest.raises(httpx2.HTTPError):
                (await asked).raise_for_status()


async def test_a_fault_of_ours_is_told_without_its_details(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_request: Request) -> Response:
        raise ValueError("a secret of the inside")

    async with serving(tmp_path) as stage:
        server = await another(stage, Route("/broken", broken))
        async with httpx2.AsyncClient(base_url=server.url) as client:
            with caplog.at_level(logging.ERROR):
                answer = await client.get("/broken")
        await server.drain()
    assert (answer.status_code, answer.json()["code"]) == (500, "bug")
    assert "secret" not in answer.text
    assert "a secret of the inside" in caplog.text


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, str]:
    """A certificate for loopback, as settings."""
    files = {"server.tls_cert_file": str(tmp_path / "cert.pem"), "server.tls_key_file": str(tmp_path / "key.pem")}
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    make += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    certificate, key = files.values()
    subprocess.run([*make, "-out", certificate, "-keyout", key], check=True, capture_output=True)
    return files


async def test_the_server_speaks_tls(tmp_path: Path, certificate: dict[str, str]) -> None:
    trusted = ssl.create_default_context(cafile=certificate["server.tls_cert_file"])
    async with serving(tmp_path, settings=certificate, verify=trusted) as stage:
        assert stage.server.url.startswith("https://127.0.0.1:")
        assert (await stage.client.get("/healthz")).status_code == 200
