"""What a SQLite store reads, as functions of a connection."""

from __future__ import annotations

from typing import Any

import apsw

from comity.core.codec import Digest
from comity.core.ids import Id
from comity.journal.entry import Entry, Logged
from comity.journal.ports import TaskFilter
from comity.journal.task import TaskRow
from comity.journal.unit import Message, StateRow
from comity.stores.decode import TASK_COLUMNS, entry_of, message_of, task_row

_ENTRY = "e.seq, e.branch, e.kind, e.phase, e.at_us, e.body"


def task(db: apsw.Connection, id: Id) -> TaskRow | None:
    """Return a task's row."""
    row = db.execute(f"SELECT {TASK_COLUMNS} FROM tasks t WHERE t.id = ?", (id,)).fetchone()
    return task_row(row) if row else None


def tasks(db: apsw.Connection, which: TaskFilter) -> list[TaskRow]:
    """List tasks, newest first."""
    wheres = ["1"]
    bindings: list[Any] = []
    if which.before:
        wheres.append("t.n < (SELECT n FROM tasks WHERE id = ?)")
        bindings.append(which.before)
    if which.states:
        wheres.append(f"t.state IN ({', '.join('?' * len(which.states))})")
        bindings.extend(state.value for state in which.states)
    for name in ("agent", "session", "tenant", "parent", "node"):
        value = getattr(which, name)
        if value:
            empty = "x''" if isinstance(value, bytes) else "''"
            wheres.append(f"t.{name} = ? AND t.{name} <> {empty}")
            bindings.append(value)
    sql = f"SELECT {TASK_COLUMNS} FROM tasks t WHERE {' AND '.join(wheres)} ORDER BY t.n DESC LIMIT ?"
    return [task_row(row) for row in db.execute(sql, (*bindings, which.limit))]


def load(db: apsw.Connection, id: Id, from_seq: int, limit: int | None) -> list[Entry]:
    """Return a task's entries from `from_seq` on."""
    sql = (
        f"SELECT {_ENTRY} FROM entries e"
        " WHERE e.task = (SELECT n FROM tasks WHERE id = ?) AND e.seq >= ? ORDER BY e.seq LIMIT ?"
    )
    return [entry_of(row) for row in db.execute(sql, (id, from_seq, -1 if limit is None else limit))]


def log(db: apsw.Connection, position: int, limit: int) -> list[Logged]:
    """Return entries of all tasks after `position`."""
    sql = (
        f"SELECT e.position, t.id, {_ENTRY} FROM entries e JOIN tasks t ON t.n = e.task"
        " WHERE e.position > ? ORDER BY e.position LIMIT ?"
    )
    return [Logged(row[0], row[1], entry_of(row[2:])) for row in db.execute(sql, (position, limit))]


def position(db: apsw.Connection) -> int:
    """Return the position of the newest entry."""
    row = db.execute("SELECT coalesce(max(position), 0) FROM entries").fetchone()
    assert row is not None, "an aggregate has a row"
    return int(row[0])


def leaves(db: apsw.Connection, start: int, limit: int) -> list[Digest]:
    """Return leaf hashes from index `start` on."""
    return [row[0] for row in db.execute("SELECT hash FROM leaves WHERE idx >= ? ORDER BY idx LIMIT ?", (start, limit))]


def inbox(db: apsw.Connection, id: Id) -> list[Message]:
    """Return the messages that no entry has consumed."""
    sql = (
        "SELECT i.sender, i.kind, i.name, i.value, i.wakes, i.at_us, i.id FROM inbox i"
        " WHERE i.task = (SELECT n FROM tasks WHERE id = ?) AND i.consumed = 0 ORDER BY i.id"
    )
    return [message_of(id, row) for row in db.execute(sql, (id,))]


def mail(db: apsw.Connection, node: Id) -> list[Id]:
    """Return the tasks that `node` holds and that have messages, in order of creation."""
    sql = (
        "SELECT t.id FROM tasks t WHERE t.node = ? AND t.lease_id <> x''"
        " AND EXISTS (SELECT 1 FROM inbox i WHERE i.task = t.n AND i.consumed = 0) ORDER BY t.n"
    )
    return [row[0] for row in db.execute(sql, (node,))]


def states(db: apsw.Connection, namespace: str, prefix: str) -> list[StateRow]:
    """Return the state rows of a namespace whose keys begin with `prefix`."""
    sql = (
        "SELECT key, version, value FROM state WHERE namespace = :namespace AND key >= :prefix"
        " AND substr(key, 1, length(:prefix)) = :prefix ORDER BY key"
    )
    return [StateRow(namespace, *row) for row in db.execute(sql, {"namespace": namespace, "prefix": prefix})]


def segment(db: apsw.Connection, tenant: str, sha256: Digest) -> tuple[int, bytes] | None:
    """Return codec and bytes of a segment."""
    sql = "SELECT codec, data FROM segments WHERE tenant = ? AND sha256 = ?"
    row = db.execute(sql, (tenant, sha256)).fetchone()
    return (row[0], row[1]) if row else None


def data_version(db: apsw.Connection) -> int:
    """Return a number that changes when another connection has committed."""
    row = db.execute("PRAGMA data_version").fetchone()
    assert row is not None, "the pragma answers"
    return int(row[0])
