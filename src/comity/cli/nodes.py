"""Whether somebody works on a store: nodes whose lease has not run out, less those seen gone on this machine."""

from __future__ import annotations

from pathlib import Path

from comity.journal.ports import NodeRow, Store
from comity.runtime.nodelock import is_free

LOCK = "lock:"


async def nodes_up(store: Store) -> list[NodeRow]:
    """Return the nodes that are up. One that was killed here a moment ago is none, though its lease still runs."""
    return [node for node in await store.nodes() if node.alive and not _is_gone(node)]


def _is_gone(node: NodeRow) -> bool:
    path = Path(node.address.removeprefix(LOCK))
    return node.address.startswith(LOCK) and path.exists() and is_free(path)
