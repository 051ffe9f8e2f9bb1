"""Where the tests of this folder keep their stores."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

STORES = ("memory", "sqlite", *(("postgres",) if find_spec("comity.stores.postgres") else ()))


def url_of(kind: str, folder: Path) -> str:
    """Return the URL of an empty store."""
    if kind == "postgres":
        from postgres import postgres_url

        return postgres_url()
    return f"sqlite:///{folder}/comity.db"
