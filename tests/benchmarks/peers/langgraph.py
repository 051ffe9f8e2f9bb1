"""LangGraph with its SQLite and PostgreSQL checkpointers, `durability="sync"`.

A task is a graph of one node that follows itself until its steps are done: each step is a super-step with its
checkpoint. Many tasks run on four threads (faster here than one after another, and than its async savers). The
library has no queue and no lease, so it has no W3, and somebody else must notice a dead process and call again.
"""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, TypedDict

from benchmarks.peer import Peer, Sample, stringified
from benchmarks.stores import postgres_row_bytes, postgres_settings, sqlite_row_bytes

THREADS = 4
CRASH_TASK = "crash"


class Progress(TypedDict):
    """The state of the graph."""

    done: int
    steps: int


class _LangGraph(Peer):
    """What both stores share."""

    lacks: ClassVar[dict[str, str]] = {"W3": "the library has no queue and no lease"}

    def saver(self) -> Any:
        """Return an open checkpointer with its tables."""
        raise NotImplementedError

    def row_bytes(self) -> int:
        """Return the bytes of all rows that are stored now."""
        raise NotImplementedError

    def open(self) -> None:
        from langgraph.graph import END, START, StateGraph

        def step(state: Progress) -> dict[str, int]:
            self.strike(state["done"])
            return {"done": state["done"] + 1}

        def following(state: Progress) -> str:
            return END if state["done"] >= state["steps"] else "step"

        builder = StateGraph(Progress)
        builder.add_node("step", step)
        builder.add_edge(START, "step")
        builder.add_conditional_edges("step", following, ["step", END])
        self.graph = builder.compile(checkpointer=self.saver())

    def w1(self, steps: int) -> Sample:
        self._run("warm", 20)
        before = self.row_bytes()
        with self.meter() as lap:
            self._run("w1", steps)
        return lap.sample(steps, self.row_bytes() - before)

    def w2(self, tasks: int, steps: int) -> Sample:
        self._run("warm", 20)
        with ThreadPoolExecutor(THREADS) as threads, self.meter() as lap:
            for _ in threads.map(lambda task: self._run(f"w2-{task}", steps), range(tasks)):
                pass
        return lap.sample(tasks)

    def w3(self, tasks: int) -> Sample:
        raise NotImplementedError(self.lacks["W3"])

    def begin(self, steps: int) -> None:
        self._run(CRASH_TASK, steps)

    def resume(self, steps: int) -> str:
        self.graph.invoke(None, self._config(CRASH_TASK, steps), durability="sync")
        return ""

    def _run(self, thread: str, steps: int) -> None:
        self.graph.invoke({"done": 0, "steps": steps}, self._config(thread, steps), durability="sync")

    @staticmethod
    def _config(thread: str, steps: int) -> Any:
        return {"configurable": {"thread_id": thread}, "recursion_limit": steps + 10}


class LangGraphSqlite(_LangGraph):
    """`SqliteSaver`: one connection behind a lock, WAL, `synchronous=FULL`."""

    name = "langgraph-sqlite"
    store = "sqlite"
    distributions = ("langgraph", "langgraph-checkpoint-sqlite")
    connection: sqlite3.Connection

    def saver(self) -> Any:
        from langgraph.checkpoint.sqlite import SqliteSaver

        self.path = self.site.folder / "langgraph.sqlite"
        self.connection = sqlite3.connect(self.path, check_same_thread=False)
        self.connection.execute("PRAGMA synchronous = FULL")
        saver = SqliteSaver(self.connection)
        saver.setup()
        return saver

    def close(self) -> None:
        self.connection.close()

    def row_bytes(self) -> int:
        return sqlite_row_bytes(self.path)

    def settings(self) -> dict[str, str]:
        pragmas = ("journal_mode", "synchronous", "page_size")
        read = {pragma: self.connection.execute(f"PRAGMA {pragma}").fetchone()[0] for pragma in pragmas}
        return stringified(read | {"durability": "sync"})


class LangGraphPostgres(_LangGraph):
    """`PostgresSaver` on a pool of as many connections as threads."""

    name = "langgraph-postgres"
    store = "postgres"
    distributions = ("langgraph", "langgraph-checkpoint-postgres")

    def saver(self) -> Any:
        from langgraph.checkpoint.postgres import PostgresSaver
        from psycopg.rows import dict_row
        from psycopg_pool import ConnectionPool

        options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
        self.pool = ConnectionPool(
            self.site.postgres_url, min_size=THREADS, max_size=THREADS, kwargs=options, open=True
        )
        self.pool.wait()
        saver = PostgresSaver(self.pool)
        saver.setup()
        return saver

    def close(self) -> None:
        self.pool.close()

    def row_bytes(self) -> int:
        return postgres_row_bytes(self.site.postgres_url)

    def settings(self) -> dict[str, str]:
        return postgres_settings(self.site.postgres_url) | {"durability": "sync"}
