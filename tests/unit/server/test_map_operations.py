"""Detectors, the baseline and the causal map over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from comity.coordination.detectors.panel import KINDS
from comity.journal.program import load
from comity.kernel import Settings
from comity.runtime.embedded import Embedded
from comity.runtime.programs import register
from comity.stores.open import open_store
from comity.testing.waiting import wait_until
from http_stage import HttpStage, serving
from world_stage import AGENTS, WORLD


@asynccontextmanager
async def acted(folder: Path) -> AsyncIterator[HttpStage]:
    """Serve a node whose store has two agents that acted on the world."""
    (folder / "agents.py").write_text(AGENTS, encoding="utf-8")
    loaded = load(folder / "agents.py")
    home = folder / "home"
    home.mkdir(mode=0o700)
    store = open_store(f"sqlite:///{home / 'comity.db'}")
    await store.open()
    try:
        await register(store, loaded.program)
        from comity.coordination.loading import read_world

        world = read_world(WORLD).document
        async with Embedded(loaded, store, settings=Settings(linger_s=0.0), world=world) as node:
            for agent in ("grower", "shedder", "grower"):
                await node.result(await node.create(agent, 1))
    finally:
        await store.close()
    async with serving(folder) as stage:
        await stage.node.coordination.start()

        async def is_read() -> bool:
            return len((await stage.document("GET", "/map"))["window"].get("nodes", ())) >= 4

        await wait_until(is_read)
        yield stage


async def test_the_map_shows_who_acts_on_what(tmp_path: Path) -> None:
    async with acted(tmp_path) as stage:
        found = await stage.document("GET", "/map?window_s=1e8")
        nodes = {node["id"] for node in found["window"]["nodes"]}
        assert {"agent:grower", "agent:shedder", "field:service/web.instances", "field:db/main.connections"} <= nodes
        wrote = {(edge["cause"], edge["effect"]) for edge in found["window"]["edges"] if edge["how"] == "wrote"}
        assert wrote == {
            ("agent:grower", "field:service/web.instances"),
            ("agent:shedder", "field:db/main.connections"),
        }
        near = await stage.document("GET", "/map?window_s=1e8&focus=shedder&hops=1")
        assert "agent:grower" not in {node["id"] for node in near["window"]["nodes"]}
        calls = await stage.document("GET", "/map?window_s=1e8&detail=calls")
        assert sum(node["kind"] == "call" for node in calls["window"]["nodes"]) == 3
        assert "nodes" not in (await stage.document("GET", "/map?until=2020-01-01T00:00:00Z"))["window"]


@pytest.mark.parametrize(
    ("format", "media", "begin"),
    [
        ("text", "text/plain; charset=utf-8", b"Who acts on what"),
        ("dot", "text/vnd.graphviz; charset=utf-8", b"digraph"),
        ("svg", "image/svg+xml", b"<"),
        ("png", "image/png", b"\x89PNG"),
    ],
)
async def test_the_map_is_drawn(tmp_path: Path, format: str, media: str, begin: bytes) -> None:
    async with acted(tmp_path) as stage:
        answer = await stage.client.get(f"/api/v1/map?window_s=1e8&format={format}")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == media
        assert answer.content.startswith(begin), answer.content[:80]


async def test_a_map_in_no_format_or_of_no_window_is_refused(tmp_path: Path) -> None:
    async with acted(tmp_path) as stage:
        for query in ("format=gif", "window_s=0", "hops=-1", "limit=301", "until=yesterday", "colour=red"):
            await stage.refusal("GET", f"/map?{query}", 400, "bad_query")
        await stage.refusal("GET", "/map/why", 400, "bad_query")


async def test_why_leads_to_whoever_did_it(tmp_path: Path) -> None:
    async with acted(tmp_path) as stage:
        found = await stage.document("GET", "/map/why?of=db/main.connections")
        (tree,) = found["trees"]
        assert tree["causes"][0]["node"]["actor"] == "shedder"
        assert (await stage.document("GET", "/map/why?of=db/other.connections"))["unknown"]


async def test_what_a_call_would_touch_follows_dependencies(tmp_path: Path) -> None:
    async with acted(tmp_path) as stage:
        body = {"tool": "scale", "args": {"name": "web", "by": 2}}
        found = await stage.document("POST", "/map/would-touch", json=body)
        steps = {item["field"]: item["step"] for item in found["fields"]}
        assert steps == {"service/web.instances": 2, "db/main.connections": 20}
        assert {bound["name"] for bound in found["bounds"]} >= {"enough"}
        beside = await stage.document("POST", "/map/would-touch", json={"tool": "drain", "args": {"name": "main"}})
        assert [item["field"] for item in beside["fields"]] == ["db/main.state"]
        assert (await stage.document("POST", "/map/would-touch", json={"tool": "nothing"}))["is_undeclared"]
        await stage.refusal("POST", "/map/would-touch", 409, "bad_argument", json={"tool": "scale"})


async def test_detectors_are_listed_and_shown(tmp_path: Path) -> None:
    async with acted(tmp_path) as stage:
        listed = (await stage.document("GET", "/detectors"))["detectors"]
        assert [item["name"] for item in listed] == list(KINDS)
        shown = await stage.document("GET", "/detectors/oscillation")
        assert shown == {"detector": listed[0], "recent": []}
        assert listed[0]["mode"] == "observe"
        problem = await stage.refusal("GET", "/detectors/ocillation", 404, "unknown_detector")
        assert "oscillation" in problem["hint"]
        assert (await stage.document("GET", "/alarms?since=2020-01-01T00:00:00Z"))["has_more"] is False
        await stage.refusal("GET", "/alarms?since=2020", 400, "bad_query")


async def test_a_baseline_is_signed_and_used(tmp_path: Path) -> None:
    async with acted(tmp_path) as stage:
        shown = await stage.document("GET", "/detectors/baseline")
        assert shown["in_force"] is None
        await stage.refusal("POST", "/detectors/baseline", 409, "empty_baseline")
        watching = stage.node.coordination.watching
        from comity.journal.world import Acted, Change

        for second in range(0, 4_000, 20):
            change = Change("service/web.instances", "add", 1)
            at_us = 3_000_000_000_000_000 + second * 1_000_000
            watching.learner.learn(Acted(at_us, f"t/{second}", "grower", "scale", (change,)))
        signed = await stage.document("POST", "/detectors/baseline")
        assert signed["in_force"]["signed_by"] == "supervisor"
        assert signed["in_force"]["windows"] > 100
        assert watching.baseline.signed_by == "supervisor"
        assert (await stage.document("GET", "/detectors/baseline"))["in_force"] == signed["in_force"]


async def test_requests_at_once_see_the_same_map(tmp_path: Path) -> None:
    async with acted(tmp_path) as stage:
        path = "/map?window_s=1e8&until=2999-01-01T00:00:00Z"
        found = await asyncio.gather(*(stage.document("GET", path) for _ in range(4)))
        assert all(item == found[0] for item in found)
