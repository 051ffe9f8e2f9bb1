"""Nodes, their leases and what they take, in SQLite. Each function runs inside a transaction of the flusher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw
from msgspec.structs import replace

from comity.core.codec import Digest
from comity.core.ids import Id
from comity.core.limits import AFFINITY_GRACE_S
from comity.journal.entry import leaf
from comity.journal.ports import NodeRow
from comity.journal.task import State, TaskRow
from comity.stores.choose import choose
from comity.stores.decode import TASK_COLUMNS, entry_of, task_row
from comity.stores.units import NODE_LOST

GRACE_US = round(AFFINITY_GRACE_S * 1_000_000)

_CANDIDATES = f"""
    SELECT {TASK_COLUMNS} FROM tasks t
    WHERE t.due_us = 0
      AND (t.session = '' OR NOT EXISTS (
            SELECT 1 FROM tasks o
            WHERE o.tenant = t.tenant AND o.session = t.session AND o.begun = 1 AND o.session <> '' AND o.n <> t.n))
      AND (t.node = x'' OR t.node = :node OR max(t.not_before_us, t.updated_us) + {GRACE_US} <= :now OR NOT EXISTS (
            SELECT 1 FROM nodes d WHERE d.id = t.node AND d.alive = 1 AND d.lease_until_us > :now))
      {{queues}}
    ORDER BY t.priority DESC, t.n
"""
_NODE_COLUMNS = "id, lease_id, lease_until_us, host, pid, address, stop_generation"


def holds_lease(db: apsw.Connection, node: Id, lease_id: Id, now_us: int) -> bool:
    """Tell whether the node's lease is in force."""
    row = db.execute(
        "SELECT 1 FROM nodes WHERE id = ? AND lease_id = ? AND alive = 1 AND lease_until_us > ?",
        (node, lease_id, now_us),
    ).fetchone()
    return row is not None


def take(db: apsw.Connection, now_us: int, node: Id, lease_id: Id, queues: Sequence[str], limit: int) -> list[TaskRow]:
    """Take tasks that are due."""
    if not holds_lease(db, node, lease_id, now_us):
        return []
    if db.execute("SELECT 1 FROM tasks WHERE due_us > 0 AND due_us <= ?", (now_us,)).fetchone():
        db.execute("UPDATE tasks SET due_us = 0 WHERE due_us > 0 AND due_us <= ?", (now_us,))
    bindings: dict[str, Any] = {"node": node, "now": now_us}
    names = [f"q{number}" for number in range(len(queues))]
    bindings.update(zip(names, queues, strict=True))
    chosen_queues = f"AND t.queue IN ({', '.join(f':{name}' for name in names)})" if queues else ""
    cursor = db.execute(_CANDIDATES.format(queues=chosen_queues), bindings)
    chosen = choose(map(task_row, cursor), limit, lambda tenant, key: _held(db, tenant, key))
    cursor.close()
    taken: list[TaskRow] = []
    for row in chosen:
        state = State.CANCELLING if row.state is State.CANCELLING else State.RUNNING
        taken.append(
            replace(
                row,
                state=state,
                reason="",
                not_before_us=0,
                node=node,
                lease_id=lease_id,
                epoch=row.epoch + 1,
                updated_us=now_us,
            )
        )
        db.execute(
            "UPDATE tasks SET state = ?, reason = '', not_before_us = 0, due_us = NULL, begun = 1, node = ?,"
            " lease_id = ?, epoch = epoch + 1, updated_us = ? WHERE id = ?",
            (state.value, node, lease_id, now_us, row.id),
        )
    return taken


def _held(db: apsw.Connection, tenant: str, key: str) -> int:
    row = db.execute(
        "SELECT count(*) FROM tasks"
        " WHERE tenant = ? AND concurrency_key = ? AND concurrency_key <> '' AND lease_id <> x''",
        (tenant, key),
    ).fetchone()
    assert row is not None, "a count has a row"
    return int(row[0])


def next_due_us(db: apsw.Connection, now_us: int) -> int | None:
    """Return when the next timer, or the next grace time of affinity, ends."""
    rows = db.execute(
        "SELECT min(due_us) FROM tasks WHERE due_us > max(0, :now)"
        " UNION ALL SELECT min(max(not_before_us, updated_us)) + :grace FROM tasks INDEXED BY tasks_affine"
        " WHERE due_us = 0 AND node <> x'' AND max(not_before_us, updated_us) + :grace > :now"
        " UNION ALL SELECT min(max(not_before_us, updated_us)) + :grace FROM tasks"
        " WHERE due_us > 0 AND due_us <= :now AND node <> x'' AND max(not_before_us, updated_us) + :grace > :now",
        {"now": now_us, "grace": GRACE_US},
    )
    return min((moment for (moment,) in rows if moment is not None), default=None)


def register(db: apsw.Connection, now_us: int, row: NodeRow) -> NodeRow:
    """Enter a node; tasks of an earlier row of the same id are queued again."""
    _requeue(db, now_us, row.id)
    db.execute(
        f"INSERT OR REPLACE INTO nodes ({_NODE_COLUMNS}, alive) VALUES (?, ?, ?, ?, ?, ?, ?, 1)",
        (row.id, row.lease_id, row.lease_until_us, row.host, row.pid, row.address, row.stop_generation),
    )
    return row


def renew(db: apsw.Connection, now_us: int, node: Id, lease_id: Id, until_us: int) -> NodeRow | None:
    """Extend a lease."""
    db.execute(
        "UPDATE nodes SET lease_until_us = ? WHERE id = ? AND lease_id = ? AND alive = 1", (until_us, node, lease_id)
    )
    if db.changes() == 0:
        return None
    return next(row for row in nodes(db, now_us) if row.id == node)


def acknowledge_stop(db: apsw.Connection, node: Id, lease_id: Id, generation: int) -> None:
    """Write the newest stop that the node obeys."""
    db.execute(
        "UPDATE nodes SET stop_generation = ? WHERE id = ? AND lease_id = ? AND alive = 1 AND stop_generation < ?",
        (generation, node, lease_id, generation),
    )


def nodes(db: apsw.Connection, now_us: int) -> list[NodeRow]:
    """Return all nodes, by id."""
    rows = db.execute(f"SELECT {_NODE_COLUMNS}, alive FROM nodes ORDER BY id")
    return [_node_row(row, now_us) for row in rows]


def _node_row(values: Sequence[Any], now_us: int) -> NodeRow:
    return NodeRow(*(*values[:7], now_us, bool(values[7])))


def declare_dead(db: apsw.Connection, now_us: int, node: Id | None) -> list[Id]:
    """Declare nodes dead, and queue their tasks."""
    if node is None:
        rows = db.execute("SELECT id FROM nodes WHERE alive = 1 AND lease_until_us <= ? ORDER BY id", (now_us,))
    else:
        rows = db.execute("SELECT id FROM nodes WHERE alive = 1 AND id = ?", (node,))
    dead = [row[0] for row in rows]
    for name in dead:
        db.execute("UPDATE nodes SET alive = 0 WHERE id = ?", (name,))
        _requeue(db, now_us, name)
    return dead


def _requeue(db: apsw.Connection, now_us: int, node: Id) -> None:
    db.execute(
        "UPDATE tasks SET reason = CASE state WHEN 'running' THEN ? ELSE reason END,"
        " state = CASE state WHEN 'running' THEN 'queued' ELSE state END,"
        " lease_id = x'', epoch = epoch + 1, not_before_us = 0, due_us = 0, updated_us = ?"
        " WHERE node = ? AND lease_id <> x''",
        (NODE_LOST, now_us, node),
    )


def sequence(db: apsw.Connection, now_us: int, node: Id, lease_id: Id, limit: int) -> int:
    """Give entries their leaves; the sequencer is the node that meta names, while it lives."""
    size, position = tree(db)
    if not holds_lease(db, node, lease_id, now_us):
        return size
    row = db.execute("SELECT value FROM meta WHERE key = 'sequencer'").fetchone()
    if row is None or row[0] != node.hex():
        holder = bytes.fromhex(row[0]) if row else b""
        if any(other.id == holder and other.alive and other.lease_until_us > now_us for other in nodes(db, now_us)):
            return size
        db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('sequencer', ?)", (node.hex(),))
    rows = db.execute(
        "SELECT e.position, t.id, e.seq, e.branch, e.kind, e.phase, e.at_us, e.body"
        " FROM entries e JOIN tasks t ON t.n = e.task WHERE e.position > ? ORDER BY e.position LIMIT ?",
        (position, limit),
    ).fetchall()
    leaves = [_leaf_row(size + offset, row) for offset, row in enumerate(rows)]
    db.executemany("INSERT INTO leaves (idx, position, hash) VALUES (?, ?, ?)", leaves)
    return size + len(leaves)


def _leaf_row(index: int, values: Sequence[Any]) -> tuple[int, int, Digest]:
    return index, values[0], leaf(values[1], entry_of(values[2:]))


def tree(db: apsw.Connection) -> tuple[int, int]:
    """Return the tree's size, and the position of its last leaf."""
    row = db.execute("SELECT idx, position FROM leaves ORDER BY idx DESC LIMIT 1").fetchone()
    return (row[0] + 1, row[1]) if row else (0, 0)
