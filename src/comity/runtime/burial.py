"""The dead of this machine: nodes whose lock is free are gone with all their hands, so nobody waits for their lease."""

from __future__ import annotations

import logging
import platform
from pathlib import Path

from comity.core.ids import Id, show_id
from comity.journal.ports import NodeRow, Store
from comity.runtime.nodelock import NodeLock, is_free

ADDRESS = "lock:"
URL = " url:"

log = logging.getLogger("comity.node")


def address_of(lock: NodeLock, url: str = "") -> str:
    """Return what a node's row says of its lock, and of where its server is reached."""
    return f"{ADDRESS}{lock.path}{URL}{url}" if url else f"{ADDRESS}{lock.path}"


def url_of(row: NodeRow) -> str:
    """Return where a node's server is reached; an empty string where it has none."""
    return row.address.partition(URL)[2]


async def bury(store: Store, me: Id) -> None:
    """Declare dead the nodes of this machine that are gone, and remove their locks."""
    for row in await store.nodes():
        if row.alive and row.id != me and is_gone(row):
            log.info("node %s and its hands are gone", show_id(row.id))
            await store.declare_dead(row.id)
            _lock_of(row).unlink(missing_ok=True)


def host_name() -> str:
    """Return a name that two machines, or two boots of one, do not share."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{platform.node()}/{boot.read_text().strip() if boot.exists() else 'unknown'}"


def is_gone(row: NodeRow) -> bool:
    """Tell whether a node of this machine was seen gone with all its hands; False where that cannot be seen."""
    known = row.host == host_name() and row.address.startswith(ADDRESS)
    return known and _lock_of(row).exists() and is_free(_lock_of(row))


def _lock_of(row: NodeRow) -> Path:
    return Path(row.address.removeprefix(ADDRESS).partition(URL)[0])
