"""Looking after a store: damage is found, a backup is the same under another name, pruning takes what ended."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import apsw
import psycopg
import pytest

from comity.core.errors import StoreError, UsageError
from comity.journal.call import Kind
from comity.journal.entry import Continued, entry
from comity.journal.ports import TaskFilter
from comity.journal.segment import Payload, segment
from comity.journal.task import State
from comity.journal.unit import Message, StateWrite, Unit
from comity.stores import maintenance
from comity.stores.sqlite_file import path_of
from contract.world import OPERATOR, World, append, name_id, new_task, url_of

LARGE = segment(b"large " * 1_000)
LOOSE = segment(b"nobody names me")


@pytest.fixture(params=["sqlite", "postgres"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(request.param, tmp_path)


async def fill(world: World) -> None:
    """Write something of everything."""
    row = await world.held("a")
    held = entry(2, "", Kind.CONTINUE, 5, Continued(Payload(b"", LARGE.sha256, len(LARGE.data)), 0))
    await world.commit(
        Unit(append(row).subject, entries=(held,), segments=(LARGE, LOOSE), state=(StateWrite("n", "k", b"v"),))
    )
    await world.commit(Unit(OPERATOR, sends=(Message(row.id, "me", "signal", "go", b"1"),)))
    await world.store.sequence(row.node, row.lease_id)


async def damage(world: World, sql: str) -> None:
    """Change the data behind the store's back."""
    if world.kind == "sqlite":
        with apsw.Connection(path_of(world.url)) as db:
            db.execute(sql)
    else:
        async with await psycopg.AsyncConnection.connect(world.url) as connection:
            await connection.execute(sql.encode())


async def picture(world: World, store: Any) -> Any:
    return (
        await store.log(0, 100),
        await store.tasks(TaskFilter()),
        await store.inbox(name_id("a")),
        await store.states("n"),
        await store.leaves(),
        await store.segments("default", [LARGE.sha256]),
    )


async def test_a_sound_store_has_no_findings(world: World):
    async with world:
        await fill(world)
        assert await maintenance.check(world.url) == []


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("UPDATE entries SET at_us = at_us + 1 WHERE seq = 2", "leaf"),
        ("DELETE FROM entries WHERE seq = 1", "gap"),
        ("UPDATE segments SET sha256 = body FROM entries WHERE entries.seq = 1", "segment"),
    ],
)
async def test_what_was_changed_behind_the_store_s_back_is_found(world: World, sql: str, what: str):
    async with world:
        await fill(world)
        if what == "segment":
            await damage(world, "DELETE FROM segments WHERE codec = 0")
        await damage(world, sql)
        assert [finding.what for finding in await maintenance.check(world.url)] == [what]


async def test_a_backup_is_restored_as_the_same_store_with_another_lineage(world: World, tmp_path: Path):
    file = str(tmp_path / "backup")
    async with world:
        await fill(world)
        before = await picture(world, world.store)
        lineage = await world.store.lineage()
        await maintenance.backup(world.url, file)
        await world.new("later")
        with pytest.raises(UsageError, match="already"):
            await maintenance.backup(world.url, file)
        with pytest.raises((UsageError, StoreError), match="already"):
            await maintenance.restore(file, world.url)
    world.url = url_of(world.kind, tmp_path / "other")
    await maintenance.restore(file, world.url)
    world.store = world.another()
    async with world:
        assert await picture(world, world.store) == before
        assert await world.store.lineage() != lineage
        assert await maintenance.check(world.url) == []
        await world.new("goes on")
        assert len(await world.store.log(0, 100)) == 3


async def test_what_is_no_backup_is_refused(world: World, tmp_path: Path):
    file = tmp_path / "letter"
    file.write_text("dear aunt")
    world.url = url_of(world.kind, tmp_path / "other")
    with pytest.raises((UsageError, StoreError)):
        await maintenance.restore(str(file), world.url)


async def test_prune_deletes_tasks_that_ended_and_segments_that_nothing_names(world: World):
    async with world:
        await fill(world)
        for name, session in (("old", ""), ("in session", "s"), ("young", "")):
            if name == "young":
                await world.clock.advance(5)
            await world.move(await world.held(name, session=session), State.SUCCEEDED)
        await world.store.sequence(name_id("node"), world.leases[name_id("node")])
        now_us = await world.store.now_us()
        pruned = await maintenance.prune(world.url, now_us - 1_000_000, now_us=now_us, grace_s=3_600)
        assert (pruned.tasks, pruned.entries, pruned.segments) == (1, 1, 0)
        assert await world.store.task(name_id("old")) is None
        assert await world.store.task(name_id("young")) is not None
        assert len(await world.store.leaves()) == 5
        pruned = await maintenance.prune(world.url, 0, now_us=now_us + 10_000_000, grace_s=1)
        assert (pruned.tasks, pruned.segments) == (0, 1)
        assert await world.store.segments("default", [LARGE.sha256]) == [LARGE.data]
        assert await maintenance.check(world.url) == []


async def test_pending_migrations_are_told_before_they_are_applied(world: World):
    names = [migration.name for migration in await maintenance.preview(world.url)]
    assert names == ["0001_first.sql"]
    assert [migration.name for migration in await maintenance.migrate(world.url)] == names
    assert await maintenance.preview(world.url) == []
    assert await maintenance.migrate(world.url) == []
    async with world:
        await world.store.commit([Unit(OPERATOR, spawns=(new_task("a"),))])
        await asyncio.sleep(0)
