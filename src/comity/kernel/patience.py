"""A store as runs see it: asked again until it answers, so that no task breaks while it is away (promise P10)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from comity.core.clock import Clock
from comity.core.codec import Digest
from comity.core.errors import StoreError
from comity.core.ids import Id
from comity.journal.entry import Entry
from comity.journal.ports import NodeRow, Store
from comity.journal.segment import Segment
from comity.journal.task import TaskRow
from comity.journal.unit import Answer, Message, StateRow, Unit

T = TypeVar("T")

_PAUSES_S = (0.05, 0.2, 0.5, 1.0, 2.0)


async def patiently(clock: Clock, act: Callable[[], Awaitable[T]]) -> T:
    """Return what `act` gives; where the store is full or out of reach, try again until it answers.

    Raises:
        StoreError: no retry will help.
    """
    tries = 0
    while True:
        try:
            return await act()
        except StoreError as error:
            if error.retry != "redo":
                raise
            await clock.sleep(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
            tries += 1


class Patient:
    """The part of a `Store` that runs use, each method patient."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Ask `store`."""
        self._store = store
        self._clock = clock

    async def commit(self, units: Sequence[Unit]) -> Sequence[Answer]:
        """Write each unit or nothing of it; only for units that are fenced, or change nothing the second time."""
        return await patiently(self._clock, lambda: self._store.commit(units))

    async def put_segments(self, tenant: str, segments: Sequence[Segment]) -> None:
        """Write large segments."""
        await patiently(self._clock, lambda: self._store.put_segments(tenant, segments))

    async def segments(self, tenant: str, hashes: Sequence[Digest]) -> list[bytes]:
        """Return contents in the order of `hashes`."""
        return await patiently(self._clock, lambda: self._store.segments(tenant, hashes))

    async def load(self, task: Id, from_seq: int = 1) -> list[Entry]:
        """Return a task's entries from `from_seq` on."""
        return await patiently(self._clock, lambda: self._store.load(task, from_seq))

    async def nodes(self) -> list[NodeRow]:
        """Return all nodes."""
        return await patiently(self._clock, self._store.nodes)

    async def task(self, task: Id) -> TaskRow | None:
        """Return a task's row."""
        return await patiently(self._clock, lambda: self._store.task(task))

    async def inbox(self, task: Id) -> list[Message]:
        """Return the messages that no entry has consumed."""
        return await patiently(self._clock, lambda: self._store.inbox(task))

    async def state(self, namespace: str, key: str) -> StateRow | None:
        """Return a state row."""
        return await patiently(self._clock, lambda: self._store.state(namespace, key))

    async def states(self, namespace: str, prefix: str = "") -> list[StateRow]:
        """Return the state rows of a namespace whose keys begin with `prefix`."""
        return await patiently(self._clock, lambda: self._store.states(namespace, prefix))
