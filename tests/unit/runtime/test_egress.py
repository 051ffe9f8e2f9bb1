"""The way out: a name leads to an address that may be reached, or nowhere."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from comity.runtime.egress import GuardedTransport, resolve_here


class Site:
    """A server on loopback that answers with what it was asked, and counts who came."""

    def __init__(self) -> None:
        self.port = 0
        self.heads: list[str] = []
        self.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(self.answer)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def site(context: ssl.SSLContext | None = None) -> AsyncIterator[Site]:
    made = Site()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=context)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


def names(*addresses: str) -> tuple[list[str], object]:
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(f"{host}:{port}")
        return list(addresses)

    return asked, resolve


async def get(url: str, transport: GuardedTransport) -> httpx2.Response:
    async with httpx2.AsyncClient(transport=transport, trust_env=False) as client:
        return await client.get(url)


async def test_a_name_that_leads_to_a_private_address_is_refused_and_nobody_is_asked():
    async with site() as here:
        _, resolve = names("127.0.0.1")
        with pytest.raises(httpx2.ConnectError, match=r"`tools\.example` leads to `127\.0\.0\.1`"):
            await get(
                f"http://tools.example:{here.port}/", GuardedTransport(named="http://tools.example", resolve=resolve)
            )
        assert here.heads == []


async def test_an_operator_may_let_a_name_lead_there_and_the_server_hears_the_name():
    async with site() as here:
        asked, resolve = names("127.0.0.1")
        transport = GuardedTransport(named="http://tools.example", allow_private=True, resolve=resolve)
        assert (await get(f"http://tools.example:{here.port}/a?b=c", transport)).text == "hi"
        assert asked == [f"tools.example:{here.port}"]
        assert here.heads[0].startswith("GET /a?b=c HTTP/1.1\r\n")
        assert f"Host: tools.example:{here.port}\r\n".lower() in here.heads[0].lower()


async def test_an_address_that_the_operator_wrote_may_be_reached_and_another_may_not():
    async with site() as here:
        url = f"http://127.0.0.1:{here.port}/"
        assert (await get(url, GuardedTransport(named=url))).text == "hi"
        assert (await get(f"http://localhost:{here.port}/", GuardedTransport(named="http://localhost"))).text == "hi"
        for named in ("", "http://127.0.0.2/", "http://tools.example/"):
            with pytest.raises(httpx2.ConnectError, match="a private network"):
                await get(url, GuardedTransport(named=named))
        assert len(here.heads) == 2


async def test_the_addresses_of_a_name_are_tried_one_after_the_other():
    async with site() as here:
        _, resolve = names("127.0.0.9", "10.0.0.1", "127.0.0.1")
        transport = GuardedTransport(named="http://localhost", resolve=resolve)
        assert (await get(f"http://localhost:{here.port}/", transport)).text == "hi"


async def test_a_name_that_nobody_knows_or_that_leads_nowhere_is_told():
    async def fail(host: str, port: int) -> list[str]:
        raise OSError(2, "Name or service not known")

    with pytest.raises(httpx2.ConnectError, match="`tools` cannot be looked up: name or service not known"):
        await get("http://tools/", GuardedTransport(named="http://tools/", resolve=fail))
    _, nowhere = names()
    with pytest.raises(httpx2.ConnectError, match="has no address"):
        await get("http://tools/", GuardedTransport(named="http://tools/", resolve=nowhere))


async def test_a_redirect_is_an_answer():
    async with site() as here:
        here.answer = b"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
        url = f"http://127.0.0.1:{here.port}/"
        assert (await get(url, GuardedTransport(named=url))).status_code == 307


def certificate(folder: Path) -> ssl.SSLContext:
    """Make a certificate for `tools.example` that only `folder`/cert.pem trusts."""
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    make += ["-subj", "/CN=tools", "-addext", "subjectAltName=DNS:tools.example", "-days", "2"]
    files = (folder / "cert.pem", folder / "key.pem")
    subprocess.run([*make, "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return context


async def test_certificates_are_checked_against_the_name_that_was_asked_for(tmp_path, monkeypatch):
    async with site(certificate(tmp_path)) as here:
        _, resolve = names("127.0.0.1")

        def guard() -> GuardedTransport:
            return GuardedTransport(named="https://tools.example/", allow_private=True, resolve=resolve)

        with pytest.raises(httpx2.ConnectError, match="certificate verify failed"):
            await get(f"https://tools.example:{here.port}/", guard())
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        assert (await get(f"https://tools.example:{here.port}/", guard())).text == "hi"
        with pytest.raises(httpx2.ConnectError, match="certificate verify failed"):
            await get(f"https://other.example:{here.port}/", guard())
        assert len(here.heads) == 1


async def test_this_machine_is_looked_up_here():
    assert await resolve_here("127.0.0.1", 80) == ["127.0.0.1"]
