"""DBOS Transact, on SQLite and on PostgreSQL, in one process, as its documentation sets it up.

SQLite runs in WAL with `synchronous=FULL` (DBOS leaves the file in rollback mode, which is slower at the same
durability). Many tasks go through a DBOS queue, which was faster here than `start_workflow` in threads; the
queue exists in W2 and W3 only, because its polling costs CPU. Polling is 50 ms where the default is 1 s.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from benchmarks.peer import Peer, Sample
from benchmarks.stores import postgres_row_bytes, postgres_settings, sqlite_row_bytes

POLL_S = 0.05
CRASH_TASK = "crash"


class _Dbos(Peer):
    """What both stores share."""

    task: Callable[[int], int]
    noop: Callable[[], int]
    striking: Callable[[int], int]

    def url(self) -> str:
        """Return the address of the system database."""
        raise NotImplementedError

    def row_bytes(self) -> int:
        """Return the bytes of all rows that are stored now."""
        raise NotImplementedError

    def open(self) -> None:
        from dbos import DBOS

        self._configure()

        @DBOS.step()
        def trivial(number: int) -> int:
            return number

        @DBOS.step()
        def step_with_effect(number: int) -> int:
            return self.strike(number)

        @DBOS.workflow()
        def task(steps: int) -> int:
            return sum(trivial(number) for number in range(steps))

        @DBOS.workflow()
        def striking(steps: int) -> int:
            return sum(step_with_effect(number) for number in range(steps))

        @DBOS.workflow()
        def noop() -> int:
            return 0

        self.task, self.striking, self.noop = task, striking, noop

    def close(self) -> None:
        from dbos import DBOS

        DBOS.destroy()

    def w1(self, steps: int) -> Sample:
        self._launch_warm()
        before = self.row_bytes()
        with self.meter() as lap:
            self.task(steps)
        return lap.sample(steps, self.row_bytes() - before)

    def w2(self, tasks: int, steps: int) -> Sample:
        return self._through_queue(tasks, self.task, steps)

    def w3(self, tasks: int) -> Sample:
        return self._through_queue(tasks, self.noop)

    def begin(self, steps: int) -> None:
        from dbos import DBOS, SetWorkflowID

        DBOS.launch()
        with SetWorkflowID(CRASH_TASK):
            self.striking(steps)

    def resume(self, steps: int) -> str:
        from dbos import DBOS

        DBOS.launch()
        DBOS.retrieve_workflow(CRASH_TASK).get_result(polling_interval_sec=POLL_S)
        return ""

    def _configure(self) -> None:
        from dbos import DBOS

        DBOS(
            config={
                "name": "bench",
                "system_database_url": self.url(),
                "log_level": "ERROR",
                "console_log_level": "ERROR",
            }
        )

    def _launch_warm(self) -> None:
        from dbos import DBOS

        DBOS.launch()
        self.task(20)

    def _through_queue(self, tasks: int, workflow: Callable[..., int], *arguments: int) -> Sample:
        from dbos import DBOS

        self._launch_warm()
        queue = DBOS.register_queue("bench", polling_interval_sec=POLL_S)
        queue.enqueue(workflow, *arguments).get_result(polling_interval_sec=POLL_S)
        with self.meter() as lap:
            handles = [queue.enqueue(workflow, *arguments) for _ in range(tasks)]
            for handle in handles:
                handle.get_result(polling_interval_sec=POLL_S)
        return lap.sample(tasks)

    def _pragma(self, name: str) -> Any:
        """Ask a connection of DBOS's own pool, since `synchronous` belongs to a connection."""
        from dbos import DBOS, _dbos
        from sqlalchemy import text

        DBOS.launch()
        with _dbos._get_dbos_instance()._sys_db.engine.connect() as connection:
            return connection.execute(text(f"PRAGMA {name}")).scalar()


class DbosSqlite(_Dbos):
    """DBOS with its embedded store."""

    name = "dbos-sqlite"
    store = "sqlite"
    distributions = ("dbos", "sqlalchemy")

    def open(self) -> None:
        self.path = self.site.folder / "dbos.sqlite"
        connection = sqlite3.connect(self.path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.close()
        super().open()

    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def row_bytes(self) -> int:
        return sqlite_row_bytes(self.path)

    def settings(self) -> dict[str, str]:
        pragmas = {name: str(self._pragma(name)) for name in ("journal_mode", "synchronous", "page_size")}
        return pragmas | {"journal_mode set by": "the benchmark; DBOS leaves `delete`"}


class DbosPostgres(_Dbos):
    """DBOS with PostgreSQL, LISTEN/NOTIFY on, its default pool."""

    name = "dbos-postgres"
    store = "postgres"
    distributions = ("dbos", "sqlalchemy")

    def url(self) -> str:
        return self.site.postgres_url

    def row_bytes(self) -> int:
        return postgres_row_bytes(self.site.postgres_url)

    def settings(self) -> dict[str, str]:
        return postgres_settings(self.site.postgres_url)
