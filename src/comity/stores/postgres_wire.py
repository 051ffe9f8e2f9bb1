"""Statements on the hot path, spoken with libpq directly: prepared once, values in binary, several in one round trip.

The driver's cursors cost some 0.1 ms of processor time for each statement; this costs a tenth of it. Types come from
the server's description of each prepared statement, so that SQL needs no casts for the client's sake.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg import errors, pq
from psycopg.adapt import Transformer

Rows = list[tuple[Any, ...]]
Statement = tuple[str, Sequence[Any]]
"""SQL with `%s`, and its parameters."""
Dump = Callable[[Any], bytes]

_NULL = (-1).to_bytes(4, "big", signed=True)
_FAILED = (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE)
_BINARY = 1


def _dump_integer(size: int) -> Dump:
    return lambda value: value.to_bytes(size, "big", signed=True)


def _dump_text(value: str) -> bytes:
    return value.encode()


def _dump_bytes(value: bytes) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"{type(value).__name__} where bytes should be")
    return value


def _dump_boolean(value: object) -> bytes:
    return b"\x01" if value else b"\x00"


def _dump_array(oid: int, dump: Dump) -> Dump:
    head = (1).to_bytes(4, "big") + (1).to_bytes(4, "big") + oid.to_bytes(4, "big")
    empty = bytes(8) + oid.to_bytes(4, "big")
    first = (1).to_bytes(4, "big")

    def dump_all(values: Sequence[Any]) -> bytes:
        if not values:
            return empty
        parts = [head, len(values).to_bytes(4, "big"), first]
        for value in values:
            if value is None:
                parts.append(_NULL)
            else:
                raw = dump(value)
                parts.append(len(raw).to_bytes(4, "big"))
                parts.append(raw)
        return b"".join(parts)

    return dump_all


_SCALARS: dict[int, tuple[int, Dump]] = {
    16: (1000, _dump_boolean),
    17: (1001, _dump_bytes),
    20: (1016, _dump_integer(8)),
    21: (1005, _dump_integer(2)),
    23: (1007, _dump_integer(4)),
    25: (1009, _dump_text),
}
"""By a type's oid: the oid of its array, and how a value is written. Source: pg_type.dat of PostgreSQL."""
_DUMPS: dict[int, Dump] = {oid: dump for oid, (_, dump) in _SCALARS.items()}
_DUMPS.update({array: _dump_array(oid, dump) for oid, (array, dump) in _SCALARS.items()})


class _Prepared:
    __slots__ = ("dumps", "formats", "name")

    def __init__(self, name: bytes, types: Sequence[int]) -> None:
        self.name = name
        self.dumps = [_DUMPS[oid] for oid in types]
        self.formats = [_BINARY] * len(types)

    def dump(self, params: Sequence[Any]) -> list[bytes | None]:
        return [None if value is None else dump(value) for dump, value in zip(self.dumps, params, strict=True)]


class Wire:
    """What was prepared on one connection; its owner sees to it that one thing at a time is asked."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Speak through `connection`, beside its cursors."""
        self._pgconn = connection.pgconn
        self.backend_pid = connection.info.backend_pid
        self._prepared: dict[str, _Prepared] = {}
        self._loader = Transformer(connection)

    def check(self) -> None:
        """Raise where the server is known to have closed the connection while nothing was asked.

        What is asked after that certainly did not arrive; without this look, nobody could tell.
        """
        for _ in range(2):  # first the server's last words, then the end
            self._pgconn.consume_input()
            self._pgconn.is_busy()

    async def rows(self, sql: str, *params: Any) -> Rows:
        """Return what one statement selects, in one round trip once it is prepared."""
        prepared = self._prepared.get(sql) or await self._prepare(sql)
        self._send(prepared, params)
        return self._load(await self._result())

    async def batch(self, statements: Sequence[Statement]) -> list[Rows]:
        """Do all `statements` in one round trip; after one that failed, none is done, and its error is raised."""
        prepared = [self._prepared.get(sql) or await self._prepare(sql) for sql, _ in statements]
        dumped = [one.dump(params) for one, (_, params) in zip(prepared, statements, strict=True)]
        pgconn = self._pgconn
        pgconn.enter_pipeline_mode()
        for one, values in zip(prepared, dumped, strict=True):
            pgconn.send_query_prepared(one.name, values, one.formats, _BINARY)
        pgconn.pipeline_sync()
        failed: psycopg.Error | None = None
        found: list[Rows] = []
        for _ in statements:
            try:
                found.append(self._load(await self._result()))
            except psycopg.Error as error:
                if pgconn.status != pq.ConnStatus.OK:
                    raise failed or error from error
                failed = failed or error
        await self._next_result()  # the mark of the pipeline's end
        pgconn.exit_pipeline_mode()
        if failed is not None:
            raise failed
        return found

    async def _prepare(self, sql: str) -> _Prepared:
        name = f"{sql.strip()[:24]} {len(self._prepared)}".encode()
        numbers = iter(range(1, sql.count("%s") + 1))
        self._pgconn.send_prepare(name, re.sub("%s", lambda _: f"${next(numbers)}", sql).encode())
        await self._result()
        self._pgconn.send_describe_prepared(name)
        result = await self._result()
        prepared = _Prepared(name, [result.param_type(number) for number in range(result.nparams)])
        self._prepared[sql] = prepared
        return prepared

    def _send(self, prepared: _Prepared, params: Sequence[Any]) -> None:
        self._pgconn.send_query_prepared(prepared.name, prepared.dump(params), prepared.formats, _BINARY)

    def _load(self, result: pq.abc.PGresult) -> Rows:
        if not result.ntuples:
            return []
        loader = self._loader
        loader.set_pgresult(result)
        return loader.load_rows(0, result.ntuples, tuple)

    async def _result(self) -> pq.abc.PGresult:
        """Return a statement's result, once nothing more of it is to come."""
        result = await self._next_result()
        assert result is not None, "a statement has a result"
        while await self._next_result() is not None:
            pass
        if result.status in _FAILED:
            raise errors.error_from_result(result)
        if result.status == pq.ExecStatus.PIPELINE_ABORTED:
            raise psycopg.errors.InFailedSqlTransaction("a statement before it failed")
        return result

    async def _next_result(self) -> pq.abc.PGresult | None:
        pgconn = self._pgconn
        while pgconn.flush():
            await self._until_ready(for_writing=True)
        while pgconn.is_busy():
            await self._until_ready()
        return pgconn.get_result()

    async def _until_ready(self, *, for_writing: bool = False) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        socket = self._pgconn.socket

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        loop.add_reader(socket, wake)
        if for_writing:
            loop.add_writer(socket, wake)
        try:
            await ready
        finally:
            loop.remove_reader(socket)
            if for_writing:
                loop.remove_writer(socket)
        self._pgconn.consume_input()
