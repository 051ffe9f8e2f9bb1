"""Every route looks at `Host` and `Origin` first: a page under a foreign name reaches nothing here."""

from __future__ import annotations

from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from http_stage import serving

PATHS = ("/healthz", "/metrics", "/api/v1/tasks", "/api/v1/openapi.json", "/v1/models", "/mcp", "/nowhere")


@pytest.mark.parametrize("path", PATHS)
async def test_no_route_answers_under_a_foreign_name(tmp_path: Path, path: str) -> None:
    async with serving(tmp_path) as stage:
        answer = await stage.client.get(path, headers={"Host": "rebound.example"})
        assert (answer.status_code, answer.json()["code"]) == (403, "foreign_host")
        answer = await stage.client.get(path, headers={"Origin": "https://evil.example"})
        assert (answer.status_code, answer.json()["code"]) == (403, "foreign_origin")


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:7117",
        "127.0.0.1@evil.example",
        "evil.example@127.0.0.1",
        "127.0.0.1/evil",
        "[::1",
        "127.0.0.1:many",
        "10.0.0.7",
        "0.0.0.0",
    ],
)
async def test_a_name_that_only_looks_like_this_machine_is_foreign(tmp_path: Path, host: str) -> None:
    async with serving(tmp_path) as stage:
        answer = await stage.client.get("/healthz", headers={"Host": host})
        assert answer.status_code in (400, 403)


async def test_a_page_of_another_opens_no_websocket(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        headers = {"Authorization": f"Bearer {stage.token}"}
        address = stage.server.url.replace("http://", "ws://") + "/api/v1/events"
        with pytest.raises(InvalidStatus) as refused:
            await connect(address, additional_headers=headers, origin=Origin("https://evil.example"))
        assert refused.value.response.status_code == 403
        async with connect(address, additional_headers=headers):
            pass


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.9:80", "[::1]:7117", "Comity.Test"])
async def test_names_of_this_server_are_served(tmp_path: Path, host: str) -> None:
    async with serving(tmp_path, settings={"server.hosts": "comity.test"}) as stage:
        assert (await stage.client.get("/healthz", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:3000", 200),
        ("https://comity.test", 200),
        ("null", 403),
        ("", 403),
        ("file://", 403),
        ("http://127.0.0.1.evil.example", 403),
    ],
)
async def test_pages_of_this_server_alone_may_ask(tmp_path: Path, origin: str, status: int) -> None:
    async with serving(tmp_path, settings={"server.hosts": "comity.test"}) as stage:
        assert (await stage.client.get("/healthz", headers={"Origin": origin})).status_code == status
