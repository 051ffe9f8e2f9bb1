"""Looking after a store, whichever it is: what `comity store` calls. A node may go on using it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from comity.core.clock import Clock, SystemClock
from comity.core.entropy import Entropy, SystemEntropy
from comity.stores.findings import Finding, Pruned
from comity.stores.migrate import Migration
from comity.stores.open import open_store

SEGMENT_GRACE_S = 86_400.0
"""A segment is kept so long after it was last put, though nothing names it yet."""


def _say_nothing(text: str) -> None:
    """Do nothing."""


def _sqlite_path(url: str) -> str:
    """Return the file of a SQLite URL, or nothing; refuse what is no store's URL."""
    open_store(url)
    if not url.startswith("sqlite"):
        return ""
    from comity.stores.sqlite_file import path_of  # noqa: PLC0415 - a command loads only the driver that it needs

    return path_of(url)


async def preview(url: str) -> list[Migration]:
    """Return the migrations that `migrate` would apply, without changing anything."""
    path = _sqlite_path(url)
    if path:
        from comity.stores import sqlite_upkeep  # noqa: PLC0415 - as above

        return await asyncio.to_thread(sqlite_upkeep.preview, path)
    from comity.stores import postgres_upkeep  # noqa: PLC0415 - as above

    return await postgres_upkeep.preview(url)


async def migrate(url: str, *, clock: Clock | None = None, entropy: Entropy | None = None) -> list[Migration]:
    """Apply pending migrations, in one transaction, and return them. No node may be running."""
    path, chance = _sqlite_path(url), entropy or SystemEntropy()
    if path:
        from comity.stores import sqlite_upkeep  # noqa: PLC0415 - as above

        return await asyncio.to_thread(sqlite_upkeep.migrate, path, clock or SystemClock(), chance)
    from comity.stores import postgres_upkeep  # noqa: PLC0415 - as above

    return await postgres_upkeep.migrate(url, chance)


async def check(url: str) -> list[Finding]:
    """Return what is wrong with a store: gaps, entries that are not their leaf, segments that are not their hash."""
    path = _sqlite_path(url)
    if path:
        from comity.stores import sqlite_upkeep  # noqa: PLC0415 - as above

        return await asyncio.to_thread(sqlite_upkeep.check, path)
    from comity.stores import postgres_upkeep  # noqa: PLC0415 - as above

    return await postgres_upkeep.check(url)


async def backup(url: str, target: str) -> None:
    """Write the store, as it is at one moment, into the file `target`, which must not exist."""
    path = _sqlite_path(url)
    if path:
        from comity.stores import sqlite_upkeep  # noqa: PLC0415 - as above

        await asyncio.to_thread(sqlite_upkeep.backup, path, target)
        return
    from comity.stores import postgres_upkeep  # noqa: PLC0415 - as above

    await postgres_upkeep.backup(url, target)


async def restore(source: str, url: str, *, clock: Clock | None = None, entropy: Entropy | None = None) -> None:
    """Make a new store of a backup of the same kind, under a new lineage; there must be none at `url`."""
    path, chance = _sqlite_path(url), entropy or SystemEntropy()
    if path:
        from comity.stores import sqlite_upkeep  # noqa: PLC0415 - as above

        await asyncio.to_thread(sqlite_upkeep.restore, source, path, clock or SystemClock(), chance)
        return
    from comity.stores import postgres_upkeep  # noqa: PLC0415 - as above

    await postgres_upkeep.restore(source, url, chance)


async def prune(
    url: str,
    ended_before_us: int,
    *,
    now_us: int,
    grace_s: float = SEGMENT_GRACE_S,
    progress: Callable[[str], None] = _say_nothing,
) -> Pruned:
    """Delete tasks that ended before a moment, and segments that nothing has named for `grace_s`.

    A task goes with its journal and its de-duplication key. Tasks of a session stay: their context lives on in it. So
    does the task that wrote last: no position of the log is given twice.
    """
    path, unused_before_us = _sqlite_path(url), now_us - round(grace_s * 1_000_000)
    if path:
        from comity.stores import sqlite_upkeep  # noqa: PLC0415 - as above

        return await asyncio.to_thread(sqlite_upkeep.prune, path, ended_before_us, unused_before_us, progress)
    from comity.stores import postgres_upkeep  # noqa: PLC0415 - as above

    return await postgres_upkeep.prune(url, ended_before_us, unused_before_us, progress)
