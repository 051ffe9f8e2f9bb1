"""Fields that are polled by a read tool, and scraped from a Prometheus endpoint, at a real node."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from comity.runtime.config import load_config
from comity.runtime.coordination.scraping import samples
from comity.runtime.node import Node
from comity.stores.open import open_store
from comity.testing.waiting import wait_until

TOOLS = '''"""A thermometer."""
from comity import tool


@tool(effect="read")
def measure(room: str) -> dict:
    """Measure a room."""
    return {"celsius": 21.5, "room": room}
'''
WORLD = """
kinds:
  room: {{id: "room/{{name}}", fields: {{celsius: {{}}, load: {{low: 0}}}}}}
resources: {{room/a: {{}}}}
tools:
  measure: {{observes: {{"room/{{room}}.celsius": celsius}}}}
polls:
  warmth: {{tool: measure, args: {{room: a}}, every_s: 0.2}}
scrapes:
  load: {{url: "{url}", every_s: 0.2, fields: {{room/a.load: 'load_now{{room="a"}}'}}}}
"""
EXPOSITION = """# HELP load_now How much.
# TYPE load_now gauge
load_now{room="b"} 9
load_now{room="a"} 0.75
"""


async def test_a_node_polls_and_scrapes_what_its_world_file_names(tmp_path: Path) -> None:
    async def expose(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = EXPOSITION.encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    endpoint = await asyncio.start_server(expose, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{endpoint.sockets[0].getsockname()[1]}/metrics"
    (tmp_path / "tools.py").write_text(TOOLS)
    (tmp_path / "world.yaml").write_text(WORLD.format(url=url))
    (tmp_path / "comity.toml").write_text('[server]\ntool_files = ["tools.py"]\n[world]\nfile = "world.yaml"\n')
    base = {"COMITY_HOME": str(tmp_path / "home"), "HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    config = load_config({**base, "COMITY_CONFIG": str(tmp_path / "comity.toml")})
    config.make_home()
    store = open_store(config.sections.store.url)
    await store.open()
    node = Node(config, store, base)
    await node.start()
    try:
        coordinator = node.coordination.coordinator

        def knows_both() -> bool:
            return (coordinator.believed("room/a.celsius"), coordinator.believed("room/a.load")) == (21.5, 0.75)

        await wait_until(knows_both, 30, "both fields")
        writer = await coordinator.writer("room")
        assert writer.picture.state("room/a.celsius").by == "tool:measure"
        assert writer.picture.state("room/a.load").by == "scrape:load"
    finally:
        await node.close()
        await store.close()
        endpoint.close()


def test_a_series_is_chosen_by_its_name_and_its_labels() -> None:
    assert dict(samples(EXPOSITION, {"x": 'load_now{room="b"}', "y": "load_now_not"})) == {"x": 9.0}


def test_what_is_no_exposition_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\S"):
        dict(samples("load_now{room=", {"x": "load_now"}))
