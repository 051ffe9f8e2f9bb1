"""A store's SQLite file: how it is opened, migrated, told the time and kept short."""

from __future__ import annotations

import os
from pathlib import Path

import apsw

from comity.core.clock import Clock
from comity.core.entropy import Entropy
from comity.core.errors import StoreError
from comity.stores.migrate import Migration, pending, refuse_pending, shipped

PAGE_BYTES = 8_192
SCHEME = "sqlite:///"


def path_of(url: str) -> str:
    """Return the file that a URL names: `sqlite:///relative.db`, `sqlite:////absolute.db`."""
    return url.removeprefix(SCHEME)


def make_file(path: str) -> None:
    """Make an empty file that only its owner may read, and its folder, where they are missing."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except PermissionError as error:
        if not os.access(path, os.R_OK):
            raise _cannot_open(path, error) from None
    except OSError as error:
        if error.errno != 30:  # a read-only file system: SQLite says so when it writes
            raise _cannot_open(path, error) from None


def connect(path: str) -> apsw.Connection:
    """Return a connection that waits for durability and never for a lock."""
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    db = apsw.Connection(path, flags=flags)
    db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    db.set_busy_timeout(5_000)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    db.execute("PRAGMA cache_size = -65536")
    db.execute("PRAGMA temp_store = MEMORY")
    return db


def applied(db: apsw.Connection) -> dict[int, str]:
    """Return the migrations that the file has, with their checksums; none where it is empty."""
    if not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'migrations'").fetchone():
        return {}
    return dict(db.execute("SELECT number, sha256 FROM migrations"))


def migrate(db: apsw.Connection, clock: Clock, entropy: Entropy, *, empty_only: bool) -> list[Migration]:
    """Apply what is pending, in one transaction, and return it; with `empty_only`, refuse where the store has a schema.

    Raises:
        StoreError: newer or changed schema, no store at all, or `old_schema`.
    """
    ours = shipped("sqlite")
    before = applied(db)
    if not pending(ours, before):
        return []
    db.execute("BEGIN IMMEDIATE")
    try:
        before = applied(db)
        waiting = pending(ours, before)
        if before and empty_only:
            refuse_pending(waiting)
        if not before:
            _refuse_foreign(db)
            db.execute(
                "CREATE TABLE migrations ("
                "number INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL, at_us INTEGER NOT NULL)"
            )
        for migration in waiting:
            db.execute(migration.sql)
            db.execute(
                "INSERT INTO migrations (number, name, sha256, at_us) VALUES (?, ?, ?, ?)",
                (migration.number, migration.name, migration.sha256, clock.wall_us()),
            )
        if not before:
            db.execute("INSERT INTO meta (key, value) VALUES ('lineage', ?)", (entropy.take(16).hex(),))
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return waiting


def _refuse_foreign(db: apsw.Connection) -> None:
    row = db.execute("SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite%' LIMIT 1").fetchone()
    if row is not None:
        raise StoreError(
            "not_a_store",
            f"the file holds table `{row[0]}`, which is not Comity's",
            retry="never",
            hint="name another file, or one that does not exist yet",
        )


def _cannot_open(path: str, error: OSError) -> StoreError:
    return StoreError(
        "store_unreachable",
        f"the store `{path}` cannot be opened ({error.strerror})",
        hint="check that the folder exists and that you may write there",
    )


def meta(db: apsw.Connection, key: str, default: str = "") -> str:
    """Return a value of the store's own."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return str(row[0]) if row else default


def set_meta(db: apsw.Connection, key: str, value: str) -> None:
    """Write a value of the store's own."""
    db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))


class StoreClock:
    """The clock of a SQLite store: the machine's wall clock, but it never goes back, not even across a restart.

    The last value stands in meta as `clock_us`; `clock_jumps` counts how often the wall clock was found behind it, and
    `clock_jump_us` by how much the last time.
    """

    def __init__(self, clock: Clock) -> None:
        """Start from `clock`."""
        self._clock = clock
        self._last_us = 0
        self._is_behind = False

    def now_us(self) -> int:
        """Return the store's time."""
        wall_us = self._clock.wall_us()
        self._last_us = max(self._last_us, wall_us)
        return self._last_us

    def load(self, db: apsw.Connection) -> None:
        """Go on from what any process wrote last."""
        self._last_us = max(self._last_us, int(meta(db, "clock_us", "0")))

    def save(self, db: apsw.Connection) -> int:
        """Write the time, inside a transaction, and return it."""
        self.load(db)
        behind_us = self._last_us - self._clock.wall_us()
        if behind_us > 0 and not self._is_behind:
            set_meta(db, "clock_jumps", str(int(meta(db, "clock_jumps", "0")) + 1))
            set_meta(db, "clock_jump_us", str(behind_us))
        self._is_behind = behind_us > 0
        now_us = self.now_us()
        set_meta(db, "clock_us", str(now_us))
        return now_us


def checkpoint(db: apsw.Connection, *, all_of_it: bool) -> None:
    """Move the write-ahead log into the file; a busy reader or writer only makes it move less."""
    mode = apsw.SQLITE_CHECKPOINT_TRUNCATE if all_of_it else apsw.SQLITE_CHECKPOINT_PASSIVE
    try:
        db.wal_checkpoint(mode=mode)
    except (apsw.BusyError, apsw.LockedError):
        return
