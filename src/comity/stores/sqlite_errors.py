"""SQLite's errors, mapped to ours at the boundary."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from comity.core.errors import StoreError
from comity.stores.flusher import BAD_UNIT

_KNOWN: list[tuple[type[apsw.Error], str, str, str]] = [
    (
        apsw.BusyError,
        "store_locked",
        "another process holds the store `{path}`",
        "try again; who holds it: `fuser {path}`",
    ),
    (apsw.LockedError, "store_locked", "the store `{path}` is locked", "try again"),
    (apsw.ReadOnlyError, "store_read_only", "the store `{path}` is read-only", "make the file and its folder writable"),
    (apsw.FullError, "store_full", "no room for the store `{path}`", "free space on its disk; nothing was lost"),
    (apsw.CantOpenError, "store_unreachable", "the store `{path}` cannot be opened", "check that the folder exists"),
    (apsw.NotADBError, "not_a_store", "`{path}` is no SQLite file", "name another file"),
    (apsw.CorruptError, "store_damaged", "the store `{path}` is damaged", "run `comity store check`, restore a backup"),
    (apsw.IOError, "store_io", "the disk of `{path}` fails", "look at the system's log; nothing was acknowledged"),
]
_NEVER = frozenset({"not_a_store", "store_damaged", "store_read_only"})


@contextmanager
def sqlite_errors(path: str) -> Iterator[None]:
    """Raise `StoreError` with a code and a way out for what SQLite, or the conversion of values for it, raises."""
    try:
        yield
    except apsw.Error as error:
        for kind, code, message, hint in _KNOWN:
            if isinstance(error, kind):
                raise StoreError(
                    code,
                    f"{message.format(path=path)} ({error})",
                    retry="never" if code in _NEVER else "redo",
                    hint=hint.format(path=path),
                ) from error
        raise _bad_unit(error) from error
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        raise _bad_unit(error) from error


def _bad_unit(error: Exception) -> StoreError:
    return StoreError(BAD_UNIT, f"SQLite cannot write this: {error}", retry="never", hint="correct the value")
