"""A connection to PostgreSQL that comes back by itself, and PostgreSQL's errors mapped to ours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import conninfo

from comity.core.errors import StoreError
from comity.stores.flusher import BAD_UNIT
from comity.stores.postgres_wire import Wire

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
T = TypeVar("T")

STATEMENT_S_MAX = 30
"""A statement that takes longer is cancelled: a half-open connection must not stall a queue for minutes."""
RETRIED = ("40001", "40P01", "23505")
"""Serialization failure, deadlock, unique violation: another node was quicker; the batch is judged again."""

_KEEPALIVE = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
_BY_CLASS: list[tuple[str, str, str, str]] = [
    ("53100", "store_full", "the server's disk is full", "free space on it; nothing was lost"),
    ("53300", "store_unreachable", "the server has no connection left", "raise `max_connections`, or run fewer nodes"),
    ("25006", "store_read_only", "the server is read-only", "name the primary, not a standby"),
    ("55P03", "store_locked", "a lock was not given in time", "try again"),
    ("57014", "store_locked", f"a statement took longer than {STATEMENT_S_MAX} s", "look for what blocks the server"),
    ("28", "store_refused", "the server refuses this user", "check user and password of the URL"),
    ("3D", "store_refused", "the server has no such database", "create it with `createdb`"),
    ("08", "store_unreachable", "the connection was lost", "is the server up?"),
    ("57", "store_unreachable", "the server ends or starts", "try again"),
    ("53", "store_full", "the server has no room", "look at its log"),
    ("58", "store_io", "the server's disk fails", "look at its log"),
    ("XX", "store_damaged", "the server found damage", "look at its log"),
]


def is_lost(error: psycopg.Error) -> bool:
    """Tell whether an error means that the connection is gone, or was never there."""
    state = error.sqlstate or ""
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and not state:
        return True
    return state.startswith("08") or state in ("57P01", "57P02", "57P03", "57P05", "25P03")


def mapped(error: psycopg.Error) -> StoreError:
    """Return our error for one of PostgreSQL's."""
    state = error.sqlstate or ""
    text = str(error).strip().partition("\n")[0]
    for prefix, code, message, hint in _BY_CLASS:
        if state.startswith(prefix):
            return StoreError(code, f"{message} ({text})", hint=hint)
    if is_lost(error):
        return StoreError("store_unreachable", f"the server cannot be reached ({text})", hint="is it up?")
    return StoreError(BAD_UNIT, f"PostgreSQL cannot write this: {text}", retry="never", hint="correct the value")


@contextmanager
def value_errors() -> Iterator[None]:
    """Raise `StoreError` for values that cannot be converted."""
    try:
        yield
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        message = f"PostgreSQL cannot write this: {error}"
        raise StoreError(BAD_UNIT, message, retry="never", hint="correct the value") from error


@contextmanager
def postgres_errors() -> Iterator[None]:
    """Raise `StoreError` with a code and a way out for what PostgreSQL, or the conversion of values for it, raises."""
    with value_errors():
        try:
            yield
        except psycopg.Error as error:
            raise mapped(error) from error


class Link:
    """One connection, made when it is first used, and again after it was lost. One statement at a time."""

    def __init__(self, url: str, name: str, settings: str = "") -> None:
        """Connect to `url` as application `comity <name>`, with `settings` for the session (`-c …`)."""
        self._url = url
        self._name = name
        self._settings = settings
        self._connection: Connection | None = None
        self._wire: Wire | None = None
        self._lock = asyncio.Lock()

    async def connection(self) -> Connection:
        """Return the connection, made anew where it is gone."""
        if self._connection is None or self._connection.closed:
            given = conninfo.conninfo_to_dict(self._url)
            options = (
                f"-c statement_timeout={STATEMENT_S_MAX * 1000} -c lock_timeout={STATEMENT_S_MAX * 500}"
                f" -c idle_in_transaction_session_timeout={STATEMENT_S_MAX * 1000}"
                f" -c synchronous_commit=on {self._settings} {given.pop('options', '')}"
            )
            merged: dict[str, Any] = {
                **_KEEPALIVE,
                **given,
                "options": options,
                "application_name": f"comity {self._name}",
            }
            self._connection = await psycopg.AsyncConnection.connect(
                **merged, autocommit=True, prepare_threshold=1, cursor_factory=psycopg.AsyncCursor
            )
            self._wire = None
        return self._connection

    async def wire(self) -> Wire:
        """Return the quick way to speak on the connection, made anew where that is gone."""
        connection = await self.connection()
        if self._wire is None:
            self._wire = Wire(connection)
        return self._wire

    async def run(self, work: Callable[[Connection], Awaitable[T]], *, again: bool = True) -> T:
        """Do `work` on the connection, mapped errors and all.

        A connection that was lost is made anew, and `work` done again once where `again` says that this is safe.
        """
        async with self._lock:
            with postgres_errors():
                try:
                    return await work(await self.connection())
                except psycopg.Error as error:
                    # Also a live one: what a failed pipeline did not prepare, the driver believes to be prepared.
                    await self.drop()
                    if not again or not is_lost(error):
                        raise
                    return await work(await self.connection())
                except asyncio.CancelledError:
                    await self.drop()  # in the middle of a statement
                    raise

    async def rows(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        """Return what one statement selects."""

        async def select(connection: Connection) -> list[tuple[Any, ...]]:
            cursor = await connection.execute(sql.encode(), params or None, binary=True)
            return await cursor.fetchall() if cursor.description else []

        return await self.run(select)

    async def drop(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            connection, self._connection, self._wire = self._connection, None, None
            await connection.close()
