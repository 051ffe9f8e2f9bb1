"""Nodes, their leases and what they take, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from comity.core.ids import Id
from comity.core.limits import AFFINITY_GRACE_S
from comity.journal.entry import leaf
from comity.journal.ports import NodeRow
from comity.journal.task import TaskRow
from comity.stores.choose import choose
from comity.stores.decode import TASK_COLUMNS, entry_of, task_row
from comity.stores.postgres_link import Connection
from comity.stores.units import NODE_LOST

GRACE_US = round(AFFINITY_GRACE_S * 1_000_000)
LOOKED_AT = 4
"""How many candidates are locked for each task that may be taken, where sessions or limits leave some out."""

_NODE_COLUMNS = "id, lease_id, lease_until_us, host, pid, address, stop_generation"
_PROMOTE = """
    UPDATE tasks SET due_us = 0 WHERE n IN (
        SELECT n FROM tasks WHERE due_us > 0 AND due_us <= comity_now(%(now)s::bigint) FOR UPDATE SKIP LOCKED)
"""
_WITH = """
    WITH moment AS MATERIALIZED (SELECT comity_now(%(now)s::bigint) AS now),
    holder AS MATERIALIZED (
        SELECT 1 FROM nodes d, moment
        WHERE d.id = %(node)s AND d.lease_id = %(lease)s AND d.alive AND d.lease_until_us > moment.now FOR SHARE OF d),
"""
_DUE = """
        t.due_us = 0
        AND (t.node = '' OR t.node = %(node)s OR greatest(t.not_before_us, t.updated_us) + %(grace)s <= moment.now
            OR NOT EXISTS (SELECT 1 FROM nodes d WHERE d.id = t.node AND d.alive AND d.lease_until_us > moment.now))
        AND (%(queues)s::text[] IS NULL OR t.queue = ANY(%(queues)s::text[]))
"""
_SET = """
    UPDATE tasks t SET state = CASE t.state WHEN 'cancelling' THEN 'cancelling' ELSE 'running' END, reason = '',
        not_before_us = 0, due_us = NULL, begun = true, node = %(node)s, lease_id = %(lease)s, epoch = t.epoch + 1,
        updated_us = moment.now
"""
_TAKE = f"""{_WITH}
    top AS MATERIALIZED (
        SELECT t.n, (t.session <> '' OR t.concurrency_key <> '') AS guarded FROM tasks t, moment, holder
        WHERE {_DUE} ORDER BY t.priority DESC, t.n LIMIT %(limit)s FOR UPDATE OF t SKIP LOCKED),
    taken AS (
        {_SET} FROM top, moment WHERE t.n = top.n AND NOT EXISTS (SELECT 1 FROM top WHERE guarded)
        RETURNING {TASK_COLUMNS}, t.n)
    SELECT (SELECT count(*) FROM top WHERE guarded), taken.* FROM (SELECT 1) one LEFT JOIN taken ON true
    ORDER BY taken.priority DESC, taken.n
"""
_CANDIDATES = f"""{_WITH}
    held AS (SELECT 1)
    SELECT {TASK_COLUMNS} FROM tasks t, moment, holder
    WHERE {_DUE}
        AND (t.session = '' OR NOT EXISTS (
            SELECT 1 FROM tasks o WHERE o.tenant = t.tenant AND o.session = t.session AND o.begun AND o.session <> ''
                AND o.n <> t.n))
        AND (t.concurrency_key = '' OR t.concurrency_limit > (
            SELECT count(*) FROM tasks o WHERE o.tenant = t.tenant AND o.concurrency_key = t.concurrency_key
                AND o.concurrency_key <> '' AND o.lease_id <> ''))
    ORDER BY t.priority DESC, t.n LIMIT %(looked_at)s FOR UPDATE OF t SKIP LOCKED
"""
_TAKE_CHOSEN = f"""{_WITH} held AS (SELECT 1)
    {_SET} FROM moment, holder WHERE t.id = ANY(%(ids)s) RETURNING {TASK_COLUMNS}
"""
_HELD = """
    SELECT tenant, concurrency_key, count(*) FROM tasks WHERE lease_id <> '' AND concurrency_key <> ''
        AND (tenant, concurrency_key) IN (SELECT * FROM unnest(%(tenants)s::text[], %(keys)s::text[]))
    GROUP BY tenant, concurrency_key
"""
_TAKE_LOCK = 7_117_001
"""Advisory lock of those who take tasks that sessions or concurrency limits may hold back."""


async def take(
    connection: Connection, now_us: int | None, node: Id, lease_id: Id, queues: Sequence[str], limit: int
) -> list[TaskRow]:
    """Take tasks that are due: in one statement, unless sessions or limits are to be minded."""
    if limit <= 0:
        return []
    params: dict[str, Any] = {
        "now": now_us,
        "node": node,
        "lease": lease_id,
        "grace": GRACE_US,
        "queues": list(queues) or None,
        "limit": limit,
        "looked_at": limit * LOOKED_AT,
    }
    async with connection.pipeline():
        await connection.execute(_PROMOTE.encode(), params)
        cursor = await connection.execute(_TAKE.encode(), params, binary=True)
        rows = await cursor.fetchall()
    if not rows[0][0]:
        return [task_row(row[1:-1]) for row in rows if row[1] is not None]
    taken: list[TaskRow] = []
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_TAKE_LOCK,))
        while len(taken) < limit:
            chosen = await _take_chosen(connection, params, limit - len(taken))
            taken.extend(chosen)
            if not chosen:
                break
    return taken


async def _take_chosen(connection: Connection, params: dict[str, Any], limit: int) -> list[TaskRow]:
    cursor = await connection.execute(_CANDIDATES.encode(), params, binary=True)
    candidates = [task_row(row) for row in await cursor.fetchall()]
    keys = sorted({(row.tenant, row.concurrency_key) for row in candidates if row.concurrency_key})
    held: dict[tuple[str, str], int] = {}
    if keys:
        names = {"tenants": [tenant for tenant, _ in keys], "keys": [key for _, key in keys]}
        cursor = await connection.execute(_HELD.encode(), names, binary=True)
        held = {(tenant, key): number for tenant, key, number in await cursor.fetchall()}
    chosen = choose(candidates, limit, lambda tenant, key: held.get((tenant, key), 0))
    if not chosen:
        return []
    ids = [row.id for row in chosen]
    cursor = await connection.execute(_TAKE_CHOSEN.encode(), {**params, "ids": ids}, binary=True)
    rows = {row.id: row for row in map(task_row, await cursor.fetchall())}
    return [rows[name] for name in ids if name in rows]


async def next_due_us(connection: Connection, now_us: int | None) -> int | None:
    """Return when the next timer, or the next grace time of affinity, ends."""
    cursor = await connection.execute(
        b"""
        WITH moment AS MATERIALIZED (SELECT comity_now(%(now)s::bigint) AS now)
        SELECT min(at) FROM (
            SELECT min(due_us) AS at FROM tasks, moment WHERE due_us > 0 AND due_us > now
            UNION ALL SELECT min(greatest(not_before_us, updated_us)) + %(grace)s FROM tasks, moment
                WHERE due_us = 0 AND node <> '' AND greatest(not_before_us, updated_us) + %(grace)s > now
            UNION ALL SELECT min(greatest(not_before_us, updated_us)) + %(grace)s FROM tasks, moment
                WHERE due_us > 0 AND due_us <= now AND node <> ''
                AND greatest(not_before_us, updated_us) + %(grace)s > now
        ) moments""",
        {"now": now_us, "grace": GRACE_US},
        binary=True,
    )
    row = await cursor.fetchone()
    return int(row[0]) if row and row[0] is not None else None


async def register(connection: Connection, now_us: int | None, row: NodeRow, lease_us: int) -> NodeRow:
    """Enter a node; tasks of an earlier row of the same id are queued again."""
    async with connection.transaction():
        cursor = await connection.execute(
            f"INSERT INTO nodes ({_NODE_COLUMNS}, alive)"
            " SELECT %s, %s, m.now + %s, %s, %s, %s, 0, true FROM (SELECT comity_now(%s::bigint) AS now) m"
            " ON CONFLICT (id) DO UPDATE SET lease_id = excluded.lease_id, lease_until_us = excluded.lease_until_us,"
            " host = excluded.host, pid = excluded.pid, address = excluded.address, stop_generation = 0, alive = true"
            " RETURNING lease_until_us".encode(),
            (row.id, row.lease_id, lease_us, row.host, row.pid, row.address, now_us),
            binary=True,
        )
        found = await cursor.fetchone()
        assert found is not None, "what was inserted is returned"
        await _requeue(connection, now_us, [row.id])
    return replace(row, lease_until_us=found[0], now_us=found[0] - lease_us)


async def renew(connection: Connection, now_us: int | None, node: Id, lease_id: Id, lease_us: int) -> NodeRow | None:
    """Extend a lease."""
    cursor = await connection.execute(
        "UPDATE nodes SET lease_until_us = m.now + %s FROM (SELECT comity_now(%s::bigint) AS now) m"
        f" WHERE id = %s AND lease_id = %s AND alive RETURNING {_NODE_COLUMNS}, m.now, alive".encode(),
        (lease_us, now_us, node, lease_id),
        binary=True,
    )
    row = await cursor.fetchone()
    return NodeRow(*row) if row else None


async def nodes(connection: Connection, now_us: int | None) -> list[NodeRow]:
    """Return all nodes, by id."""
    cursor = await connection.execute(
        f"SELECT {_NODE_COLUMNS}, m.now, alive FROM nodes, (SELECT comity_now(%s::bigint) AS now) m"
        " ORDER BY id".encode(),
        (now_us,),
        binary=True,
    )
    return [NodeRow(*row) for row in await cursor.fetchall()]


async def declare_dead(connection: Connection, now_us: int | None, node: Id | None) -> list[Id]:
    """Declare nodes dead, and queue their tasks; a take that runs meanwhile is waited for, or finds its node dead."""
    async with connection.transaction():
        which = "lease_until_us <= comity_now(%s::bigint)" if node is None else "id = %s"
        cursor = await connection.execute(
            "UPDATE nodes SET alive = false WHERE id IN ("
            f"SELECT id FROM nodes WHERE alive AND {which} ORDER BY id FOR UPDATE) RETURNING id".encode(),
            (now_us if node is None else node,),
            binary=True,
        )
        dead = sorted(row[0] for row in await cursor.fetchall())
        if dead:
            await _requeue(connection, now_us, dead)
    return dead


async def _requeue(connection: Connection, now_us: int | None, dead: Sequence[Id]) -> None:
    await connection.execute(
        b"UPDATE tasks SET reason = CASE state WHEN 'running' THEN %s ELSE reason END,"
        b" state = CASE state WHEN 'running' THEN 'queued' ELSE state END,"
        b" lease_id = '', epoch = epoch + 1, not_before_us = 0, due_us = 0, updated_us = comity_now(%s::bigint)"
        b" WHERE n IN (SELECT n FROM tasks WHERE node = ANY(%s) AND lease_id <> '' ORDER BY id FOR UPDATE)"
        b" AND lease_id <> ''",
        (NODE_LOST, now_us, list(dead)),
    )


async def sequence(connection: Connection, now_us: int | None, node: Id, lease_id: Id, limit: int, settled: int) -> int:
    """Give entries up to position `settled` their leaves; the sequencer is the node that meta names, while it lives."""
    async with connection.transaction():
        cursor = await connection.execute(
            b"SELECT value FROM meta WHERE key = 'sequencer' FOR UPDATE",
        )
        named = await cursor.fetchone()
        cursor = await connection.execute(b"SELECT idx, position FROM leaves ORDER BY idx DESC LIMIT 1")
        last = await cursor.fetchone()
        size, position = (last[0] + 1, last[1]) if last else (0, 0)
        live = {
            row.id: row.lease_id
            for row in await nodes(connection, now_us)
            if row.alive and row.lease_until_us > row.now_us
        }
        holder = bytes.fromhex(named[0]) if named else b""
        if live.get(node) != lease_id or (holder != node and holder in live):
            return size
        if holder != node:
            await connection.execute("UPDATE meta SET value = %s WHERE key = 'sequencer'", (node.hex(),))
        cursor = await connection.execute(
            b"SELECT e.position, t.id, e.seq, e.branch, e.kind, e.phase, e.at_us, e.body FROM entries e"
            b" JOIN tasks t ON t.n = e.task WHERE e.position > %s AND e.position <= %s ORDER BY e.position LIMIT %s",
            (position, settled, limit),
            binary=True,
        )
        rows = await cursor.fetchall()
        if rows:
            await connection.execute(
                b"INSERT INTO leaves (idx, position, hash)"
                b" SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::bytea[])",
                (
                    list(range(size, size + len(rows))),
                    [row[0] for row in rows],
                    [leaf(row[1], entry_of(row[2:])) for row in rows],
                ),
            )
    return size + len(rows)
