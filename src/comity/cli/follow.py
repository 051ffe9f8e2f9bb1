"""Following a task: its entries as they are committed, by whatever process."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from comity.core.ids import Id
from comity.journal.entry import Entry
from comity.journal.ports import Store

PATIENCE_S = 0.1
"""How long to wait before looking anyway: a store does not ring for every entry, and leases end in silence."""


class Bell:
    """Rings when anybody has committed something to the store."""

    def __init__(self, store: Store) -> None:
        """Listen until `close`."""
        self._rang = asyncio.Event()
        self._end = store.watch(self._rang.set)

    async def wait(self, seconds: float = PATIENCE_S) -> None:
        """Return when it has rung since the last time, or after so many seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._rang.wait(), seconds)
        self._rang.clear()

    def ring(self) -> None:
        """Have whoever waits look now."""
        self._rang.set()

    def close(self) -> None:
        """Listen no more."""
        self._end()


class Follower:
    """The entries of one task, each once, in order."""

    def __init__(self, store: Store, task: Id, from_seq: int = 1) -> None:
        """Begin at entry `from_seq`."""
        self._store = store
        self._task = task
        self._next_seq = from_seq

    async def more(self) -> list[Entry]:
        """Return what was committed since the last time."""
        entries = await self._store.load(self._task, self._next_seq)
        if entries:
            self._next_seq = entries[-1].seq + 1
        return entries
