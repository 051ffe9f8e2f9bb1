"""The official client library of each era against a running server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from comity.core.codec import canonical
from comity.gateway.refusal import Refusal
from comity.journal.call import Delivered, Status
from comity.journal.spec import AgentSpec, Outside
from comity.testing.waiting import wait_until
from mcp_stage import TOKEN, PlayedDoor, never

ERAS = ("2025-06-18", "2025-11-25", "2026-07-28", "auto")
BOOKED = {"content": [{"type": "text", "text": "booked"}], "structuredContent": {"number": 7}}


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Choose an era; which handshake the library offers is a constant of it."""
    version = str(request.param)
    if version.startswith("2025"):
        monkeypatch.setattr("mcp.client.session.LATEST_HANDSHAKE_VERSION", version)
    return version


@asynccontextmanager
async def connected(door: PlayedDoor, era: str, path: str = f"/t/{TOKEN}/mcp", **options: Any) -> AsyncIterator[Client]:
    """Serve `door` and connect to it."""
    mode = "legacy" if era.startswith("2025") else era
    async with door.serving() as url, Client(url + path, mode=mode, **options) as client:
        assert client.session.protocol_version == ("2026-07-28" if era == "auto" else era)
        yield client


async def test_a_client_lists_and_calls_tools(era: str) -> None:
    async with connected(PlayedDoor(), era) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert {"book", "look", "crm_search", "web_search", "comity_wait"} <= set(tools)
        assert tools["look"].title == "A look"
        assert tools["look"].annotations is not None
        assert tools["look"].annotations.read_only_hint is True
        seen = await client.call_tool("look", {"at": "7"})
        assert (seen.structured_content, seen.is_error) == ({"seen": 3}, False)
        booked = await client.call_tool("book", {"room": 1, "for": "Ada"})
        assert booked.structured_content == {"number": 7}
        assert (await client.call_tool("count")).content[0].text == "4"  # type: ignore[union-attr]


async def test_a_client_reaches_one_servers_tools(era: str) -> None:
    async with connected(PlayedDoor(), era, f"/t/{TOKEN}/mcp/crm") as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["book", "search"]
        assert (await client.call_tool("book", {"room": 1})).structured_content == {"number": 7}


async def test_errors_reach_the_caller_with_their_way_out(era: str) -> None:
    async with connected(PlayedDoor(), era) as client:
        for name, args in (("boook", {}), ("book", {"room": "7"})):
            with pytest.raises(MCPError) as caught:
                await client.call_tool(name, args)
            assert caught.value.error.code == -32602
            assert caught.value.error.data["hint"]


async def test_a_wrong_token_is_told_as_what_it_is(era: str) -> None:
    door = PlayedDoor()
    mode = "legacy" if era.startswith("2025") else era
    async with door.serving() as url:
        with pytest.raises(Exception, match=r"no task token|TaskGroup|unhandled errors") as caught:
            async with Client(f"{url}/t/ct_wrong/mcp", mode=mode) as client:
                await client.list_tools()
        assert "no task token" in _texts(caught.value)


async def test_a_refused_call_is_a_result_that_a_model_can_think_with(era: str) -> None:
    refused = Delivered(Status.REFUSED, b"null", "over_limit", "amount above 100", "ask for approval", "rethink")
    async with connected(PlayedDoor(lambda _: refused), era) as client:
        for name, args in (("book", {"room": 1}), ("look", {"at": "x"})):
            result = await client.call_tool(name, args)
            assert result.is_error
            assert "ask for approval" in result.content[0].text  # type: ignore[union-attr]


async def test_a_slow_call_streams_progress_and_then_its_result(era: str) -> None:
    door = PlayedDoor(never)
    heard: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        heard.append(progress)
        if not door.inner.replies[0].outcome.done():
            door.inner.replies[0].settle(BOOKED)

    async with connected(door, era) as client:
        await client.list_tools()
        result = await client.call_tool("book", {"room": 1}, progress_callback=on_progress)
        assert result.structured_content == {"number": 7}
        assert heard
    await wait_until(lambda: door.inner.replies[0].told == ["handed over"])


async def test_a_call_whose_client_gave_up_goes_on_and_is_joined(era: str) -> None:
    door = PlayedDoor(never)
    async with connected(door, era) as client:
        await client.list_tools()
        with pytest.raises(MCPError):
            await client.call_tool("book", {"room": 1}, read_timeout_seconds=0.3)
        again = asyncio.ensure_future(client.call_tool("book", {"room": 1}))
        await wait_until(lambda: door.inner.asks == 2)
        (reply,) = door.inner.replies
        assert not reply.outcome.cancelled()
        reply.settle(BOOKED)
        assert (await again).structured_content == {"number": 7}
    await wait_until(lambda: "handed over" in reply.told)


async def test_a_task_that_parks_ends_the_call_with_an_error(era: str) -> None:
    door = PlayedDoor()
    door.inner.refusal = Refusal(403, "task_parked", "the task is parked", "look at it")
    async with connected(door, era) as client:
        with pytest.raises(MCPError, match="the task is parked") as caught:
            await client.call_tool("book", {"room": 1})
        assert caught.value.error.data["code"] == "task_parked"


async def test_a_deliberation_passes_the_clients_own_checks(era: str) -> None:
    agent = AgentSpec("clerk", "outside", outside=Outside(deliberation="required"))
    door = PlayedDoor(agent=agent)
    async with connected(door, era) as client:
        why = {"issue": "which?", "options": ["1"], "chosen": "1"}
        assert not (await client.call_tool("book", {"room": 1, "deliberation": why})).is_error
        assert [question.kind for question in door.inner.asked] == ["decision", "tool"]
        assert (await client.call_tool("book", {"room": 1})).is_error


async def test_an_old_client_is_given_no_result_that_is_no_object() -> None:
    async with connected(PlayedDoor(lambda _: Delivered(Status.DONE, canonical([1, 2]))), "2025-11-25") as client:
        assert (await client.call_tool("count")).structured_content is None
    async with connected(PlayedDoor(lambda _: Delivered(Status.DONE, canonical(4))), "2026-07-28") as client:
        assert (await client.call_tool("count")).structured_content == 4


def _texts(error: BaseException) -> str:
    inner = getattr(error, "exceptions", ())
    return " ".join((str(error), *(_texts(item) for item in inner)))
