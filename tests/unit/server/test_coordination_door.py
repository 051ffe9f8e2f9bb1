"""The door between nodes: who has the store's secret is answered, everybody else finds nothing there."""

from __future__ import annotations

from contextlib import aclosing as closing
from pathlib import Path

import pytest

from comity.coordination.document import WorldDocument
from comity.coordination.loading import read_world
from comity.core.codec import pack
from comity.core.errors import CoordinationError, UsageError
from comity.journal.world import Observation
from comity.runtime.coordination import rows
from comity.runtime.coordination.applying import WorldDesk
from comity.runtime.coordination.remote import MOVED, PATH, UNREACHABLE, Doors
from comity.runtime.coordination.seat import Ask
from http_stage import HttpStage, serving
from world_stage import WORLD


async def with_world(stage: HttpStage) -> WorldDocument:
    """Put a world in force, and have the node write its component."""
    document = read_world(WORLD).document
    await WorldDesk(stage.store, stage.node.clock).apply(document)
    coordinator = stage.node.coordination.coordinator
    coordinator.news()
    await coordinator.refresh()
    await coordinator.writer(coordinator.world.component_of("db/main.connections"))  # type: ignore[union-attr]
    return document


def key_of(stage: HttpStage, url: str = "", secret: str = "") -> rows.WriterRow:
    """Return how the node is reached."""
    coordinator = stage.node.coordination.coordinator
    return rows.WriterRow(b"", url or stage.server.url, secret or coordinator.secret)


async def test_who_has_the_secret_is_answered(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage, closing(Doors()) as doors:
        await with_world(stage)
        seen = Observation("db/main.connections", 44, stage.node.clock.wall_us(), "operator")
        component = stage.node.coordination.coordinator.writers()[0].component
        told = await doors.ask(key_of(stage), Ask("observe", component, seen=seen, may_observe=True))
        assert told.is_taken
        assert stage.node.coordination.coordinator.believed("db/main.connections") == 44


async def test_a_component_that_the_node_does_not_write_has_moved(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage, closing(Doors()) as doors:
        await with_world(stage)
        with pytest.raises(CoordinationError) as caught:
            await doors.ask(key_of(stage), Ask("release", "elsewhere", ticket="t"))
        assert caught.value.code == MOVED


async def test_without_the_secret_there_is_nothing_there(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage, closing(Doors()) as doors:
        await with_world(stage)
        for header in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Bearer {stage.token}"}):
            answer = await stage.client.post(f"{stage.server.url}{PATH}", content=b"x", headers=header)
            if "authorization" in header:
                assert answer.status_code == 404
        with pytest.raises(CoordinationError) as caught:
            await doors.ask(key_of(stage, secret="guessed"), Ask("release", "db", ticket="t"))
        assert caught.value.code == UNREACHABLE


@pytest.mark.parametrize("body", [b"", b"x", pack({"what": "judge"}), pack(Ask("release", "db"))[:-3]])
async def test_a_body_that_is_no_question_is_refused(body: bytes, tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        secret = stage.node.coordination.coordinator.secret
        headers = {"authorization": f"Bearer {secret}"}
        answer = await stage.client.post(f"{stage.server.url}{PATH}", content=body, headers=headers)
        assert answer.status_code == 400


async def test_a_node_that_is_gone_cannot_be_reached(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage, closing(Doors()) as doors:
        with pytest.raises(CoordinationError) as caught:
            await doors.ask(key_of(stage, url="http://127.0.0.1:1"), Ask("release", "db"))
        assert caught.value.code == UNREACHABLE


async def test_what_cannot_be_judged_says_why_over_there_too(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage, closing(Doors()) as doors:
        await with_world(stage)
        component = stage.node.coordination.coordinator.writers()[0].component
        seen = Observation("db/main.nothing", 1, stage.node.clock.wall_us(), "operator")
        with pytest.raises(UsageError, match="no field"):
            await doors.ask(key_of(stage), Ask("observe", component, seen=seen, may_observe=True))
