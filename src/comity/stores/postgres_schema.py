"""A PostgreSQL database becomes a store: migrations, and the name that changes when it is restored or failed over."""

from __future__ import annotations

from comity.core.entropy import Entropy
from comity.core.errors import StoreError
from comity.stores.migrate import Migration, pending, refuse_pending, shipped
from comity.stores.postgres_link import Connection

_MIGRATE_LOCK = 7_117_000


async def applied(connection: Connection) -> dict[int, str]:
    """Return the migrations that the database has, with their checksums."""
    # Not to_regclass: it may answer from a cache that does not know yet what another node has just created.
    cursor = await connection.execute(
        "SELECT 1 FROM pg_class WHERE relname = 'migrations' AND relnamespace = current_schema()::regnamespace"
    )
    if await cursor.fetchone() is None:
        return {}
    cursor = await connection.execute("SELECT number, sha256 FROM migrations")
    return {number: sha256 for number, sha256 in await cursor.fetchall()}  # noqa: C416 - rows are tuples of anything


async def migrate(connection: Connection, entropy: Entropy, *, empty_only: bool) -> list[Migration]:
    """Apply what is pending, in one transaction, and return it; with `empty_only`, refuse where there is a schema."""
    ours = shipped("postgres")
    if not pending(ours, await applied(connection)):
        return []
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATE_LOCK,))
        before = await applied(connection)
        waiting = pending(ours, before)
        if before and empty_only:
            refuse_pending(waiting)
        if not before:
            await _refuse_foreign(connection)
            await connection.execute(
                "CREATE TABLE migrations ("
                "number integer PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL, at timestamptz NOT NULL)"
            )
        for migration in waiting:
            await connection.execute(migration.sql.encode())
            await connection.execute(
                "INSERT INTO migrations (number, name, sha256, at) VALUES (%s, %s, %s, clock_timestamp())",
                (migration.number, migration.name, migration.sha256),
            )
        if not before:
            await connection.execute("INSERT INTO meta (key, value) VALUES ('lineage', %s)", (entropy.take(16).hex(),))
    return waiting


async def _refuse_foreign(connection: Connection) -> None:
    cursor = await connection.execute(
        "SELECT c.relname FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'"
        " AND c.relname IN ('tasks', 'entries', 'state', 'nodes', 'meta') LIMIT 1"
    )
    row = await cursor.fetchone()
    if row is not None:
        raise StoreError(
            "not_a_store",
            f"the database holds table `{row[0]}`, which is not Comity's",
            retry="never",
            hint="name another database, or a schema of its own by `?options=-csearch_path%3Dname`",
        )


async def lineage(connection: Connection) -> str:
    """Return system identifier, timeline and the store's own id: after a fail-over or a restore it is another."""
    cursor = await connection.execute(
        "SELECT (SELECT system_identifier FROM pg_control_system()),"
        " left(pg_walfile_name(pg_current_wal_lsn()), 8), value FROM meta WHERE key = 'lineage'"
    )
    row = await cursor.fetchone()
    assert row is not None, "a store has a lineage"
    return f"{row[0]}/{row[1]}/{row[2]}"
