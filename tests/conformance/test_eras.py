"""MCP clients of each era list and call tools at a running node: of the two with a handshake, and the one without."""

from __future__ import annotations

from pathlib import Path

import mcp.client.session
import pytest
from mcp import Client

from conformance.lane import Lane, World

MODES = {"2025-06-18": "legacy", "2025-11-25": "legacy", "2026-07-28": "2026-07-28", "auto": "auto"}
"""How the official client is told to speak as one of that era; `auto` asks, and gets the newest."""


async def test_clients_of_each_era_list_and_call_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with World(tmp_path) as world:
        async with Lane("lane", world) as lane:
            for era, mode in MODES.items():
                if mode == "legacy":
                    monkeypatch.setattr(mcp.client.session, "LATEST_HANDSHAKE_VERSION", era)
                await list_and_call(era, mode, lane)


async def list_and_call(era: str, mode: str, lane: Lane) -> None:
    """List and call tools as a client of that era."""
    adopted = await lane.create("http", f"Book a room, reference {era}.")
    async with Client(f"{lane.front.url}/t/{adopted.token}/mcp", mode=mode) as client:
        assert client.protocol_version == (era if era != "auto" else "2026-07-28")
        offered = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert {"look", "book", "pay", "comity_finish"} <= set(offered)
        assert offered["book"].input_schema["required"] == ["ref", "nights"]
        told = await client.call_tool("look", {"ref": era})
        assert not told.is_error
        assert told.content[0].text == f"found {era}"
        answers = [await client.call_tool("book", {"ref": era, "nights": 2}) for _ in range(2)]
        assert [answer.content[0].text for answer in answers] == [f"booked {era}"] * 2
    assert lane.world.acts(era) == ["book"]
    calls = [call["name"] for call in (await lane.show(adopted.task))["calls"]]
    assert calls == ["http.look", "http.book"]
