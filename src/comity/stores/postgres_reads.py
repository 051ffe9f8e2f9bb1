"""What a PostgreSQL store reads, as functions of a connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from comity.core.codec import Digest
from comity.core.ids import Id
from comity.journal.entry import Entry, Logged
from comity.journal.ports import TaskFilter
from comity.journal.task import TaskRow
from comity.journal.unit import Message
from comity.stores.decode import TASK_COLUMNS, entry_of, message_of, task_row, unsqueeze
from comity.stores.postgres_link import Connection

_ENTRY = "e.seq, e.branch, e.kind, e.phase, e.at_us, e.body"
Row = tuple[Any, ...]


async def select(connection: Connection, sql: str, *params: Any) -> list[Row]:
    """Return the rows of a query."""
    cursor = await connection.execute(sql.encode(), params, binary=True)
    return await cursor.fetchall()


class Log:
    """Up to which position of the log nothing can appear any more.

    Positions are given before transactions commit, so a higher one may be seen before a lower one. A flusher has its
    transaction id before it gets positions. So: read the highest position given, then take a transaction id; once every
    older transaction has ended, all positions up to that one are seen or will never be. What has a leaf is settled too.
    """

    def __init__(self) -> None:
        """Know nothing."""
        self._settled = -1
        self._waiting: tuple[int, int] | None = None

    @property
    def is_new(self) -> bool:
        """Tell whether nothing was found settled yet, so that a moment's patience pays."""
        return self._settled < 0

    async def settled(self, connection: Connection) -> int:
        """Return the highest position that is known to be settled."""
        async with connection.pipeline():
            given = await connection.execute(
                "SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM entries_position_seq"
            )
            own = await connection.execute("SELECT pg_current_xact_id()::text::bigint")
            oldest = await connection.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
            position, own_id, oldest_id = [(await cursor.fetchall())[0][0] for cursor in (given, own, oldest)]
        if self._waiting is not None and oldest_id >= self._waiting[1]:
            self._settled = max(self._settled, self._waiting[0])
            self._waiting = None
        if oldest_id == own_id:
            self._settled = max(self._settled, position)
            self._waiting = None
        elif self._waiting is None:
            self._waiting = (position, own_id)
        if self._settled >= 0:
            return self._settled
        rows = await select(
            connection, "SELECT coalesce(max(position), 0) FROM leaves WHERE idx = (SELECT max(idx) FROM leaves)"
        )
        return int(rows[0][0])


async def task(connection: Connection, id: Id) -> TaskRow | None:
    """Return a task's row."""
    rows = await select(connection, f"SELECT {TASK_COLUMNS} FROM tasks t WHERE t.id = %s", id)
    return task_row(rows[0]) if rows else None


async def tasks(connection: Connection, which: TaskFilter) -> list[TaskRow]:
    """List tasks, newest first."""
    wheres = ["true"]
    params: list[Any] = []
    if which.before:
        wheres.append("t.n < (SELECT n FROM tasks WHERE id = %s)")
        params.append(which.before)
    if which.states:
        wheres.append("t.state = ANY(%s)")
        params.append([state.value for state in which.states])
    for name in ("agent", "session", "tenant", "parent", "node"):
        value = getattr(which, name)
        if value:
            wheres.append(f"t.{name} = %s AND t.{name} <> ''")
            params.append(value)
    sql = f"SELECT {TASK_COLUMNS} FROM tasks t WHERE {' AND '.join(wheres)} ORDER BY t.n DESC LIMIT %s"
    return [task_row(row) for row in await select(connection, sql, *params, which.limit)]


async def load(connection: Connection, id: Id, from_seq: int, limit: int | None) -> list[Entry]:
    """Return a task's entries from `from_seq` on."""
    sql = (
        f"SELECT {_ENTRY} FROM entries e"
        " WHERE e.task = (SELECT n FROM tasks WHERE id = %s) AND e.seq >= %s ORDER BY e.seq LIMIT %s::bigint"
    )
    return [entry_of(row) for row in await select(connection, sql, id, from_seq, limit)]


async def log(connection: Connection, position: int, settled: int, limit: int) -> list[Logged]:
    """Return entries of all tasks after `position`, up to `settled`."""
    sql = (
        f"SELECT e.position, t.id, {_ENTRY} FROM entries e JOIN tasks t ON t.n = e.task"
        " WHERE e.position > %s AND e.position <= %s ORDER BY e.position LIMIT %s"
    )
    return [
        Logged(row[0], row[1], entry_of(row[2:])) for row in await select(connection, sql, position, settled, limit)
    ]


async def inbox(connection: Connection, id: Id) -> list[Message]:
    """Return the messages that no entry has consumed."""
    sql = (
        "SELECT i.sender, i.kind, i.name, i.value, i.wakes, i.at_us, i.id FROM inbox i"
        " WHERE i.task = (SELECT n FROM tasks WHERE id = %s) AND NOT i.consumed ORDER BY i.id"
    )
    return [message_of(id, row) for row in await select(connection, sql, id)]


async def mail(connection: Connection, node: Id) -> list[Id]:
    """Return the tasks that `node` holds and that have messages, in order of creation."""
    sql = (
        "SELECT t.id FROM tasks t WHERE t.node = %s AND t.lease_id <> ''"
        " AND EXISTS (SELECT 1 FROM inbox i WHERE i.task = t.n AND NOT i.consumed) ORDER BY t.n"
    )
    return [row[0] for row in await select(connection, sql, node)]


async def segments(connection: Connection, tenant: str, hashes: Sequence[Digest]) -> dict[Digest, bytes]:
    """Return contents by hash, of those that are there."""
    sql = "SELECT sha256, codec, data FROM segments WHERE tenant = %s AND sha256 = ANY(%s)"
    rows = await select(connection, sql, tenant, list(hashes))
    return {sha256: unsqueeze(codec, data) for sha256, codec, data in rows}
