"""Looking after a PostgreSQL store: check, backup, restore, prune. Nothing but the connection is needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import zstandard

from comity.core.codec import Digest
from comity.core.entropy import Entropy
from comity.core.errors import StoreError, UsageError
from comity.stores import postgres_schema
from comity.stores.decode import entry_of
from comity.stores.findings import (
    Finding,
    Pruned,
    find_gap,
    find_unreadable,
    find_wrong_leaf,
    find_wrong_segment,
    hashes_in,
)
from comity.stores.migrate import Migration, pending, shipped
from comity.stores.postgres_link import Connection, Link, postgres_errors
from comity.stores.sqlite_upkeep import HEX

FORMAT = "comity postgres backup 1"
TABLES = ("migrations", "meta", "tasks", "entries", "inbox", "state", "segments", "nodes", "leaves")
_IDENTITIES = (("tasks", "n"), ("entries", "position"), ("inbox", "id"))
_ROWS_A_FETCH = 1_000


class Header(msgspec.Struct, frozen=True):
    """The first frame of a backup: its format, and the columns of each table, in order."""

    format: str
    columns: dict[str, list[str]]


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """Connect for as long as the work takes; a check of a large store has no deadline."""
    link = Link(url, "upkeep")
    with postgres_errors():
        connection = await link.connection()
        try:
            await connection.execute("SET statement_timeout = 0")
            yield connection
        finally:
            await link.drop()


async def preview(url: str) -> list[Migration]:
    """Return the migrations that `migrate` would apply."""
    async with connected(url) as connection:
        return pending(shipped("postgres"), await postgres_schema.applied(connection))


async def migrate(url: str, entropy: Entropy) -> list[Migration]:
    """Apply what is pending, and return it."""
    async with connected(url) as connection:
        return await postgres_schema.migrate(connection, entropy, empty_only=False)


async def stream(connection: Connection, sql: str) -> AsyncIterator[tuple[Any, ...]]:
    """Yield the rows of a query without holding all of them; inside a transaction."""
    async with psycopg.AsyncServerCursor(connection, "comity_upkeep") as cursor:
        cursor.itersize = _ROWS_A_FETCH
        await cursor.execute(sql.encode(), binary=True)
        async for row in cursor:
            yield row


async def check(url: str) -> list[Finding]:
    """Return what is wrong; an empty list says that everything is as it was written. Cost: reads all of it."""
    findings: list[Finding | None] = []
    async with connected(url) as connection, _snapshot(connection):
        async for row in stream(
            connection,
            "SELECT t.id, t.last_seq, count(e.seq)::integer, coalesce(min(e.seq), 0), coalesce(max(e.seq), 0)"
            " FROM tasks t LEFT JOIN entries e ON e.task = t.n GROUP BY t.n",
        ):
            findings += [find_gap(*row)]
        async for row in stream(
            connection,
            "SELECT l.idx, l.hash, t.id, e.seq, e.branch, e.kind, e.phase, e.at_us, e.body"
            " FROM entries e JOIN tasks t ON t.n = e.task LEFT JOIN leaves l ON l.position = e.position",
        ):
            entry = entry_of(row[3:])
            findings.append(find_unreadable(row[2], entry))
            if row[0] is not None:
                findings.append(find_wrong_leaf(row[0], row[1], row[2], entry))
        async for row in stream(connection, "SELECT tenant, sha256, codec, data FROM segments"):
            findings += [find_wrong_segment(*row)]
    return [finding for finding in findings if finding is not None]


@asynccontextmanager
async def _snapshot(connection: Connection) -> AsyncIterator[None]:
    async with connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


async def backup(url: str, target: str) -> None:
    """Write all of the store, as it is at one moment, into a file that does not exist yet.

    The file is zstd over msgpack frames: a `Header`, then (table, piece of PostgreSQL's binary COPY format).

    Raises:
        UsageError: `target` is there already.
    """
    if await asyncio.to_thread(Path(target).exists):
        raise UsageError("already_there", f"`{target}` is there already", hint="name a file that does not exist")
    async with connected(url) as connection, _snapshot(connection):
        columns = {table: await _columns(connection, table) for table in TABLES}
        with zstandard.open(target, "wb") as file:
            _write(file, Header(FORMAT, columns))
            for table in TABLES:
                sql = f"COPY {table} ({', '.join(columns[table])}) TO STDOUT (FORMAT binary)"
                async with connection.cursor() as cursor, cursor.copy(sql.encode()) as copy:
                    async for piece in copy:
                        _write(file, (table, bytes(piece)))


async def _columns(connection: Connection, table: str) -> list[str]:
    cursor = await connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
        " ORDER BY attnum",
        (table,),
    )
    return [name for (name,) in await cursor.fetchall()]


def _write(file: Any, frame: Any) -> None:
    packed = msgspec.msgpack.encode(frame)
    file.write(len(packed).to_bytes(4, "big") + packed)


def _read(file: Any) -> bytes:
    size = file.read(4)
    return bytes(file.read(int.from_bytes(size, "big"))) if size else b""


async def restore(backup_path: str, url: str, entropy: Entropy) -> None:
    """Fill an empty database from a backup, under a lineage of its own, all or nothing.

    Raises:
        UsageError: the file is no backup.
        StoreError: the database is not empty, or the backup is of a newer schema.
    """
    try:
        with zstandard.open(backup_path, "rb") as file:
            header = msgspec.msgpack.decode(_read(file), type=Header)
            await _restore(file, header, url, entropy)
    except (OSError, zstandard.ZstdError, msgspec.DecodeError) as error:
        message = f"`{backup_path}` is no backup that can be read ({error})"
        raise UsageError("not_a_backup", message, hint="name a file that `comity store backup` wrote") from error


async def _restore(file: Any, header: Header, url: str, entropy: Entropy) -> None:
    async with connected(url) as connection:
        if await postgres_schema.applied(connection):
            raise StoreError(
                "store_not_empty", "the database is a store already", retry="never", hint="restore into an empty one"
            )
        async with connection.transaction():
            await postgres_schema.migrate(connection, entropy, empty_only=True)
            await connection.execute(f"TRUNCATE {', '.join(TABLES)}")
            table, piece = _next(file)
            while table:
                current = table
                sql = f"COPY {current} ({', '.join(header.columns[current])}) FROM STDIN (FORMAT binary)"
                async with connection.cursor() as cursor, cursor.copy(sql.encode()) as copy:
                    while table == current:
                        await copy.write(piece)
                        table, piece = _next(file)
            pending(shipped("postgres"), await postgres_schema.applied(connection))
            for table, column in _IDENTITIES:
                await connection.execute(
                    f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'),"
                    f" (SELECT coalesce(max({column}), 0) + 1 FROM {table}), false)".encode()
                )
            await connection.execute("UPDATE meta SET value = %s WHERE key = 'lineage'", (entropy.take(16).hex(),))


def _next(file: Any) -> tuple[str, bytes]:
    packed = _read(file)
    frame: tuple[str, bytes] = msgspec.msgpack.decode(packed, type=tuple[str, bytes]) if packed else ("", b"")
    return frame


async def prune(url: str, ended_before_us: int, unused_before_us: int, progress: Callable[[str], None]) -> Pruned:
    """Delete tasks without a session that ended before a moment, dead nodes, and segments that nothing names any more.

    A segment that was put after `unused_before_us` stays: its entry may still be on its way. Leaves stay, so that
    proofs of what is left go on; entries that have no leaf yet stay too, if there is a tree.
    """
    async with connected(url) as connection, connection.transaction():
        tasks, entries = await _prune_tasks(connection, ended_before_us)
        progress(f"{tasks} tasks, {entries} entries")
        segments = await _prune_segments(connection, unused_before_us)
        cursor = await connection.execute(
            "DELETE FROM nodes d WHERE NOT alive"
            " AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.node = d.id AND t.lease_id <> '')"
        )
        return Pruned(tasks, entries, segments, cursor.rowcount)


async def _prune_tasks(connection: Connection, ended_before_us: int) -> tuple[int, int]:
    cursor = await connection.execute(
        "SELECT t.n FROM tasks t WHERE t.state IN ('succeeded', 'failed', 'cancelled') AND t.updated_us < %s"
        " AND t.session = '' AND (NOT EXISTS (SELECT 1 FROM leaves) OR NOT EXISTS (SELECT 1 FROM entries e"
        " WHERE e.task = t.n AND e.position > (SELECT max(position) FROM leaves))) ORDER BY t.id FOR UPDATE",
        (ended_before_us,),
    )
    gone = [n for (n,) in await cursor.fetchall()]
    counts: list[int] = []
    for table, column in (("entries", "task"), ("inbox", "task"), ("tasks", "n")):
        cursor = await connection.execute(f"DELETE FROM {table} WHERE {column} = ANY(%s)".encode(), (gone,))
        counts.append(cursor.rowcount)
    return counts[2], counts[0]


async def _prune_segments(connection: Connection, unused_before_us: int) -> int:
    named: set[Digest] = set()
    async for (body,) in stream(connection, "SELECT body FROM entries"):
        named.update(hashes_in(body))
        named.update(bytes.fromhex(found.decode()) for found in HEX.findall(body))
    async for (value,) in stream(connection, "SELECT value FROM state UNION ALL SELECT value FROM inbox"):
        named.update(bytes.fromhex(found.decode()) for found in HEX.findall(value))
    cursor = await connection.execute(
        "SELECT tenant, sha256 FROM segments WHERE at_us < %s FOR UPDATE", (unused_before_us,), binary=True
    )
    unused = [(tenant, sha256) for tenant, sha256 in await cursor.fetchall() if sha256 not in named]
    if unused:
        await connection.execute(
            "DELETE FROM segments s USING unnest(%s::text[], %b::bytea[]) AS u (tenant, sha256)"
            " WHERE s.tenant = u.tenant AND s.sha256 = u.sha256",
            ([tenant for tenant, _ in unused], [sha256 for _, sha256 in unused]),
        )
    return len(unused)
