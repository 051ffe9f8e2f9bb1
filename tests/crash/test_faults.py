"""Faults of the store under a node at work: it goes on by itself, and nothing is lost (promise P10)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

from comity.agents.context import Context
from comity.agents.tool import agent
from comity.core.codec import decode
from comity.core.errors import StoreError
from comity.core.ids import Id
from comity.journal.program import Loaded, collect
from comity.journal.unit import Answer, Unit
from comity.stores.postgres import PostgresStore
from comity.stores.sqlite import SqliteStore
from comity.testing.waiting import wait_until
from contract.proxy import Proxy
from crash.fleet import CLERK, World, tools_of
from crash.injection import Injector
from crash.lives import Lives
from crash.nodes import Cluster
from crash.test_processes import told_by
from postgres import postgres_url, server

ENDS = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'comity %'"
    " AND datname = current_database()"
)


class Cutting:
    """A store behind a proxy that cuts the connection at commits: before they arrive, or before they are answered."""

    def __init__(self, inner: Any, proxy: Proxy) -> None:
        self._inner = inner
        self._proxy = proxy
        self._commits = 0

    async def commit(self, units: Sequence[Unit]) -> Sequence[Answer]:
        """Commit, with an accident."""
        self._commits += 1
        word = b"comity_append" if self._commits % 4 < 2 else b"COMMIT"
        if self._commits % 2:
            self._proxy.swallow = word
        else:
            self._proxy.swallow_answer_of = word
        answers: Sequence[Answer] = await self._inner.commit(units)
        return answers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


async def check(lives: Lives, tasks: list[Id]) -> None:
    """Hold that each `clerk` did everything once."""
    for task in tasks:
        ledger = await lives.operator.orders.ledger(task)
        assert ledger.ended is not None
        assert decode(ledger.ended.result.inline) == CLERK
    for name in ("book_slot", "tag", "announce"):
        assert len(lives.world.book.standing(name)) == len(tasks), name
    assert lives.world.thoughts.total() == 2 * len(tasks)


async def test_a_connection_lost_during_every_commit_loses_nothing_and_repeats_nothing() -> None:
    """P2, P10: whether a commit landed is read back, never guessed."""
    url = postgres_url()
    async with Proxy(url) as proxy:
        own, cut = PostgresStore(url), PostgresStore(proxy.url)
        await own.open()
        await cut.open()
        lives = Lives(own, World())
        task = await lives.create("clerk")
        lives.store = Cutting(cut, proxy)  # type: ignore[assignment]
        lives.world.injector = Injector()
        kernel = lives.kernel(lives.world.injector)
        await kernel.start("here", 1)
        await wait_until(lives.operator.look_around, 30, "the task to end")
        await kernel.stop()
        assert proxy.swallowed >= 5
        await check(lives, [task])
        await cut.close()
        await own.close()


class Full:
    """A SQLite store whose disk is full from the `at`-th commit on, until it has failed a few times."""

    def __init__(self, inner: SqliteStore, at: int) -> None:
        self._inner = inner
        self._at = at
        self._commits = 0
        self.failures = 0

    async def commit(self, units: Sequence[Unit]) -> Sequence[Answer]:
        """Commit; the disk fills up, and is cleaned up."""
        self._commits += 1
        database = self._inner._write_db
        assert database is not None
        if self._commits == self._at:
            database.execute(f"PRAGMA max_page_count = {database.execute('PRAGMA page_count').get}")
        try:
            return await self._inner.commit(units)
        except StoreError as error:
            self.failures += error.code == "store_full"
            if self.failures == 3:
                database.execute("PRAGMA max_page_count = 1000000")
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def busy(world: World) -> Loaded:
    """Return an agent that announces a hundred times."""
    announce = tools_of(world)["announce"]

    @agent(tools=[announce])
    async def herald(context: Context) -> int:
        for number in range(100):
            await context.act(announce, ref=f"{number} {'long ' * 40}")
        return 100

    return collect({"announce": announce, "herald": herald}, "<faults>", "0" * 64)


async def test_a_disk_that_is_full_for_a_while_stops_nothing_for_good(tmp_path: Path) -> None:
    """P10: the node waits, and goes on by itself."""
    store = SqliteStore(f"sqlite:///{tmp_path}/comity.db")
    await store.open()
    world = World()
    lives = Lives(store, world, loaded=busy(world))
    await lives.create("herald")
    full = Full(store, 20)
    lives.store = full  # type: ignore[assignment]
    kernel = lives.kernel(world.injector)
    await kernel.start("here", 1)
    await wait_until(lives.operator.look_around, 30, "the task to end")
    await kernel.stop()
    assert full.failures >= 3
    assert len(world.book.effects) == 100
    assert not world.book.doubled()
    await store.close()


async def at_work(cluster: Cluster, number: int) -> list[Id]:
    """Start a node with so many tasks, and return once some have acted."""
    tasks = [await cluster.create("clerk", f"t{index}") for index in range(number)]
    cluster.node()
    await cluster.wait(lambda: len(cluster.tally.book().effects) > number, 30, "the tasks to be at work")
    return tasks


async def all_is_well(cluster: Cluster, tasks: list[Id]) -> None:
    """Hold that one life of the node sufficed, and that every effect stands once."""

    async def ended() -> bool:
        assert cluster.nodes[0].is_up, cluster.nodes[0].log()
        return await cluster.operator.look_around()

    await cluster.wait(ended, 60, "the tasks to end")
    assert not cluster.tally.book().doubled()
    for index, task in enumerate(tasks):
        assert await cluster.result(task) == told_by(f"t{index}")


async def test_killed_backends_of_a_node_at_work_are_replaced(tmp_path: Path) -> None:
    """P10: connections break, the node does not."""
    async with Cluster(tmp_path, postgres_url()) as cluster:
        tasks = await at_work(cluster, 12)
        with psycopg.connect(cluster.url, autocommit=True) as connection:
            for _ in range(5):
                acted = len(cluster.tally.book().effects)
                connection.execute(ENDS)
                await cluster.wait(
                    lambda acted=acted: len(cluster.tally.book().effects) > min(acted, 55), 20, "more effects"
                )
        await all_is_well(cluster, tasks)


async def test_a_restart_of_the_server_under_a_node_at_work_loses_nothing(tmp_path: Path) -> None:
    """P10: the server is away, and back."""
    async with Cluster(tmp_path, postgres_url()) as cluster:
        tasks = await at_work(cluster, 12)
        server()._stop()
        server().ensure_postgres_running()
        await all_is_well(cluster, tasks)
