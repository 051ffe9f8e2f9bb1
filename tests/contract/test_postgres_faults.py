"""What PostgreSQL's store does where nodes race, connections break and servers restart: no loss, on by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from comity.core.errors import CommitUnknown, StoreError
from comity.journal.unit import Fenced, GuardFailed, InboxSeen, Receipt, StateIs, StateRow, StateWrite, Unit
from comity.stores.postgres import PostgresStore
from comity.testing.waiting import wait_until
from contract.proxy import Proxy
from contract.world import OPERATOR, World, append, new_task, note
from postgres import server

BOTH_WAYS = pytest.mark.parametrize("guards", [(), (InboxSeen(),)], ids=["appended", "judged"])
"""A unit that only appends is written by one statement; any other is judged here, between two."""


def write(key: str, value: bytes = b"x", expected: int | None = None) -> Unit:
    return Unit(OPERATOR, state=(StateWrite("n", key, value, expected),))


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[World]:
    async with World("postgres", folder) as world:
        yield world


@asynccontextmanager
async def connected(world: World) -> AsyncIterator[psycopg.AsyncConnection[tuple[Any, ...]]]:
    async with await psycopg.AsyncConnection.connect(world.url, autocommit=True) as connection:
        yield connection


async def until_blocked(world: World, number: int = 1) -> None:
    """Wait until so many of the store's backends wait for a lock: the server is asked, no time is guessed."""
    async with connected(world) as connection:
        while True:
            cursor = await connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            (found,) = (await cursor.fetchone()) or (0,)
            if found >= number:
                return


# ---- fencing, stepped by hand --------------------------------------------------------------------------------


async def test_an_append_that_came_first_lands_and_the_takeover_waits_for_it(tmp_path: Path):
    async with opened(tmp_path) as world:
        row = await world.held("a")
        arrived, goes_on = asyncio.Event(), asyncio.Event()

        async def probe(moment: str) -> None:
            if moment == "before_commit":
                arrived.set()
                await goes_on.wait()

        writer: PostgresStore = world.another(probe=probe)
        await writer.open()
        appending = asyncio.ensure_future(writer.commit([append(row, guards=(InboxSeen(),))]))
        await arrived.wait()
        taking_over = asyncio.ensure_future(world.store.declare_dead(row.node))
        assert await world.store.load(row.id) == [note(1, "a")]
        goes_on.set()
        assert await appending == [Receipt()]
        assert await taking_over == [row.node]
        assert len(await world.store.load(row.id)) == 2
        (again,) = await writer.commit([append(row)])
        assert isinstance(again, Fenced)
        await writer.close()


async def test_a_plain_append_that_came_first_lands_and_the_takeover_waits_for_it(tmp_path: Path):
    async with opened(tmp_path) as world, connected(world) as other:
        row = await world.held("a")
        await world.commit(write("stop"))
        await other.execute("BEGIN")
        await other.execute("UPDATE state SET version = 2 WHERE key = 'stop'")
        appending = asyncio.ensure_future(world.commit(append(row, guards=(StateIs("n", "stop", 1),))))
        await until_blocked(world)
        taking_over = asyncio.ensure_future(world.store.declare_dead(row.node))
        await until_blocked(world, 2)
        assert await world.store.load(row.id) == [note(1, "a")]
        await other.execute("ROLLBACK")
        assert await appending == Receipt()
        assert await taking_over == [row.node]
        assert len(await world.store.load(row.id)) == 2
        assert isinstance(await world.commit(append(row)), Fenced)


@BOTH_WAYS
async def test_an_append_that_came_second_waits_for_the_takeover_and_is_fenced(tmp_path: Path, guards: Any):
    async with opened(tmp_path) as world, connected(world) as other:
        row = await world.held("a")
        await other.execute("BEGIN")
        await other.execute("UPDATE tasks SET epoch = epoch + 1, lease_id = 'other' WHERE id = %s", (row.id,))
        appending = asyncio.ensure_future(world.commit(append(row, guards=guards)))
        await until_blocked(world)
        assert not appending.done()
        await other.execute("COMMIT")
        assert isinstance(await appending, Fenced)
        assert len(await world.store.load(row.id)) == 1


async def test_a_guarded_row_cannot_change_before_the_unit_that_it_guards_has_committed(tmp_path: Path):
    async with opened(tmp_path) as world, connected(world) as other:
        await world.commit(write("stop"))
        await other.execute("BEGIN")
        await other.execute("UPDATE state SET version = 2 WHERE key = 'stop'")
        waiting = asyncio.ensure_future(world.commit(write("stop", b"y", 1)))
        await until_blocked(world)
        await other.execute("COMMIT")
        assert isinstance(await waiting, GuardFailed)


async def test_an_append_waits_for_who_changes_the_state_that_guards_it(tmp_path: Path):
    async with opened(tmp_path) as world, connected(world) as other:
        row = await world.held("a")
        await world.commit(write("stop"))
        await other.execute("BEGIN")
        await other.execute("UPDATE state SET version = 2 WHERE key = 'stop'")
        guard = StateIs("n", "stop", 1)
        waiting = asyncio.ensure_future(world.commit(append(row, guards=(guard,))))
        await until_blocked(world)
        await other.execute("COMMIT")
        assert await waiting == GuardFailed(guard, StateRow("n", "stop", 2, b"x"))
        assert len(await world.store.load(row.id)) == 1


async def test_two_nodes_that_create_the_same_thing_at_once_get_one_of_it(tmp_path: Path):
    async with opened(tmp_path) as world:
        others = [world.another() for _ in range(3)]
        for store in others:
            await store.open()
        for turn in range(5):
            spawns = [new_task(f"{turn}/{number}", dedupe=f"d{turn}") for number in range(3)]
            answers = await asyncio.gather(
                *(
                    store.commit([write(f"once {turn}", spawn.id, 0), Unit(OPERATOR, spawns=(spawn,))])
                    for store, spawn in zip(others, spawns, strict=True)
                )
            )
            assert sorted(type(once).__name__ for once, _ in answers) == ["GuardFailed", "GuardFailed", "Receipt"]
            created = [spawned.existing[0] for _, spawned in answers]
            assert created.count(b"") == 1
            assert len(set(created)) == 2
        for store in others:
            await store.close()


# ---- lost connections ----------------------------------------------------------------------------------------


async def test_a_commit_whose_answer_was_lost_is_read_back_and_counts_once(tmp_path: Path):
    async with opened(tmp_path) as world:
        row = await world.held("a")
        async with Proxy(world.url) as proxy:
            store = PostgresStore(proxy.url, clock=world.clock)
            await store.open()
            await store.commit([write("before")])
            proxy.swallow_answer_of = b"COMMIT"
            answers = await store.commit([append(row), write("after", expected=0)])
            assert proxy.swallowed == 1
            assert answers == [Receipt(), Receipt()]
            assert len(await store.load(row.id)) == 2
            assert await store.commit([write("again", expected=0)]) == [Receipt()]
            await store.close()


async def test_a_commit_that_never_arrived_is_written_again_once(tmp_path: Path):
    async with opened(tmp_path) as world:
        row = await world.held("a")
        async with Proxy(world.url) as proxy:
            store = PostgresStore(proxy.url, clock=world.clock)
            await store.open()
            await store.commit([write("before")])
            proxy.swallow = b"COMMIT"
            assert await store.commit([append(row), write("after", expected=0)]) == [Receipt(), Receipt()]
            assert proxy.swallowed == 1
            assert len(await store.load(row.id)) == 2
            await store.close()


@pytest.mark.parametrize("arrives", [True, False])
async def test_an_append_whose_answer_was_lost_is_read_back_unit_by_unit(tmp_path: Path, arrives: bool):
    async with opened(tmp_path) as world:
        held = [await world.held(f"t{number}") for number in range(4)]
        await world.commit(append(held[2]))
        async with Proxy(world.url) as proxy:
            store = PostgresStore(proxy.url, clock=world.clock)
            await store.open()
            assert await store.commit([append(held[0])]) == [Receipt()]
            if arrives:
                proxy.swallow_answer_of = b"comity_append"
            else:
                proxy.swallow = b"comity_append"
            answers = await store.commit([append(held[1]), append(held[2]), append(held[3])])
            assert proxy.swallowed == 1
            assert answers == [Receipt(), Fenced("out of sequence"), Receipt()]
            assert [len(await store.load(row.id)) for row in held] == [2, 2, 2, 2]
            assert await store.commit([append(await world.row(held[1].id))]) == [Receipt()]
            await store.close()


async def test_an_unknown_commit_of_a_store_that_closes_is_told_as_unknown(tmp_path: Path):
    async with opened(tmp_path) as world, Proxy(world.url) as proxy:
        store = PostgresStore(proxy.url, clock=world.clock)
        await store.open()
        await store.commit([write("before")])
        proxy.swallow_answer_of = b"COMMIT"
        proxy.refuses = True
        waiting = asyncio.ensure_future(store.commit([write("k")]))
        await wait_until(lambda: proxy.swallowed)
        await store.close()
        with pytest.raises(CommitUnknown):
            await waiting


async def test_a_backend_that_is_killed_before_commit_loses_nothing(tmp_path: Path):
    async with opened(tmp_path) as world, connected(world) as killer:
        row = await world.held("a")
        left = 2

        async def probe(moment: str) -> None:
            nonlocal left
            if moment == "before_commit" and left:
                left -= 1
                await killer.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                    " WHERE application_name = 'comity flush'"
                    " AND datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'"
                )

        store: PostgresStore = world.another(probe=probe)
        await store.open()
        assert await store.commit([append(row, guards=(InboxSeen(),))]) == [Receipt()]
        assert left == 0
        assert len(await store.load(row.id)) == 2
        await store.close()


async def test_killed_backends_come_back_for_reads_leases_and_commits(tmp_path: Path):
    async with opened(tmp_path) as world, connected(world) as killer:
        row = await world.held("a")
        await killer.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name LIKE 'comity %'"
            " AND datname = current_database()"
        )
        assert await world.store.task(row.id) == row
        assert await world.store.renew(row.node, row.lease_id, 10) is not None
        assert await world.commit(append(row)) == Receipt()
        with pytest.raises(StoreError) as lost:
            await world.take(row.node)
        assert (lost.value.code, lost.value.retry) == ("store_unreachable", "redo")
        assert await world.take(row.node) == []


async def test_the_server_restarts_and_the_store_goes_on_by_itself(tmp_path: Path):
    async with opened(tmp_path) as world:
        row = await world.held("a")
        server()._stop()
        try:
            with pytest.raises(StoreError) as away:
                await world.commit(append(row))
            assert (away.value.code, away.value.retry) == ("store_unreachable", "redo")
            with pytest.raises(StoreError, match="cannot be reached"):
                await world.store.task(row.id)
        finally:
            server().ensure_postgres_running()
        assert await world.commit(append(row)) == Receipt()
        assert len(await world.store.load(row.id)) == 2


# ---- the rest ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number_of_units", [9, 40], ids=["together", "split"])
async def test_a_poison_row_harms_only_its_unit(tmp_path: Path, number_of_units: int):
    async with opened(tmp_path) as world:
        units = [append(await world.held(f"t{number}")) for number in range(number_of_units)]
        poison = write("nul \x00 in text")
        answers = await asyncio.gather(
            *(world.commit(unit) for unit in (*units[:5], poison, *units[5:])), return_exceptions=True
        )
        assert [answer for answer in answers if answer != Receipt()] == [answers[5]]
        assert isinstance(answers[5], StoreError)
        assert (answers[5].code, answers[5].retry) == ("bad_unit", "never")


async def test_a_poison_entry_harms_only_its_unit(tmp_path: Path):
    async with opened(tmp_path) as world:
        units = [append(await world.held(f"t{number}")) for number in range(9)]
        bad = replace(units[4], entries=(replace(units[4].entries[0], branch="nul \x00 in text"),))
        answers = await asyncio.gather(
            *(world.commit(unit) for unit in (*units[:4], bad, *units[5:])), return_exceptions=True
        )
        assert [answer for answer in answers if answer != Receipt()] == [answers[4]]
        assert isinstance(answers[4], StoreError)
        assert (answers[4].code, answers[4].retry) == ("bad_unit", "never")
        assert await world.commit(units[4]) == Receipt()


async def test_the_log_waits_for_a_lower_position_that_may_still_appear(tmp_path: Path):
    async with opened(tmp_path) as world, connected(world) as slow:
        row = await world.held("a")
        for end in ("COMMIT", "ROLLBACK"):
            shown = await world.store.log(0, 100)
            seq = (await world.row(row.id)).last_seq
            await slow.execute("BEGIN")
            await slow.execute(
                "INSERT INTO entries (task, at_us, seq, kind, phase, branch, body) VALUES (99, 0, %s, '', '', '', '')",
                (seq,),
            )
            assert await world.commit(append(await world.row(row.id))) == Receipt()
            assert await world.store.log(0, 100) == shown
            assert await world.store.sequence(row.node, row.lease_id) == len(shown)
            await slow.execute(end)
            assert len(await world.store.log(0, 100)) == len(shown) + 1


async def test_a_node_hears_of_another_s_commit(tmp_path: Path):
    async with opened(tmp_path) as world:
        other = world.another()
        await other.open()
        heard = asyncio.Event()
        other.watch(heard.set)
        await asyncio.wait_for(heard.wait(), 10)
        heard.clear()
        await world.commit(write("k"))
        await asyncio.wait_for(heard.wait(), 10)
        await other.close()


async def test_a_newer_schema_is_refused(tmp_path: Path):
    async with opened(tmp_path) as world, connected(world) as connection:
        await connection.execute("INSERT INTO migrations VALUES (999, 'future', '', clock_timestamp())")
        with pytest.raises(StoreError, match="`999`") as refused:
            await world.another().open()
        assert refused.value.code == "newer_schema"


async def test_a_server_that_is_not_there_and_a_database_that_is_not_there_are_clear_errors(tmp_path: Path):
    store = PostgresStore(f"postgresql:///nothing?host={tmp_path}")
    with pytest.raises(StoreError) as away:
        await store.open()
    assert (away.value.code, away.value.retry) == ("store_unreachable", "redo")
    store = PostgresStore(server().get_uri(database="nobody_made_this"))
    with pytest.raises(StoreError) as missing:
        await store.open()
    assert "nobody_made_this" in missing.value.message


async def test_a_database_of_somebody_else_is_refused(tmp_path: Path):
    world = World("postgres", tmp_path)
    async with connected(world) as connection:
        await connection.execute("CREATE TABLE tasks (what text)")
    with pytest.raises(StoreError) as refused:
        await world.store.open()
    assert refused.value.code == "not_a_store"


async def test_two_nodes_that_open_an_empty_database_at_once_make_one_store(tmp_path: Path):
    world = World("postgres", tmp_path)
    stores = [world.store, *(world.another() for _ in range(3))]
    await asyncio.gather(*(store.open() for store in stores))
    lineages = {await store.lineage() for store in stores}
    assert len(lineages) == 1
    assert lineages.pop().count("/") == 2
    await asyncio.gather(*(store.close() for store in stores))
