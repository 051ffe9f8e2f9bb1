"""Comity itself: the whole call path with all gates on, every step an effect with a durable intent and outcome.

Embedded mode: kernel, brains and hands share the process, as the peers' workers do.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.peer import Peer, Sample, Strike, stringified
from benchmarks.stores import postgres_row_bytes, postgres_settings, sqlite_row_bytes

if TYPE_CHECKING:
    from comity.journal.program import Loaded
    from comity.runtime.embedded import Embedded

TASKS_MAX = 1_000


def offered(strike: Strike) -> Loaded:
    """Return the agents that the workloads run."""
    from comity import Context, agent, tool
    from comity.journal.program import offered_by

    @tool(effect="idempotent", name="step")
    async def step(number: int) -> int:
        return number

    @tool(effect="irreversible", name="act")
    async def act(number: int) -> int:
        return strike(number)

    @agent(tools=[step], name="steps")
    async def steps(ctx: Context) -> None:
        for number in range(ctx.goal):
            await ctx.act(step, number=number)

    @agent(tools=[act], name="acts")
    async def acts(ctx: Context) -> None:
        for number in range(ctx.goal):
            await ctx.act(act, number=number)

    @agent(name="nothing", tools=[])
    async def nothing(ctx: Context) -> None:
        return None

    return offered_by(steps, acts, nothing)


class Comity(Peer):
    """One embedded node on a store."""

    distributions = ("msgspec", "apsw", "psycopg")
    node: Embedded

    def url(self) -> str:
        """Return the store's URL."""
        raise NotImplementedError

    def row_bytes(self) -> int:
        """Return the bytes of the stored rows."""
        raise NotImplementedError

    def open(self) -> None:
        """Start a node and run a small task."""
        from comity.kernel import Settings
        from comity.runtime.embedded import Embedded
        from comity.stores.open import open_store

        self.runner = asyncio.Runner()
        self.kept = open_store(self.url())

        async def start() -> Embedded:
            await self.kept.open()
            home = Path(self.site.folder) / "home"
            loaded = offered(self.strike)
            node = Embedded(loaded, self.kept, settings=Settings(tasks_max=TASKS_MAX), home=home)
            await node.__aenter__()
            return node

        self.node = self.runner.run(start())
        self.runner.run(self._run_all("steps", 20, 1))

    def close(self) -> None:
        """Stop the node."""

        async def stop() -> None:
            await self.node.__aexit__(None, None, None)
            await self.kept.close()

        self.runner.run(stop())
        self.runner.close()

    def w1(self, steps: int) -> Sample:
        """Run one task of `steps` effects."""
        before = self.row_bytes()
        with self.meter() as lap:
            self.runner.run(self._run_all("steps", steps, 1))
        return lap.sample(steps, self.row_bytes() - before)

    def w2(self, tasks: int, steps: int) -> Sample:
        """Run `tasks` tasks of `steps` effects at once."""
        with self.meter() as lap:
            self.runner.run(self._run_all("steps", steps, tasks))
        return lap.sample(tasks)

    def w3(self, tasks: int) -> Sample:
        """Run `tasks` tasks that do nothing."""
        with self.meter() as lap:
            self.runner.run(self._run_all("nothing", 0, tasks))
        return lap.sample(tasks)

    def begin(self, steps: int) -> None:
        """Run the task of the crash scenario, whose steps are irreversible."""
        self.runner.run(self._run_all("acts", steps, 1))

    def resume(self, steps: int) -> str:
        """Let the task be taken over; it is parked, since nobody knows whether its step in flight happened."""

        async def look() -> str:
            from comity.journal.ports import TaskFilter

            (row,) = await self.kept.tasks(TaskFilter(agent="acts"))
            row = await self.node.left(row.id)
            return row.reason.replace("_", " ")

        return self.runner.run(look())

    async def _run_all(self, agent: str, goal: Any, tasks: int) -> None:
        made = await asyncio.gather(*(self.node.create(agent, goal) for _ in range(tasks)))
        rows = await asyncio.gather(*(self.node.left(task) for task in made))
        assert all(row.state == "succeeded" for row in rows), rows[0]


class ComitySqlite(Comity):
    """On SQLite."""

    name = "comity-sqlite"
    store: ClassVar[Any] = "sqlite"

    def url(self) -> str:
        """Return the file's URL."""
        return f"sqlite:///{self.site.folder / 'comity.db'}"

    def row_bytes(self) -> int:
        """Return the bytes of all rows."""
        return sqlite_row_bytes(self.site.folder / "comity.db")

    def settings(self) -> dict[str, str]:
        """Return what decides about durability."""
        found = self.runner.run(self.kept.settings())
        return stringified({"mode": "embedded, all gates", **found})


class ComityPostgres(Comity):
    """On PostgreSQL."""

    name = "comity-postgres"
    store: ClassVar[Any] = "postgres"

    def url(self) -> str:
        """Return the database's URL."""
        return self.site.postgres_url

    def row_bytes(self) -> int:
        """Return the bytes of all rows."""
        return postgres_row_bytes(self.site.postgres_url)

    def settings(self) -> dict[str, str]:
        """Return what decides about durability."""
        return {"mode": "embedded, all gates", **postgres_settings(self.site.postgres_url)}


SYSTEMS: tuple[type[Peer], ...] = (ComitySqlite, ComityPostgres)
