"""Connections to an upstream: kept and used again, over TLS, through proxies."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from contextlib import aclosing
from pathlib import Path

import httpx2
import pytest

from comity.core.errors import ComityError
from comity.models import pool
from comity.models.pool import ConnectionPool
from comity.models.reaching import Resolve
from comity.models.settings import Upstream
from comity.testing.waiting import wait_until
from unit.models.fake_upstream import request, speaking

WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


class Server:
    """Answers every request on every connection, and remembers the heads."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = answers or (WHOLE,)
        self.heads: list[str] = []
        self.connections = 0
        self.closed = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection."""
        self.connections += 1
        try:
            while True:
                self.heads.append((await request(reader))[0])
                writer.write(self.answers[min(len(self.heads), len(self.answers)) - 1])
                await writer.drain()
        finally:
            self.closed.set()


async def post(connections: ConnectionPool) -> bytes:
    async with connections.post("/chat", {"x-key": "k"}, b"{}") as answer:
        return await answer.read()


async def unreachable(connections: ConnectionPool) -> str:
    with pytest.raises(ComityError) as caught:
        await post(connections)
    assert caught.value.code == "model_unreachable"
    return caught.value.message


async def test_a_request_is_what_it_should_be_and_connections_are_used_again():
    server = Server()
    async with (
        speaking(server.serve) as address,
        aclosing(ConnectionPool("u", Upstream(f"http://{address}/v1/"))) as it,
    ):
        assert [await post(it), await post(it)] == [b"hi", b"hi"]
    head = f"POST /v1/chat HTTP/1.1\r\nhost: {address}\r\ncontent-length: 2\r\nx-key: k\r\n\r\n"
    assert (server.heads, server.connections) == ([head, head], 1)


async def test_requests_at_the_same_time_have_connections_of_their_own():
    server = Server()
    async with (
        speaking(server.serve) as address,
        aclosing(ConnectionPool("u", Upstream(f"http://{address}"))) as it,
        it.post("/a", {}, b"") as one,
        it.post("/b", {}, b"") as other,
    ):
        assert [await one.read(), await other.read()] == [b"hi", b"hi"]
    assert server.connections == 2


async def test_a_connection_that_the_upstream_closed_is_not_used_again():
    server = Server(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi")
    async with speaking(server.serve) as address, aclosing(ConnectionPool("u", Upstream(f"http://{address}"))) as it:
        assert [await post(it), await post(it)] == [b"hi", b"hi"]
    assert server.connections == 2


async def test_an_idle_connection_is_closed_after_a_moment(monkeypatch):
    monkeypatch.setattr(pool, "IDLE_S", 0.01)
    server = Server()
    async with speaking(server.serve) as address, aclosing(ConnectionPool("u", Upstream(f"http://{address}"))) as it:
        await post(it)
        await asyncio.wait_for(server.closed.wait(), 5)
        await post(it)
    assert server.connections == 2


async def test_the_end_of_a_body_is_read_behind_the_callers_back():
    head, rest = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n", b"2\r\nho\r\n0\r\n\r\n"
    may_end, connections = asyncio.Event(), []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while True:
            await request(reader)
            writer.write(head)
            await may_end.wait()
            writer.write(rest)

    async with speaking(serve) as address, aclosing(ConnectionPool("u", Upstream(f"http://{address}"))) as it:
        async with it.post("/a", {}, b"") as answer:
            assert await answer.read() == b"hi"
        may_end.set()
        await wait_until(lambda: answer.is_usable)
        assert (await post(it)).startswith(b"hi")
    assert len(connections) == 1


async def test_a_body_that_does_not_end_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(pool, "DRAIN_S", 0.01)
    server = Server(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi", WHOLE)
    async with speaking(server.serve) as address, aclosing(ConnectionPool("u", Upstream(f"http://{address}"))) as it:
        assert await post(it) == b"hi"
        await asyncio.wait_for(server.closed.wait(), 5)
        assert await post(it) == b"hi"
    assert server.connections == 2


async def test_there_is_a_limit_to_connections(monkeypatch):
    monkeypatch.setattr(pool, "CONNECTIONS_MAX", 1)
    async with speaking(Server().serve) as address:
        upstream = Upstream(f"http://{address}", connect_timeout_s=0.05)
        async with aclosing(ConnectionPool("u", upstream)) as it:
            async with it.post("/a", {}, b""):
                assert "no connection was made in time" in await unreachable(it)
            assert await post(it) == b"hi"


async def test_whoever_does_not_let_us_in_is_unreachable():
    async with aclosing(ConnectionPool("u", Upstream("http://127.0.0.1:1/v1"))) as it:
        assert "connect" in await unreachable(it)


async def test_a_proxy_gets_the_whole_url_and_its_password():
    proxy = Server()
    async with speaking(proxy.serve) as address:
        upstream = Upstream("http://models.example:8080/v1", proxy=f"http://me:s%40cret@{address}")
        async with aclosing(ConnectionPool("u", upstream)) as it:
            assert await post(it) == b"hi"
    lines = proxy.heads[0].split("\r\n")
    assert lines[:2] == ["POST http://models.example:8080/v1/chat HTTP/1.1", "host: models.example:8080"]
    assert "proxy-authorization: Basic bWU6c0BjcmV0" in lines


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make a certificate for `models.example` and loopback: what serves it, and what trusts it alone."""
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    make += ["-subj", "/CN=models.example", "-addext", "subjectAltName=DNS:models.example,IP:127.0.0.1"]
    files = (str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))
    subprocess.run([*make, "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    serves = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serves.load_cert_chain(*files)
    return serves, ssl.create_default_context(cafile=files[0])


async def test_an_upstream_over_tls_must_have_a_certificate_that_is_trusted(certificate, monkeypatch):
    serves, trusts = certificate
    server = Server()
    async with speaking(server.serve, serves) as address:
        upstream = Upstream(f"https://{address}/v1")
        async with aclosing(ConnectionPool("u", upstream)) as it:
            assert "certificate verify failed" in await unreachable(it)
        monkeypatch.setattr(httpx2, "create_ssl_context", lambda **_: trusts)
        async with aclosing(ConnectionPool("u", upstream)) as it:
            assert [await post(it), await post(it)] == [b"hi", b"hi"]
    assert server.connections == 1


class Proxy:
    """Lets through to `target`, whatever the name that it is asked for."""

    def __init__(self, target: str, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        self.target = target
        self.answer = answer
        self.heads: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection."""
        self.heads.append((await request(reader))[0])
        writer.write(self.answer)
        if b" 200 " not in self.answer:
            return
        host, port = self.target.split(":")
        there, back = await asyncio.open_connection(host, int(port))
        ways = [asyncio.ensure_future(self._pass(*way)) for way in ((reader, back), (there, writer))]
        try:
            await asyncio.wait(ways)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)
            back.close()

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                sink.write(data)
        except ConnectionError:
            pass
        sink.close()


async def test_tls_goes_through_a_proxy_unseen(certificate, monkeypatch):
    serves, trusts = certificate
    monkeypatch.setattr(httpx2, "create_ssl_context", lambda **_: trusts)
    server = Server()
    async with speaking(server.serve, serves) as target:
        proxy = Proxy(target)
        async with speaking(proxy.serve) as address:
            upstream = Upstream("https://models.example/v1", proxy=f"http://me:pw@{address}")
            async with aclosing(ConnectionPool("u", upstream)) as it:
                assert [await post(it), await post(it)] == [b"hi", b"hi"]
    assert proxy.heads == [
        "CONNECT models.example:443 HTTP/1.1\r\nhost: models.example:443\r\nproxy-authorization: Basic bWU6cHc=\r\n\r\n"
    ]
    assert server.heads[0].startswith("POST /v1/chat HTTP/1.1\r\nhost: models.example\r\n")
    assert "proxy-authorization" not in server.heads[0]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "the proxy answered 407"),
        (b"HTTP/1.1 302 Found\r\nlocation: http://x\r\n\r\n", "the proxy answered 302"),
        (b"hello\r\n\r\n", "the proxy sent no answer"),
        (b"", "the proxy sent no answer"),
    ],
)
async def test_a_proxy_that_does_not_let_us_through_makes_the_upstream_unreachable(answer, why):
    proxy = Proxy("", answer)
    async with (
        speaking(proxy.serve) as address,
        aclosing(ConnectionPool("u", Upstream("https://models.example/v1", proxy=f"http://{address}"))) as it,
    ):
        assert why in await unreachable(it)


def leading_to(*addresses: str) -> Resolve:
    """Return a look-up that knows one name, and these addresses of it."""

    async def resolve(host: str, port: int) -> list[str]:
        assert host == "models.example"
        return list(addresses)

    return resolve


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::ffff:10.0.0.1"])
async def test_a_name_that_leads_into_a_private_network_is_not_followed(address: str):
    upstream = Upstream("http://models.example:1/v1")
    async with aclosing(ConnectionPool("u", upstream, leading_to(address))) as it:
        said = await unreachable(it)
    assert f"`models.example` leads to `{address}`" in said
    assert "allow_private" in said


async def test_a_name_that_leads_there_is_followed_where_an_operator_lets_it():
    server = Server()
    async with speaking(server.serve) as address:
        upstream = Upstream(f"http://models.example:{address.rpartition(':')[2]}/v1", allow_private=True)
        async with aclosing(ConnectionPool("u", upstream, leading_to("127.0.0.2", "127.0.0.1"))) as it:
            assert await post(it) == b"hi"
    assert f"host: models.example:{address.rpartition(':')[2]}" in server.heads[0]


async def test_localhost_is_this_machine_and_may_be_reached():
    server = Server()
    async with speaking(server.serve) as address:
        port = address.rpartition(":")[2]
        async with aclosing(ConnectionPool("u", Upstream(f"http://localhost:{port}/v1"))) as it:
            assert await post(it) == b"hi"


async def test_a_proxy_is_the_operators_own_whatever_its_name_leads_to():
    proxy = Server()
    async with speaking(proxy.serve) as address:
        upstream = Upstream("http://far.example/v1", proxy=f"http://models.example:{address.rpartition(':')[2]}")
        async with aclosing(ConnectionPool("u", upstream, leading_to("127.0.0.1"))) as it:
            assert await post(it) == b"hi"


async def test_a_certificate_is_checked_against_the_name_not_the_address(certificate, monkeypatch):
    serves, trusts = certificate
    monkeypatch.setattr(httpx2, "create_ssl_context", lambda **_: trusts)
    async with speaking(Server().serve, serves) as address:
        port = address.rpartition(":")[2]
        for name, is_right in (("models.example", True), ("other.example", False)):

            async def resolve(host: str, port: int) -> list[str]:
                return ["127.0.0.1"]

            upstream = Upstream(f"https://{name}:{port}/v1", allow_private=True)
            async with aclosing(ConnectionPool("u", upstream, resolve)) as it:
                if is_right:
                    assert await post(it) == b"hi"
                else:
                    assert "not valid for 'other.example'" in await unreachable(it)
