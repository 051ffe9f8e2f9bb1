"""What SQLite's store does where disk, file or neighbour is in the way: no loss, a clear error, on by itself."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import apsw
import pytest

from comity.core.clock import SystemClock
from comity.core.errors import StoreError, UsageError
from comity.journal.unit import Receipt, StateWrite, Unit
from comity.stores.open import open_store
from comity.stores.sqlite import SqliteStore
from contract.world import OPERATOR, World, append, new_task, subject


def write(key: str, value: bytes = b"x") -> Unit:
    return Unit(OPERATOR, state=(StateWrite("n", key, value),))


def sqlite(folder: Path, **options: Any) -> SqliteStore:
    return SqliteStore(f"sqlite:///{folder}/comity.db", **options)


async def test_a_poison_row_harms_only_its_unit(tmp_path: Path):
    async with World("sqlite", tmp_path) as world:
        rows = [await world.held(f"t{number}") for number in range(9)]
        units = [append(row) for row in rows]
        poison = write("k", "no bytes, but text with \udcff")
        answers = await asyncio.gather(
            *(world.commit(unit) for unit in (*units[:5], poison, *units[5:])), return_exceptions=True
        )
        assert [answer for answer in answers if answer != Receipt()] == [answers[5]]
        assert isinstance(answers[5], StoreError)
        assert (answers[5].code, answers[5].retry) == ("bad_unit", "never")
        assert await world.store.state("n", "k") is None


async def test_a_cancelled_waiter_does_not_harm_the_batch(tmp_path: Path):
    async with World("sqlite", tmp_path) as world:
        waiting = [asyncio.ensure_future(world.commit(write(str(number)))) for number in range(5)]
        await asyncio.sleep(0)
        waiting[2].cancel()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(answer) for answer in answers].count(Receipt) == 4
        assert len(await world.store.states("n")) == 5


async def test_what_queues_in_one_turn_of_the_loop_shares_one_commit(tmp_path: Path):
    async with World("sqlite", tmp_path) as world:
        before = world.store.statistics()
        await asyncio.gather(*(world.commit(write(str(number))) for number in range(500)))
        after = world.store.statistics()
        assert (after.batches - before.batches, after.items - before.items) == (1, 500)


async def test_a_batch_ends_at_its_limit(tmp_path: Path):
    async with World("sqlite", tmp_path) as world:
        before = world.store.statistics()
        await asyncio.gather(*(world.commit(write(str(number), b"x" * 300_000)) for number in range(9)))
        assert world.store.statistics().batches - before.batches == 3


async def test_a_slow_disk_moves_the_writer_into_a_thread_and_back(tmp_path: Path):
    threads: list[str] = []
    world = World("sqlite", tmp_path, probe=lambda moment: threads.append(threading.current_thread().name))
    async with world:
        store: SqliteStore = world.store
        store._commit_s = 0.002
        await world.commit(write("a"))
        assert {name.partition("_")[0] for name in threads} == {"comity-sqlite-writer"}
        assert 0 < store._commit_s < 0.002, "the fake clock measures nothing, so the average falls"
        store._commit_s = 0.0
        threads.clear()
        await world.commit(write("b"))
        assert set(threads) == {"MainThread"}


async def test_a_full_disk_is_a_clear_error_and_nothing_is_lost(tmp_path: Path):
    async with World("sqlite", tmp_path) as world:
        await world.commit(write("before"))
        database = world.store._write_db
        pages = database.execute("PRAGMA page_count").get
        database.execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(StoreError, match="no room") as full:
            await world.commit(write("large", b"x" * 200_000))
        assert (full.value.code, full.value.retry) == ("store_full", "redo")
        assert [row.key for row in await world.store.states("n")] == ["before"]
        database.execute("PRAGMA max_page_count = 1000000")
        assert await world.commit(write("large", b"x" * 200_000)) == Receipt()


async def test_a_failure_at_commit_is_told_to_all_who_wait_and_the_next_batch_goes_on(tmp_path: Path):
    fails = [True]

    def probe(moment: str) -> None:
        if moment == "before_commit" and fails and fails.pop():
            raise apsw.IOError("disk I/O error")

    world = World("sqlite", tmp_path)
    async with world:
        world.store._probe = probe
        answers = await asyncio.gather(*(world.commit(write(str(n))) for n in range(3)), return_exceptions=True)
        assert [answer.code for answer in answers] == ["store_io"] * 3
        assert await world.store.states("n") == []
        assert await world.commit(write("after")) == Receipt()


async def test_a_locked_file_is_waited_for_in_a_thread_while_the_loop_goes_on(tmp_path: Path):
    async with World("sqlite", tmp_path) as world:
        neighbour = apsw.Connection(world.store.path)
        neighbour.execute("BEGIN IMMEDIATE")
        waiting = asyncio.ensure_future(world.commit(write("k")))
        turns = 0
        while world.store._flusher._worker is None:
            turns += 1
            await asyncio.sleep(0)
        assert not waiting.done()
        neighbour.execute("ROLLBACK")
        assert await waiting == Receipt()


async def test_a_file_that_stays_locked_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("comity.stores.sqlite.BUSY_MS", 10)
    async with World("sqlite", tmp_path) as world:
        neighbour = apsw.Connection(world.store.path)
        neighbour.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError) as locked:
            await world.commit(write("k"))
        assert (locked.value.code, locked.value.retry) == ("store_locked", "redo")
        neighbour.execute("ROLLBACK")
        assert await world.commit(write("k")) == Receipt()


async def test_two_processes_share_a_file_and_hear_of_each_other(tmp_path: Path):
    first, second = sqlite(tmp_path, clock=SystemClock()), sqlite(tmp_path, clock=SystemClock())
    await first.open()
    await second.open()
    heard = asyncio.Event()
    second.watch(heard.set)
    await asyncio.sleep(0)
    await first.commit([write("k")])
    await asyncio.wait_for(heard.wait(), 10)
    assert await second.state("n", "k") is not None
    await asyncio.gather(*(store.commit([write(f"{n}")]) for n in range(20) for store in (first, second)))
    assert len(await first.states("n")) == 21
    await first.close()
    await second.close()


async def test_a_read_only_file_is_a_clear_error(tmp_path: Path):
    async with World("sqlite", tmp_path) as world:
        world.store._write_db.execute("PRAGMA query_only = ON")
        with pytest.raises(StoreError) as refused:
            await world.commit(write("k"))
        assert (refused.value.code, refused.value.retry) == ("store_read_only", "never")


async def test_a_newer_schema_is_refused(tmp_path: Path):
    async with World("sqlite", tmp_path) as world:
        world.store._write_db.execute("INSERT INTO migrations VALUES (999, '0999_future.sql', '', 0)")
    with pytest.raises(StoreError, match="`999`") as refused:
        await world.another().open()
    assert (refused.value.code, refused.value.retry) == ("newer_schema", "never")


async def test_a_migration_that_was_changed_is_refused(tmp_path: Path):
    async with World("sqlite", tmp_path) as world:
        world.store._write_db.execute("UPDATE migrations SET sha256 = 'other'")
    with pytest.raises(StoreError, match="0001_first") as refused:
        await world.another().open()
    assert refused.value.code == "changed_migration"


async def test_a_file_that_is_no_store_is_refused_and_left_as_it_is(tmp_path: Path):
    path = tmp_path / "comity.db"
    path.write_bytes(b"this is a letter to my aunt, and no database at all" * 100)
    before = path.read_bytes()
    with pytest.raises(StoreError) as refused:
        await sqlite(tmp_path).open()
    assert refused.value.code == "not_a_store"
    assert path.read_bytes() == before
    path.unlink()
    apsw.Connection(str(path)).execute("CREATE TABLE holidays (day)")
    with pytest.raises(StoreError, match="holidays"):
        await sqlite(tmp_path).open()


async def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError) as refused:
        await SqliteStore(f"sqlite:///{tmp_path}/file/comity.db").open()
    assert refused.value.code == "store_unreachable"


async def test_a_new_file_is_its_owner_s_alone(tmp_path: Path):
    store = SqliteStore(f"sqlite:///{tmp_path}/new/comity.db")
    await store.open()
    assert (tmp_path / "new" / "comity.db").stat().st_mode & 0o777 == 0o600
    await store.close()


async def test_the_clock_goes_on_across_a_restart_and_counts_jumps_back(tmp_path: Path):
    world = World("sqlite", tmp_path)
    async with world:
        node = await world.node()
        before_us = await world.store.now_us()
        await world.store.renew(node, world.leases[node], 10)
    world.clock.set_wall_us(before_us - 7_000_000)
    world.store = world.another()
    async with world:
        assert await world.store.now_us() == before_us
        renewed = await world.store.renew(node, world.leases[node], 10)
        assert renewed is not None
        await world.store.renew(node, world.leases[node], 10)
        meta = dict(world.store._read_db.execute("SELECT key, value FROM meta"))
        assert (meta["clock_jumps"], meta["clock_jump_us"]) == ("1", "7000000")


async def test_a_closed_store_says_so(tmp_path: Path):
    world = World("sqlite", tmp_path)
    async with world:
        row = await world.held("a")
    with pytest.raises(StoreError) as refused:
        await world.store.commit([Unit(subject(row))])
    assert refused.value.code == "store_closed"
    with pytest.raises(StoreError):
        await world.store.task(row.id)


async def test_an_ordinary_call_stays_small(tmp_path: Path):
    async with World("sqlite", tmp_path) as world:
        await world.store.commit([Unit(OPERATOR, spawns=(new_task("a", entries=2_000),))])
        used = dict(world.store._read_db.execute("SELECT name, sum(pgsize - unused) FROM dbstat GROUP BY name"))
        bodies = sum(len(entry.body) for entry in await world.store.load(new_task("a").id))
        assert (used["entries"] + used["entries_task"] - bodies) / 2_000 <= 40


def test_a_url_that_names_no_store_is_refused_with_the_forms():
    for url in ("", "mysql://host/db", "sqlite://comity.db", "sqlite:///", "postgresql://", "comity.db"):
        with pytest.raises(UsageError) as refused:
            open_store(url)
        assert "sqlite:///comity.db" in refused.value.hint
    assert open_store("sqlite:///x.db").url == "sqlite:///x.db"
    assert open_store("postgresql://host/db").url == "postgresql://host/db"
