"""MCP clients of each era list and call tools at a running node: the two with a handshake, and the one without."""

from __future__ import annotations

import json
from pathlib import Path

import mcp.client.session
import pytest
from mcp import Client

from conformance.lane import Lane, World

MODES = {"2025-06-18": "legacy", "2025-11-25": "legacy", "2026-07-28": "2026-07-28"}


@pytest.mark.parametrize("era", MODES)
async def test_a_client_of_each_era_lists_and_calls_tools(
    era: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if MODES[era] == "legacy":
        monkeypatch.setattr(mcp.client.session, "LATEST_HANDSHAKE_VERSION", era)
    with World(tmp_path) as world:
        async with Lane("lane", world) as lane:
            adopted = await lane.create("http", "Book a room, reference r1.")
            url = f"{lane.front.url}/t/{adopted.token}/mcp"
            async with Client(url, mode=MODES[era]) as client:
                assert client.protocol_version == era
                offered = {tool.name: tool for tool in (await client.list_tools()).tools}
                assert {"look", "book", "pay", "comity_finish"} <= set(offered)
                assert offered["book"].input_schema["required"] == ["ref", "nights"]
                told = await client.call_tool("look", {"ref": "r1"})
                assert not told.is_error
                assert told.content[0].text == "found r1"
                first, again = [await client.call_tool("book", {"ref": "r1", "nights": 2}) for _ in range(2)]
                assert [part.content[0].text for part in (first, again)] == ["booked r1", "booked r1"]
            assert world.acts("r1") == ["book"]
            calls = [call["name"] for call in (await lane.show(adopted.task))["calls"]]
            assert calls == ["http.look", "http.book"], json.dumps(calls)


async def test_a_client_that_asks_which_eras_there_are_gets_the_newest(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        async with Lane("lane", world) as lane:
            adopted = await lane.create("http", "Book a room, reference r1.")
            async with Client(f"{lane.front.url}/t/{adopted.token}/mcp") as client:
                assert client.protocol_version == "2026-07-28"
                assert (await client.call_tool("pay", {"ref": "r1", "amount": 3})).content[0].text == "paid r1"
            assert world.acts("r1") == ["pay"]
