"""Looking after a SQLite store: check, backup, restore, prune. Each works on a connection of its own, in a thread."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw

from comity.core.clock import Clock
from comity.core.codec import Digest
from comity.core.entropy import Entropy
from comity.core.errors import UsageError
from comity.stores import sqlite_file
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
from comity.stores.sqlite_errors import sqlite_errors

HEX = re.compile(rb"[0-9a-f]{64}")
PAGES_A_STEP = 1_000


def preview(path: str) -> list[Migration]:
    """Return the migrations that `migrate` would apply."""
    with sqlite_errors(path):
        if not Path(path).exists():
            return shipped("sqlite")
        db = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            return pending(shipped("sqlite"), sqlite_file.applied(db))
        finally:
            db.close()


def migrate(path: str, clock: Clock, entropy: Entropy) -> list[Migration]:
    """Apply what is pending, and return it."""
    with sqlite_errors(path):
        sqlite_file.make_file(path)
        db = sqlite_file.connect(path)
        try:
            return sqlite_file.migrate(db, clock, entropy, empty_only=False)
        finally:
            db.close()


def check(path: str) -> list[Finding]:
    """Return what is wrong; an empty list says that everything is as it was written. Cost: reads all of it."""
    with sqlite_errors(path):
        db = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            return [*_check(db, path)]
        finally:
            db.close()


def _check(db: apsw.Connection, path: str) -> Iterator[Finding]:
    for (text,) in db.execute("PRAGMA integrity_check"):
        if text != "ok":
            yield Finding("file", path, str(text))
    for row in db.execute(
        "SELECT t.id, t.last_seq, count(e.seq), coalesce(min(e.seq), 0), coalesce(max(e.seq), 0)"
        " FROM tasks t LEFT JOIN entries e ON e.task = t.n GROUP BY t.n"
    ):
        found = find_gap(*row)
        if found is not None:
            yield found
    for row in db.execute(
        "SELECT l.idx, l.hash, t.id, e.seq, e.branch, e.kind, e.phase, e.at_us, e.body"
        " FROM entries e JOIN tasks t ON t.n = e.task LEFT JOIN leaves l ON l.position = e.position ORDER BY e.position"
    ):
        entry = entry_of(row[3:])
        found = find_unreadable(row[2], entry)
        if found is None and row[0] is not None:
            found = find_wrong_leaf(row[0], row[1], row[2], entry)
        if found is not None:
            yield found
    for row in db.execute("SELECT tenant, sha256, codec, data FROM segments"):
        found = find_wrong_segment(*row)
        if found is not None:
            yield found


def backup(path: str, target: str) -> None:
    """Write a copy of the store, as it is at one moment, while others go on writing; `target` must not exist.

    Raises:
        UsageError: `target` is there already.
    """
    if Path(target).exists():
        raise UsageError("already_there", f"`{target}` is there already", hint="name a file that does not exist")
    with sqlite_errors(path):
        source = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
        source.set_busy_timeout(10_000)
    try:
        _copy(source, target)
    finally:
        source.close()


def restore(backup_path: str, path: str, clock: Clock, entropy: Entropy) -> None:
    """Make a store of a backup, under a lineage of its own; there must be no file at `path`.

    Raises:
        UsageError: a file is there already.
        StoreError: the backup is no store, or a newer one.
    """
    if Path(path).exists():
        raise UsageError("already_there", f"`{path}` is there already", hint="move it away first")
    with sqlite_errors(backup_path):
        source = apsw.Connection(backup_path, flags=apsw.SQLITE_OPEN_READWRITE)
        pending(shipped("sqlite"), sqlite_file.applied(source))
    try:
        sqlite_file.make_file(path)
        _copy(source, path)
    finally:
        source.close()
    with sqlite_errors(path):
        db = sqlite_file.connect(path)
        sqlite_file.migrate(db, clock, entropy, empty_only=False)
        sqlite_file.set_meta(db, "lineage", entropy.take(16).hex())
        db.close()


def _copy(source: apsw.Connection, target: str) -> None:
    with sqlite_errors(target):
        copy = apsw.Connection(target)
        try:
            with copy.backup("main", source, "main") as steps:
                while not steps.done:
                    steps.step(PAGES_A_STEP)
            copy.execute("PRAGMA journal_mode = DELETE")
        finally:
            copy.close()


def prune(path: str, ended_before_us: int, unused_before_us: int, progress: Callable[[str], None]) -> Pruned:
    """Delete tasks without a session that ended before a moment, dead nodes, and segments that nothing names any more.

    A segment that was put after `unused_before_us` stays: its entry may still be on its way. Leaves stay, so that
    proofs of what is left go on; entries that have no leaf yet stay too, if there is a tree.
    """
    with sqlite_errors(path):
        db = sqlite_file.connect(path)
        try:
            db.execute("BEGIN IMMEDIATE")
            tasks, entries = _prune_tasks(db, ended_before_us)
            progress(f"{tasks} tasks, {entries} entries")
            segments = _prune_segments(db, unused_before_us)
            db.execute(
                "DELETE FROM nodes WHERE alive = 0"
                " AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.node = nodes.id AND t.lease_id <> x'')"
            )
            pruned = Pruned(tasks, entries, segments, db.changes())
            db.execute("COMMIT")
            return pruned
        finally:
            db.close()


def _prune_tasks(db: apsw.Connection, ended_before_us: int) -> tuple[int, int]:
    db.execute(
        "CREATE TEMP TABLE pruned AS SELECT t.n FROM tasks t"
        " WHERE t.state IN ('succeeded', 'failed', 'cancelled') AND t.updated_us < ? AND t.session = ''"
        " AND t.n <> (SELECT task FROM entries ORDER BY position DESC LIMIT 1)"
        " AND (NOT EXISTS (SELECT 1 FROM leaves) OR NOT EXISTS (SELECT 1 FROM entries e"
        " WHERE e.task = t.n AND e.position > (SELECT max(position) FROM leaves)))",
        (ended_before_us,),
    )
    counts: list[int] = []
    for table, column in (("entries", "task"), ("inbox", "task"), ("tasks", "n")):
        db.execute(f"DELETE FROM {table} WHERE {column} IN (SELECT n FROM pruned)")
        counts.append(db.changes())
    db.execute("DROP TABLE pruned")
    return counts[2], counts[0]


def _prune_segments(db: apsw.Connection, unused_before_us: int) -> int:
    named: set[Digest] = set()
    for (body,) in db.execute("SELECT body FROM entries"):
        named.update(hashes_in(bytes(body)))
        named.update(bytes.fromhex(found.decode()) for found in HEX.findall(bytes(body)))
    for (value,) in db.execute("SELECT value FROM state UNION ALL SELECT value FROM inbox"):
        named.update(bytes.fromhex(found.decode()) for found in HEX.findall(bytes(value)))
    old = db.execute("SELECT rowid, sha256 FROM segments WHERE at_us < ?", (unused_before_us,)).fetchall()
    unused = [(number,) for number, sha256 in old if sha256 not in named]
    db.executemany("DELETE FROM segments WHERE rowid = ?", unused)
    return len(unused)
