"""One connection to an upstream: whatever comes on it, nobody is fooled and nobody waits for ever."""

from __future__ import annotations

import asyncio

import pytest

from comity.core.errors import ComityError
from comity.models import connection
from comity.models.connection import Connection
from comity.testing.waiting import wait_until
from unit.models.fake_upstream import request, speaking

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"
WHOLE = HEAD + b"content-length: 2\r\n\r\nhi"
ASK = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n"


async def connected(address: str, silence_s: float = 5.0) -> Connection:
    host, port = address.split(":")
    loop = asyncio.get_running_loop()
    _, made = await loop.create_connection(lambda: Connection("u", silence_s), host, int(port))
    return made


async def body(made: Connection) -> bytes:
    await made.ask(ASK, b"ho")
    pieces = []
    while piece := await made.read():
        pieces.append(piece)
    return b"".join(pieces)


def saying(*answers: bytes, hangs: bool = False):
    """Answer one request after another."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            assert (await request(reader))[1] == b"ho"
            writer.write(answer)
            await writer.drain()
        if hangs:
            await reader.read()

    return serve


async def said(*answers: bytes, hangs: bool = False, silence_s: float = 5.0) -> tuple[bytes, Connection]:
    async with speaking(saying(*answers, hangs=hangs)) as address:
        made = await connected(address, silence_s)
        try:
            return await body(made), made
        finally:
            made.close()
            await made.lost


@pytest.mark.parametrize(
    "answer",
    [
        WHOLE,
        HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\nh\r\n1;x=y\r\ni\r\n0\r\ntrailer: x\r\n\r\n",
        HEAD + b"\r\nhi",
        HEAD + b"connection: close\r\ncontent-length: 2\r\n\r\nhi",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + WHOLE,
        b"HTTP/1.0 200 OK\r\n\r\nhi",
    ],
)
async def test_an_answer_is_read_however_it_says_where_it_ends(answer):
    got, made = await said(answer)
    assert (got, made.status, b"link" in made.headers) == (b"hi", 200, False)


async def test_one_connection_serves_one_request_after_another():
    async with speaking(saying(WHOLE, WHOLE, hangs=True)) as address:
        made = await connected(address)
        for _ in range(2):
            assert await body(made) == b"hi"
            assert made.is_usable
        made.close()
        await made.lost


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        HEAD + b"content-length: 3\r\n\r\nhi",
        HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\nhi\r\n",
        HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\nhi",
        HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\nhi",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
async def test_an_answer_that_is_none_or_breaks_off_may_have_been_made(answer):
    with pytest.raises(ComityError) as caught:
        await said(answer)
    assert caught.value.code == "model_broken"


@pytest.mark.parametrize("more", [WHOLE, b"junk"])
async def test_what_follows_an_answer_is_not_taken_for_one(more):
    got, made = await said(WHOLE + more, hangs=True)
    assert (got, made.status) == (b"hi", 200)
    assert not made.is_usable


async def test_what_comes_unasked_ends_the_connection():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(WHOLE)
        await reader.read()

    async with speaking(serve) as address:
        made = await connected(address)
        await made.lost
        with pytest.raises(ComityError) as caught:
            await made.ask(ASK, b"ho")
    assert caught.value.code == "model_unreachable"


@pytest.mark.parametrize("answer", [b"", HEAD, HEAD + b"content-length: 3\r\n\r\nhi"])
async def test_silence_is_not_waited_for_longer_than_allowed(answer):
    with pytest.raises(ComityError, match=r"silent for 0\.05 s") as caught:
        await said(answer, hangs=True, silence_s=0.05)
    assert caught.value.code == "model_timeout"


async def test_a_slow_reader_is_not_taken_for_a_silent_upstream():
    was_read = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(HEAD + b"content-length: 3\r\n\r\nhi")
        await was_read.wait()
        writer.write(b"!")
        await reader.read()

    async with speaking(serve) as address:
        made = await connected(address, 0.05)
        await made.ask(ASK, b"ho")
        is_late = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.12, is_late.set_result, None)
        await is_late
        assert await made.read() == b"hi"
        was_read.set()
        assert await made.read() == b"!"
        made.close()
        await made.lost


async def test_a_head_has_a_limit(monkeypatch):
    monkeypatch.setattr(connection, "HEAD_BYTES_MAX", 100)
    with pytest.raises(ComityError, match="endless head"):
        await said(b"HTTP/1.1 200 OK\r\nx: " + b"x" * 200, hangs=True)


async def test_an_upstream_that_is_faster_than_its_reader_has_to_wait(monkeypatch):
    monkeypatch.setattr(connection, "BUFFER_BYTES_MAX", 1_000)
    size = 4_000_000
    async with speaking(saying(HEAD + b"content-length: %d\r\n\r\n" % size + b"x" * size, hangs=True)) as address:
        made = await connected(address)
        await made.ask(ASK, b"ho")
        await wait_until(lambda: not made.transport.is_reading())
        first = await made.read()
        assert len(first) < size
        assert made.transport.is_reading()
        got = len(first)
        while piece := await made.read():
            got += len(piece)
        assert (got, made.is_usable) == (size, True)
        made.close()
        await made.lost
