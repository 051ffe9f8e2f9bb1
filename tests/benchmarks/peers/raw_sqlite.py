"""The reference for SQLite: one row and one fsync a step, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from benchmarks.peer import Peer, Sample, stringified
from benchmarks.stores import sqlite_row_bytes

if TYPE_CHECKING:
    import apsw

SCHEMA = """
CREATE TABLE step(position INTEGER PRIMARY KEY, task INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE job(id INTEGER PRIMARY KEY, state TEXT NOT NULL);
"""
BODY = b"x" * 32


class RawSqlite(Peer):
    """A durable commit of one small row through `apsw`, one connection, WAL, `synchronous=FULL`."""

    name = "raw-sqlite"
    store = "sqlite"
    distributions = ("apsw",)
    is_reference = True
    lacks: ClassVar[dict[str, str]] = {"crash": "a bare commit has no task to resume"}
    connection: apsw.Connection

    def open(self) -> None:
        import apsw

        self.path = self.site.folder / "raw.sqlite"
        self.connection = apsw.Connection(str(self.path))
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = FULL")
        self.connection.execute(SCHEMA)
        self._append(0, 20)

    def close(self) -> None:
        self.connection.close()

    def settings(self) -> dict[str, str]:
        pragmas = ("journal_mode", "synchronous", "page_size")
        read = {pragma: self.connection.execute(f"PRAGMA {pragma}").fetchone() for pragma in pragmas}
        return stringified({pragma: row[0] if row else "?" for pragma, row in read.items()})

    def w1(self, steps: int) -> Sample:
        before = sqlite_row_bytes(self.path)
        with self.meter() as lap:
            self._append(1, steps)
        return lap.sample(steps, sqlite_row_bytes(self.path) - before)

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
            "(SELECT id FROM job WHERE state = 'queued' ORDER BY id LIMIT 1) RETURNING id"
        )
        self.connection.execute("CREATE INDEX queued ON job(id) WHERE state = 'queued'")
        with self.meter() as lap:
            for _ in range(tasks):
                self.connection.execute("INSERT INTO job(state) VALUES ('queued')")
            for _ in range(tasks):
                (taken,) = self.connection.execute(take).fetchall()
                self.connection.execute("UPDATE job SET state = 'done' WHERE id = ?", taken)
        return lap.sample(tasks)

    def _append(self, task: int, steps: int) -> None:
        for _ in range(steps):
            self.connection.execute("INSERT INTO step(task, body) VALUES (?, ?)", (task, BODY))
