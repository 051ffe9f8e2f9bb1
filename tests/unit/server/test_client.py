"""The API's client: answers of a type, the server's errors as they were meant, and what no server of ours says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from comity.core.errors import ComityError, GovernanceError, UsageError
from comity.server.client import ApiClient, part
from comity.server.documents import TaskDocument
from comity.server.task_operations import TaskList
from http_stage import serving

UNKNOWN = "01890000-0000-7000-8000-000000000000"


@asynccontextmanager
async def answering(data: bytes) -> AsyncIterator[str]:
    """Be a server that says `data` to whoever asks, and closes; the URL is given."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_an_answer_has_the_type_that_was_asked_for(tmp_path: Path) -> None:
    async with serving(tmp_path, goals=("done",)) as stage, ApiClient(stage.server.url, stage.token) as api:
        body = {"agent": "clerk", "goal": "refund"}
        made = await api.request("POST", "/tasks", TaskDocument, body=body, key="order-7")
        again = await api.request("POST", "/tasks", TaskDocument, body=body, key="order-7")
        found = await api.request("GET", "/tasks", TaskList, query={"limit": 5, "state": ["queued", "running"]})
        assert made.id == again.id
        assert [task.id for task in found.tasks] == [made.id]


async def test_a_problem_is_the_error_that_it_was(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage, ApiClient(stage.server.url, stage.token) as api:
        with pytest.raises(UsageError, match=f"there is no task `{UNKNOWN}`") as caught:
            await api.request("GET", f"/tasks/{UNKNOWN}", TaskDocument)
        assert (caught.value.code, caught.value.retry) == ("no_such_task", "never")
        assert "comity tasks ls" in caught.value.hint
        api.token = "co_wrong"
        with pytest.raises(GovernanceError) as refused:
            await api.request("GET", "/tasks", TaskList)
        assert refused.value.code == "unknown_token"


async def test_a_name_with_a_slash_stays_one_part_of_the_path(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage, ApiClient(stage.server.url, stage.token) as api:
        with pytest.raises(UsageError, match="no agent `team/a b`"):
            await api.request("GET", f"/agents/{part('team/a b')}", TaskDocument)


async def test_a_server_that_is_not_there_is_told() -> None:
    async with answering(b"") as url:
        pass
    async with ApiClient(url, "co_x") as api:
        with pytest.raises(ComityError, match=f"no server answers at `{url}`") as caught:
            await api.request("GET", "/tasks", TaskList)
    assert (caught.value.code, caught.value.retry) == ("no_server", "redo")


async def test_an_answer_that_breaks_off_is_told() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{") as url, ApiClient(url, "co_x") as api:
        with pytest.raises(ComityError, match="broke off before it answered") as caught:
            await api.request("GET", "/tasks", TaskList)
    assert (caught.value.code, caught.value.retry) == ("cut_off", "redo")


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"a": 17}',
        b"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 502 Bad\r\nContent-Length: 3\r\n\r\nbad",
        b"HTTP/1.1 400 Bad\r\nContent-Type: application/problem+json\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
async def test_what_no_server_of_ours_says_is_told(data: bytes) -> None:
    async with answering(data) as url, ApiClient(url, "co_x") as api:
        with pytest.raises(ComityError, match="does not answer as a server of this version") as caught:
            await api.request("GET", "/tasks", TaskList)
    assert caught.value.code == "foreign_answer"


@pytest.mark.parametrize("url", ["", "7117", "ftp://localhost", "http://", "http://localhost:x", "http://a/?b=c"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="is not the URL of a server"):
        ApiClient(url, "co_x")


def test_a_token_does_not_travel_in_the_clear() -> None:
    with pytest.raises(UsageError, match="in the clear") as caught:
        ApiClient("http://comity.example", "co_x")
    assert caught.value.hint == "use https"
