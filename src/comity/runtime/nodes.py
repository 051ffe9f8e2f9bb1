"""Whether somebody works on a store: nodes whose lease has not run out, less those seen gone on this machine."""

from __future__ import annotations

from comity.journal.ports import NodeRow, Store
from comity.runtime.burial import is_gone


async def nodes_up(store: Store) -> list[NodeRow]:
    """Return the nodes that are up. One that was killed here a moment ago is none, though its lease still runs."""
    return [node for node in await store.nodes() if node.alive and not is_gone(node)]
