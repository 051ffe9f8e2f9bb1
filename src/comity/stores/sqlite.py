"""The embedded store: one SQLite file, for one machine.

Writes go through one connection and the flusher: inline on the event loop while the disk is quick, in a thread where it
is not. Reads have a connection of their own and run inline; large ones in a thread. The command line may open the same
file beside a node: SQLite's lock serialises writers, `PRAGMA data_version` tells of each other's commits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import apsw

from comity.core.clock import Clock, SystemClock
from comity.core.codec import Digest
from comity.core.entropy import Entropy, SystemEntropy
from comity.core.errors import JournalError, StoreError
from comity.core.ids import Id
from comity.journal.entry import Entry, Logged
from comity.journal.ports import NodeRow, TaskFilter
from comity.journal.segment import Segment
from comity.journal.task import TaskRow
from comity.journal.unit import Answer, Message, StateRow, Unit
from comity.stores import sqlite_file, sqlite_queue, sqlite_reads
from comity.stores.decode import squeeze, unsqueeze
from comity.stores.flusher import Flusher, FlushStatistics, commit_units, weigh
from comity.stores.judge import judge
from comity.stores.news import News
from comity.stores.sqlite_errors import sqlite_errors
from comity.stores.sqlite_rows import SqliteRows, put_segment
from comity.stores.units import check_unit, concerns_others

INLINE_COMMIT_S_MAX = 0.000_5
"""Commits run on the event loop while their moving average is below this."""
BUSY_INLINE_MS = 20
BUSY_MS = 10_000
POLL_S = 0.05
BULK_ROWS = 2_000
"""A read of more rows runs in a thread."""
CHECKPOINT_PAGES = 2_000
CHECKPOINT_ALL_PAGES = 20_000

T = TypeVar("T")
Job = Callable[[apsw.Connection, int], Any]
"""Something else to do inside a batch's transaction, at the store's time."""
Probe = Callable[[str], None]
"""Called `before_commit` and `after_commit` of each batch; may raise. A seam for fault injection and tracing."""


def _ignore(moment: str) -> None:
    """Do nothing."""


class SqliteStore:
    """A `Store` in a SQLite file."""

    def __init__(
        self,
        url: str,
        *,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
        probe: Probe = _ignore,
    ) -> None:
        """Name the file by `url`; `clock` is the source of the store's clock."""
        self.url = url
        self.path = sqlite_file.path_of(url)
        self._clock = clock or SystemClock()
        self._entropy = entropy or SystemEntropy()
        self._probe = probe
        self._time = sqlite_file.StoreClock(self._clock)
        self._news = News()
        self._commit_s = 0.0
        self._has_news = False
        self._poller: asyncio.Task[None] | None = None
        self._checkpoint: asyncio.Future[None] | None = None
        self._wal_pages = 0

    async def open(self) -> None:
        """Open the file; make and migrate it where it is new."""
        opened: list[apsw.Connection] = []
        try:
            with sqlite_errors(self.path):
                sqlite_file.make_file(self.path)
                opened.append(sqlite_file.connect(self.path))
                sqlite_file.migrate(opened[0], self._clock, self._entropy, empty_only=True)
                opened.extend(sqlite_file.connect(self.path) for _ in range(2))
                self._time.load(opened[1])
        except BaseException:
            for db in opened:
                db.close()
            raise
        self._write_db, self._read_db, self._bulk_db = opened
        self._write_db.set_wal_hook(self._count_pages)
        self._writer = ThreadPoolExecutor(1, "comity-sqlite-writer")
        self._reader = ThreadPoolExecutor(1, "comity-sqlite-reader")
        self._flusher: Flusher[Unit | Job] = Flusher(self._write, self._write_now, self._on_flushed)

    async def close(self) -> None:
        """Commit what is queued, then close the file."""
        await self._flusher.close()
        if self._poller is not None:
            self._poller.cancel()
            self._poller = None
        if self._checkpoint is not None:
            await self._checkpoint
        self._news.clear()
        self._writer.shutdown()
        self._reader.shutdown()
        with sqlite_errors(self.path):
            for db in (self._bulk_db, self._read_db, self._write_db):
                db.close()

    # ---- writes --------------------------------------------------------------------------------------------

    async def commit(self, units: Sequence[Unit]) -> Sequence[Answer]:
        """Write each unit or nothing of it, durably."""
        return await commit_units(self._submit, units)

    def _submit(self, unit: Unit) -> asyncio.Future[Any]:
        check_unit(unit)
        return self._flusher.submit(unit, *weigh(unit))

    async def _run(self, job: Callable[[apsw.Connection, int], T], size: int = 0) -> T:
        answer: T = await self._flusher.submit(job, 1, size)
        return answer

    def _write_now(self, works: list[Unit | Job]) -> Sequence[Any] | None:
        if self._commit_s > INLINE_COMMIT_S_MAX:
            return None
        try:
            return self._write_batch(works, BUSY_INLINE_MS)
        except StoreError as error:
            if error.code == "store_locked":
                return None
            raise

    async def _write(self, works: list[Unit | Job]) -> Sequence[Any]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writer, self._write_batch, works, BUSY_MS)

    def _write_batch(self, works: list[Unit | Job], busy_ms: int) -> list[Any]:
        db = self._write_db
        with sqlite_errors(self.path):
            db.set_busy_timeout(busy_ms)
            before = db.total_changes()
            db.execute("BEGIN IMMEDIATE")
            try:
                now_us = self._time.now_us()
                rows = SqliteRows(db, now_us)
                answers = [judge(work, rows) if isinstance(work, Unit) else work(db, now_us) for work in works]
                self._probe("before_commit")
                started_s = self._clock.monotonic_s()
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            if db.total_changes() != before:
                self._commit_s += 0.1 * (self._clock.monotonic_s() - started_s - self._commit_s)
                self._has_news = self._has_news or any(
                    isinstance(work, Unit) and concerns_others(work) for work in works
                )
        self._probe("after_commit")
        return answers

    def _on_flushed(self) -> None:
        self._news.tell(concerns_others=self._has_news)
        self._has_news = False
        if self._wal_pages > CHECKPOINT_PAGES and self._checkpoint is None:
            all_of_it = self._wal_pages > CHECKPOINT_ALL_PAGES
            loop = asyncio.get_running_loop()
            self._checkpoint = loop.run_in_executor(self._reader, self._move_log, all_of_it)
            self._checkpoint.add_done_callback(self._after_checkpoint)

    def _count_pages(self, db: apsw.Connection, name: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def _move_log(self, all_of_it: bool) -> None:  # noqa: FBT001 - an executor passes arguments by position
        with sqlite_errors(self.path):
            sqlite_file.checkpoint(self._bulk_db, all_of_it=all_of_it)

    def _after_checkpoint(self, done: asyncio.Future[None]) -> None:
        self._checkpoint = None
        self._wal_pages = 0
        if not done.cancelled():
            done.exception()  # a disk that fails is told by the next commit, to somebody who waits for it

    async def put_segments(self, tenant: str, segments: Sequence[Segment]) -> None:
        """Write large segments; they are compressed in a thread."""
        loop = asyncio.get_running_loop()
        squeezed = await loop.run_in_executor(
            self._reader, lambda: [(segment.sha256, squeeze(segment.data)) for segment in segments]
        )

        def put(db: apsw.Connection, now_us: int) -> None:
            for sha256, data in squeezed:
                put_segment(db, tenant, sha256, data, now_us)

        await self._run(put, sum(len(data) for _, (_, data) in squeezed))

    async def register(self, node: Id, lease_id: Id, lease_s: float, host: str, pid: int, address: str = "") -> NodeRow:
        """Enter a node."""

        def enter(db: apsw.Connection, _: int) -> NodeRow:
            now_us = self._time.save(db)
            until_us = now_us + round(lease_s * 1_000_000)
            row = NodeRow(node, lease_id, until_us, host, pid, address, 0, now_us, alive=True)
            return sqlite_queue.register(db, now_us, row)

        return await self._run(enter)

    async def renew(self, node: Id, lease_id: Id, lease_s: float) -> NodeRow | None:
        """Extend the lease."""

        def extend(db: apsw.Connection, _: int) -> NodeRow | None:
            now_us = self._time.save(db)
            return sqlite_queue.renew(db, now_us, node, lease_id, now_us + round(lease_s * 1_000_000))

        return await self._run(extend)

    async def acknowledge_stop(self, node: Id, lease_id: Id, generation: int) -> None:
        """Write that the node obeys every stop up to `generation`."""
        await self._run(lambda db, _: sqlite_queue.acknowledge_stop(db, node, lease_id, generation))

    async def declare_dead(self, node: Id | None = None) -> list[Id]:
        """Declare nodes dead, and queue their tasks."""

        def declare(db: apsw.Connection, _: int) -> list[Id]:
            self._time.load(db)
            return sqlite_queue.declare_dead(db, self._time.now_us(), node)

        return await self._run(declare)

    async def take(self, node: Id, lease_id: Id, queues: Sequence[str], limit: int) -> list[TaskRow]:
        """Take up to `limit` tasks that are due; shares its commit with whatever else is queued."""
        return await self._run(lambda db, now_us: sqlite_queue.take(db, now_us, node, lease_id, queues, limit))

    async def sequence(self, node: Id, lease_id: Id, limit: int = 10_000) -> int:
        """Give committed entries their leaf in the log's tree."""
        return await self._run(lambda db, now_us: sqlite_queue.sequence(db, now_us, node, lease_id, limit))

    # ---- reads ---------------------------------------------------------------------------------------------

    def _read(self, read: Callable[[apsw.Connection], T]) -> T:
        with sqlite_errors(self.path):
            return read(self._read_db)

    async def _read_bulk(self, read: Callable[[apsw.Connection], T]) -> T:
        def run() -> T:
            with sqlite_errors(self.path):
                return read(self._bulk_db)

        return await asyncio.get_running_loop().run_in_executor(self._reader, run)

    async def segments(self, tenant: str, hashes: Sequence[Digest]) -> list[bytes]:
        """Return contents in the order of `hashes`."""
        found: list[bytes] = []
        for sha256 in hashes:
            row = self._read(lambda db, sha256=sha256: sqlite_reads.segment(db, tenant, sha256))  # type: ignore[misc]
            if row is None:
                raise JournalError(
                    "missing_segment", f"segment `{sha256.hex()}` of tenant `{tenant}` is not in the store"
                )
            found.append(unsqueeze(*row))
        return found

    async def load(self, task: Id, from_seq: int = 1, limit: int | None = None) -> list[Entry]:
        """Return a task's entries from `from_seq` on."""
        row = await self.task(task)
        if row is None:
            return []
        if min(row.last_seq - from_seq, row.last_seq if limit is None else limit) > BULK_ROWS:
            return await self._read_bulk(lambda db: sqlite_reads.load(db, task, from_seq, limit))
        return self._read(lambda db: sqlite_reads.load(db, task, from_seq, limit))

    async def log(self, position: int, limit: int) -> list[Logged]:
        """Return entries of all tasks after `position`; one writer at a time leaves no gaps."""
        if limit > BULK_ROWS:
            return await self._read_bulk(lambda db: sqlite_reads.log(db, position, limit))
        return self._read(lambda db: sqlite_reads.log(db, position, limit))

    async def position(self) -> int:
        """Return up to which position `log` shows entries."""
        return self._read(sqlite_reads.position)

    async def leaves(self, start: int = 0, limit: int = 100_000) -> list[Digest]:
        """Return leaf hashes from index `start` on."""
        return await self._read_bulk(lambda db: sqlite_reads.leaves(db, start, limit))

    async def task(self, task: Id) -> TaskRow | None:
        """Return a task's row."""
        return self._read(lambda db: sqlite_reads.task(db, task))

    async def tasks(self, which: TaskFilter) -> list[TaskRow]:
        """List tasks."""
        return self._read(lambda db: sqlite_reads.tasks(db, which))

    async def inbox(self, task: Id) -> list[Message]:
        """Return the messages that no entry has consumed, oldest first."""
        return self._read(lambda db: sqlite_reads.inbox(db, task))

    async def mail(self, node: Id) -> list[Id]:
        """Return the tasks that `node` holds and that have messages."""
        return self._read(lambda db: sqlite_reads.mail(db, node))

    async def state(self, namespace: str, key: str) -> StateRow | None:
        """Return a state row."""
        return self._read(lambda db: SqliteRows(db, 0).state(namespace, key))

    async def states(self, namespace: str, prefix: str = "") -> list[StateRow]:
        """Return the state rows of a namespace whose keys begin with `prefix`, by key."""
        return self._read(lambda db: sqlite_reads.states(db, namespace, prefix))

    async def nodes(self) -> list[NodeRow]:
        """Return all nodes, by id."""
        return self._read(lambda db: sqlite_queue.nodes(db, self._time.now_us()))

    async def next_due_us(self) -> int | None:
        """Return when the next task becomes due."""
        return self._read(lambda db: sqlite_queue.next_due_us(db, self._time.now_us()))

    async def now_us(self) -> int:
        """Return the store's clock."""
        return self._time.now_us()

    async def settings(self) -> dict[str, str]:
        """Return what decides about durability, as the connection that writes reports it."""
        names = ("journal_mode", "synchronous", "page_size", "fullfsync")
        with sqlite_errors(self.path):
            return {name: str(self._write_db.pragma(name)) for name in names}

    async def lineage(self) -> str:
        """Return the id that the file got when it was made or restored."""
        return self._read(lambda db: sqlite_file.meta(db, "lineage"))

    def statistics(self) -> FlushStatistics:
        """Return what the flusher did so far."""
        return self._flusher.statistics()

    # ---- news ----------------------------------------------------------------------------------------------

    def watch(self, on_news: Callable[[], None], *, every: bool = False) -> Callable[[], None]:
        """Call `on_news` after commits of this process at once, of others within `POLL_S`."""
        if self._poller is None:
            self._poller = asyncio.get_running_loop().create_task(self._poll())
        return self._news.watch(on_news, every=every)

    async def _poll(self) -> None:
        seen = self._read(sqlite_reads.data_version)
        while True:
            await self._clock.sleep(POLL_S)
            version = self._read(sqlite_reads.data_version)
            if version != seen:
                seen = version
                self._news.tell()
