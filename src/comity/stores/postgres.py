"""The store of many nodes: PostgreSQL.

One connection flushes, one reads, one takes tasks, one renews the lease: none waits behind another. A COMMIT whose
answer was lost is read back from the flusher's own row before anybody is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import psycopg

from comity.core.clock import Clock, SystemClock
from comity.core.codec import Digest
from comity.core.entropy import Entropy, SystemEntropy
from comity.core.errors import CommitUnknown, JournalError, StoreError
from comity.core.ids import Id
from comity.journal.entry import Entry, Logged
from comity.journal.ports import NodeRow, TaskFilter
from comity.journal.segment import Segment
from comity.journal.task import TaskRow
from comity.journal.unit import Answer, Message, Receipt, StateRow, Unit
from comity.stores import postgres_queue, postgres_reads, postgres_schema
from comity.stores.decode import squeeze
from comity.stores.flusher import LEFT, Flusher, FlushStatistics, commit_units, weigh
from comity.stores.judge import judge
from comity.stores.news import News
from comity.stores.postgres_append import APPEND, append_params, plain_units, task_of
from comity.stores.postgres_link import RETRIED, Connection, Link, is_lost, mapped, value_errors
from comity.stores.postgres_news import PostgresNews
from comity.stores.postgres_rows import PostgresRows, write_segments
from comity.stores.postgres_wire import Wire
from comity.stores.units import check_unit, concerns_others

TRIES = 6
"""How often a batch is judged again because another node was quicker, or the connection was lost before COMMIT."""
SETTLE_TRIES = 20
"""How often the first look at the log waits for older transactions, of whatever database of the server."""
RECONNECT_S_MIN = 0.05
RECONNECT_S_MAX = 1.0

_COUNT_BATCH = "UPDATE flushers SET batch = %s, missing = NULL, at_us = %s WHERE id = %s"
T = TypeVar("T")
Probe = Callable[[str], Awaitable[None]]
"""Awaited `before_commit` and `after_commit` of each batch; may raise. A seam for fault injection and tracing."""


async def _ignore(moment: str) -> None:
    """Do nothing."""


class PostgresStore:
    """A `Store` in a PostgreSQL database. It takes five connections of the server."""

    def __init__(
        self,
        url: str,
        *,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
        probe: Probe = _ignore,
    ) -> None:
        """Name the database by `url`; `clock`, where given, takes the place of the server's."""
        self.url = url
        self._clock = clock
        self._entropy = entropy or SystemEntropy()
        self._probe = probe
        self._pace = SystemClock()
        self._me = self._entropy.take(16)
        self._batch = 0
        self._flush_pid = 0
        self._is_closing = False
        self._has_news = False
        self._flush_link = Link(url, "flush")
        self._read_link = Link(url, "read")
        self._take_link = Link(url, "take")
        self._lease_link = Link(url, "lease")
        self._log = postgres_reads.Log()
        self._news = News()
        self._posted = PostgresNews(self._news, url, self._me.hex(), self._pace, self._entropy)

    async def open(self) -> None:
        """Connect; migrate an empty database."""

        async def prepare(connection: Connection) -> None:
            await postgres_schema.migrate(connection, self._entropy, empty_only=True)

        self._is_closing = False
        try:
            await self._read_link.run(prepare)
        except BaseException:
            await self._read_link.drop()
            raise
        self._flusher: Flusher[Unit] = Flusher(self._write, on_flushed=self._on_flushed)

    def _on_flushed(self) -> None:
        if self._has_news:
            self._has_news = False
            self._posted.committed()
        else:
            self._news.tell(concerns_others=False)

    async def close(self) -> None:
        """Commit what is queued, then disconnect."""
        self._is_closing = True
        await self._flusher.close()
        await self._posted.close()
        if self._flush_pid:
            await self._forget_flusher()
        for link in (self._flush_link, self._read_link, self._take_link, self._lease_link):
            await link.drop()

    async def _forget_flusher(self) -> None:
        try:
            await self._read_link.rows("DELETE FROM flushers WHERE id = %s", self._me)
        except StoreError:
            return  # a row of a store that is gone harms nobody; `prune` collects it
        finally:
            self._flush_pid = 0

    def _now(self) -> int | None:
        return None if self._clock is None else self._clock.wall_us()

    # ---- writes --------------------------------------------------------------------------------------------

    async def commit(self, units: Sequence[Unit]) -> Sequence[Answer]:
        """Write each unit or nothing of it, durably."""
        return await commit_units(self._submit, units)

    def _submit(self, unit: Unit) -> asyncio.Future[Any]:
        check_unit(unit)
        return self._flusher.submit(unit, *weigh(unit))

    async def _write(self, units: list[Unit]) -> Sequence[Answer]:
        plain = plain_units(units)
        if plain:
            plain.sort(key=lambda place: task_of(units[place]))
            landed = await self._insist(self._try_append, [units[place] for place in plain])
            if any(landed):
                answers: list[Any] = [LEFT] * len(units)
                for place, has_landed in zip(plain, landed, strict=True):
                    if has_landed:
                        answers[place] = Receipt()
                return answers
        judged = await self._insist(self._try_write, units)
        self._has_news = self._has_news or any(concerns_others(unit) for unit in units)
        return judged

    async def _insist(
        self, write: Callable[[list[Unit]], Awaitable[Sequence[T] | None]], units: list[Unit]
    ) -> Sequence[T]:
        for tried in range(1, TRIES + 1):
            try:
                with value_errors():
                    answers = await write(units)
            except psycopg.Error as error:
                if tried == TRIES or not (is_lost(error) or error.sqlstate in RETRIED):
                    raise mapped(error) from error
                if is_lost(error) and tried > 1:
                    await self._pace.sleep(RECONNECT_S_MIN)
            else:
                if answers is not None:
                    return answers
        raise StoreError("store_unreachable", "the connection is lost again and again", hint="look at the server's log")

    async def _try_append(self, units: list[Unit]) -> Sequence[bool] | None:
        """Write plain units, and tell which landed; None where the answer was lost and nothing was written."""
        wire = await self._flush_wire()
        params = append_params(units, self._now(), self._me, self._batch + 1)
        await self._probe("before_commit")
        try:
            wire.check()
        except psycopg.Error:
            await self._flush_link.drop()
            raise
        try:
            ((missing,),) = await wire.rows(APPEND, *params)
        except BaseException as error:
            await self._flush_link.drop()
            if not (isinstance(error, psycopg.Error) and is_lost(error)):
                raise
            committed = await self._read_back()
            if committed is None:
                return None
            missing = committed
        landed = [True] * len(units)
        for number in missing or ():
            landed[number - 1] = False
        if any(landed):
            self._batch += 1
            await self._probe("after_commit")
        return landed

    async def _try_write(self, units: list[Unit]) -> Sequence[Answer] | None:
        """Write a batch once; None where its COMMIT was lost and did not happen."""
        wire = await self._flush_wire()
        rows = PostgresRows()
        answers: list[Answer] = []
        is_committing = False
        try:
            await rows.read(wire, units, self._now())
            answers = [judge(unit, rows) for unit in units]
            if not any(type(answer) is Receipt for answer in answers):
                await wire.rows("ROLLBACK")
                return answers
            writes = rows.writes()
            writes.append((_COUNT_BATCH, (self._batch + 1, rows.now_us, self._me)))
            writes.append(("COMMIT", ()))
            await self._probe("before_commit")
            is_committing = True
            await wire.batch(writes)
        except psycopg.Error as error:
            await self._flush_link.drop()
            if not (is_lost(error) and is_committing):
                raise
            if await self._read_back() is None:
                return None
        except BaseException:
            await self._flush_link.drop()
            raise
        self._batch += 1
        await self._probe("after_commit")
        return answers

    async def _flush_wire(self) -> Wire:
        wire = await self._flush_link.wire()
        if wire.backend_pid != self._flush_pid:
            await wire.rows(
                "INSERT INTO flushers (id, batch, at_us) VALUES (%s, %s, 0) ON CONFLICT (id) DO NOTHING",
                self._me,
                self._batch,
            )
            self._flush_pid = wire.backend_pid
        return wire

    async def _read_back(self) -> Sequence[int] | None:
        """Return what of the batch whose COMMIT was not answered is missing, None where it is not there at all.

        Nobody is answered before. The row is locked for it: where the old backend is still at its commit, this waits
        for its end.
        """
        wait_s = RECONNECT_S_MIN
        while not self._is_closing:
            try:
                connection = await self._flush_link.connection()
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE pid = %s AND application_name = 'comity flush' AND pid <> pg_backend_pid()",
                    (self._flush_pid,),
                )
                cursor = await connection.execute(
                    "SELECT batch, missing FROM flushers WHERE id = %s FOR UPDATE", (self._me,)
                )
                row = await cursor.fetchone()
            except psycopg.Error:
                await self._flush_link.drop()
                await self._pace.sleep(wait_s)
                wait_s = min(wait_s * 2, RECONNECT_S_MAX)
            else:
                return (row[1] or ()) if row is not None and row[0] > self._batch else None
        raise CommitUnknown(
            "commit_unknown",
            "the server was lost during a commit, and the store was closed before it came back",
            hint="load the task again to see what is there",
        )

    async def put_segments(self, tenant: str, segments: Sequence[Segment]) -> None:
        """Write large segments; they are compressed in a thread."""
        loop = asyncio.get_running_loop()
        rows = await loop.run_in_executor(
            None,
            lambda: [
                *{segment.sha256: (tenant, segment.sha256, *squeeze(segment.data)) for segment in segments}.values()
            ],
        )
        if rows:
            now_us = await self.now_us()
            await self._take_link.run(lambda connection: write_segments(connection, rows, now_us))

    async def register(self, node: Id, lease_id: Id, lease_s: float, host: str, pid: int, address: str = "") -> NodeRow:
        """Enter a node."""
        row = NodeRow(node, lease_id, 0, host, pid, address, 0, 0, alive=True)
        now_us, lease_us = self._now(), round(lease_s * 1_000_000)
        entered = await self._lease_link.run(
            lambda connection: postgres_queue.register(connection, now_us, row, lease_us)
        )
        self._posted.committed()
        return entered

    async def renew(self, node: Id, lease_id: Id, lease_s: float) -> NodeRow | None:
        """Extend the lease."""
        now_us, lease_us = self._now(), round(lease_s * 1_000_000)
        return await self._lease_link.run(
            lambda connection: postgres_queue.renew(connection, now_us, node, lease_id, lease_us)
        )

    async def acknowledge_stop(self, node: Id, lease_id: Id, generation: int) -> None:
        """Write that the node obeys every stop up to `generation`."""
        await self._lease_link.rows(
            "UPDATE nodes SET stop_generation = greatest(stop_generation, %s)"
            " WHERE id = %s AND lease_id = %s AND alive",
            generation,
            node,
            lease_id,
        )
        self._posted.committed()

    async def declare_dead(self, node: Id | None = None) -> list[Id]:
        """Declare nodes dead, and queue their tasks."""
        now_us = self._now()
        dead = await self._take_link.run(lambda connection: postgres_queue.declare_dead(connection, now_us, node))
        if dead:
            self._posted.committed()
        return dead

    async def take(self, node: Id, lease_id: Id, queues: Sequence[str], limit: int) -> list[TaskRow]:
        """Take up to `limit` tasks that are due.

        Where the answer was lost, nothing is tried again: what was taken is found as held by this node.
        """
        now_us = self._now()
        rows = await self._take_link.run(
            lambda connection: postgres_queue.take(connection, now_us, node, lease_id, queues, limit), again=False
        )
        if rows:
            self._posted.committed()
        return rows

    async def sequence(self, node: Id, lease_id: Id, limit: int = 10_000) -> int:
        """Give committed entries their leaf in the log's tree."""
        now_us = self._now()
        settled = await self._settled()
        return await self._take_link.run(
            lambda connection: postgres_queue.sequence(connection, now_us, node, lease_id, limit, settled)
        )

    # ---- reads ---------------------------------------------------------------------------------------------

    async def segments(self, tenant: str, hashes: Sequence[Digest]) -> list[bytes]:
        """Return contents in the order of `hashes`."""
        found = await self._read_link.run(lambda connection: postgres_reads.segments(connection, tenant, hashes))
        for sha256 in hashes:
            if sha256 not in found:
                raise JournalError(
                    "missing_segment", f"segment `{sha256.hex()}` of tenant `{tenant}` is not in the store"
                )
        return [found[sha256] for sha256 in hashes]

    async def load(self, task: Id, from_seq: int = 1, limit: int | None = None) -> list[Entry]:
        """Return a task's entries from `from_seq` on."""
        return await self._read_link.run(lambda connection: postgres_reads.load(connection, task, from_seq, limit))

    async def log(self, position: int, limit: int) -> list[Logged]:
        """Return entries of all tasks after `position`; nothing before what is shown can still appear."""
        settled = await self._settled()
        return await self._read_link.run(lambda connection: postgres_reads.log(connection, position, settled, limit))

    async def position(self) -> int:
        """Return up to which position `log` shows entries."""
        return await self._settled()

    async def _settled(self) -> int:
        settled = await self._read_link.run(self._log.settled)
        for _ in range(SETTLE_TRIES):
            if not self._log.is_new:
                break
            await self._pace.sleep(RECONNECT_S_MIN)
            settled = await self._read_link.run(self._log.settled)
        return settled

    async def leaves(self, start: int = 0, limit: int = 100_000) -> list[Digest]:
        """Return leaf hashes from index `start` on."""
        rows = await self._read_link.rows("SELECT hash FROM leaves WHERE idx >= %s ORDER BY idx LIMIT %s", start, limit)
        return [row[0] for row in rows]

    async def task(self, task: Id) -> TaskRow | None:
        """Return a task's row."""
        return await self._read_link.run(lambda connection: postgres_reads.task(connection, task))

    async def tasks(self, which: TaskFilter) -> list[TaskRow]:
        """List tasks."""
        return await self._read_link.run(lambda connection: postgres_reads.tasks(connection, which))

    async def inbox(self, task: Id) -> list[Message]:
        """Return the messages that no entry has consumed, oldest first."""
        return await self._read_link.run(lambda connection: postgres_reads.inbox(connection, task))

    async def mail(self, node: Id) -> list[Id]:
        """Return the tasks that `node` holds and that have messages."""
        return await self._read_link.run(lambda connection: postgres_reads.mail(connection, node))

    async def state(self, namespace: str, key: str) -> StateRow | None:
        """Return a state row."""
        rows = await self._read_link.rows(
            "SELECT version, value FROM state WHERE namespace = %s AND key = %s", namespace, key
        )
        return StateRow(namespace, key, *rows[0]) if rows else None

    async def states(self, namespace: str, prefix: str = "") -> list[StateRow]:
        """Return the state rows of a namespace whose keys begin with `prefix`, by key."""
        rows = await self._read_link.rows(
            "SELECT key, version, value FROM state"
            " WHERE namespace = %s AND key >= %s AND starts_with(key, %s) ORDER BY key",
            namespace,
            prefix,
            prefix,
        )
        return [StateRow(namespace, *row) for row in rows]

    async def nodes(self) -> list[NodeRow]:
        """Return all nodes, by id."""
        return await self._read_link.run(lambda connection: postgres_queue.nodes(connection, self._now()))

    async def next_due_us(self) -> int | None:
        """Return when the next task becomes due."""
        return await self._take_link.run(lambda connection: postgres_queue.next_due_us(connection, self._now()))

    async def now_us(self) -> int:
        """Return the store's clock."""
        rows = await self._read_link.rows("SELECT comity_now(%s::bigint)", self._now())
        return int(rows[0][0])

    async def lineage(self) -> str:
        """Return what changes when the database is restored or failed over."""
        return await self._read_link.run(postgres_schema.lineage)

    def statistics(self) -> FlushStatistics:
        """Return what the flusher did so far."""
        return self._flusher.statistics()

    def watch(self, on_news: Callable[[], None], *, every: bool = False) -> Callable[[], None]:
        """Call `on_news` after commits of this process at once, of others by LISTEN, and every second or so."""
        self._posted.listen()
        return self._news.watch(on_news, every=every)
