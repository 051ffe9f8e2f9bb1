"""What the two shared stores say about themselves: durability settings and the size of stored rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

POSTGRES_SETTINGS = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_sync_method")


def sqlite_row_bytes(path: Path) -> int:
    """Return the payload bytes of all tables in an SQLite file, without indexes and page slack.

    Another process reads it: a second copy of the SQLite library in the measured process would share, and on
    closing drop, the POSIX locks of the first.
    """
    command = [sys.executable, "-m", "benchmarks.stores", str(path)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _sqlite_row_bytes_here(path: Path) -> int:
    import apsw

    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        tables = "SELECT name FROM sqlite_schema WHERE type = 'table'"
        total = connection.execute(f"SELECT sum(payload) FROM dbstat WHERE name IN ({tables})").fetchone()
    finally:
        connection.close()
    return int(total[0] or 0) if total else 0


def postgres_row_bytes(url: str) -> int:
    """Return the bytes of all rows (with their headers) in a database, without indexes and page slack."""
    import psycopg
    from psycopg import sql

    total = 0
    with psycopg.connect(url, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for schema, table in tables:
            query = sql.SQL("SELECT coalesce(sum(pg_column_size(t.*)), 0) FROM {} t")
            row = connection.execute(query.format(sql.Identifier(schema, table))).fetchone()
            total += int(row[0]) if row else 0
    return total


def postgres_settings(url: str) -> dict[str, str]:
    """Return the durability settings of a running server, as it reports them."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        return {name: _shown(connection, name) for name in POSTGRES_SETTINGS}


def _shown(connection: object, name: str) -> str:
    import psycopg

    assert isinstance(connection, psycopg.Connection)
    row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
    return str(row[0]) if row else "?"


if __name__ == "__main__":
    sys.stdout.write(str(_sqlite_row_bytes_here(Path(sys.argv[1]))))
