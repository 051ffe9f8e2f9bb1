"""Which store a URL names."""

from __future__ import annotations

from comity.core.clock import Clock
from comity.core.errors import UsageError
from comity.journal.ports import Store

FORMS = "`sqlite:///comity.db` (relative), `sqlite:////var/lib/comity/comity.db`, `postgresql://user@host/database`"


def open_store(url: str, *, clock: Clock | None = None) -> Store:
    """Return the store that `url` names; `await store.open()` connects it.

    Raises:
        UsageError: no store has such a URL.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        from comity.stores.sqlite import SqliteStore  # noqa: PLC0415 - a command loads only the driver that it needs

        return SqliteStore(url, clock=clock)
    if scheme in ("postgresql", "postgres") and rest:
        from comity.stores.postgres import PostgresStore  # noqa: PLC0415 - as above

        return PostgresStore(url, clock=clock)
    raise UsageError("not_a_store_url", f"`{url}` names no store", hint=f"write one of {FORMS}")
