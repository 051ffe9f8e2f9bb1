"""The writer of one task's journal: entries in order, one append at a time, outcomes of reads riding with the next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from comity.core.clock import Clock
from comity.core.errors import Stopped
from comity.core.ids import Id
from comity.core.limits import SEGMENT_EARLY_BYTES
from comity.journal.entry import Body, Entry, entry
from comity.journal.ports import Store
from comity.journal.segment import Payload, Segment, payload
from comity.journal.task import NewTask, TaskRow
from comity.journal.unit import Fenced, Guard, GuardFailed, Message, StateWrite, TaskSubject, Transition, Unit
from comity.journal.verdict import Park
from comity.kernel.ledger import Ledger
from comity.kernel.patience import patiently

Item = tuple[str, str, Body]
"""Branch, kind and body of an entry to be."""
OnEntry = Callable[[Id, Entry, Body], None]
"""Is told, with the task, of each entry that is appended, or will be with the next append."""


class With(msgspec.Struct, frozen=True):
    """What an append carries besides entries."""

    guards: tuple[Guard, ...] = ()
    state: tuple[StateWrite, ...] = ()
    spawns: tuple[NewTask, ...] = ()
    sends: tuple[Message, ...] = ()
    consumes: tuple[int, ...] = ()
    segments: tuple[Segment, ...] = ()
    transition: Transition | None = None


NOTHING_MORE = With()


class Withheld(msgspec.Struct, frozen=True):
    """Nothing was written: what had been judged before no longer held when the append's turn came."""

    verdict: Park


class Journal:
    """Appends to one task's journal and folds each durable entry into its ledger."""

    def __init__(
        self, store: Store, clock: Clock, row: TaskRow, ledger: Ledger, on_entry: Sequence[OnEntry] = ()
    ) -> None:
        """Write as the owner that `row` names; `ledger` is folded up to the last entry, `on_entry` told of the next."""
        self._store = store
        self._clock = clock
        self._row = row
        self._on_entry = on_entry
        self._lock = asyncio.Lock()
        self._riding: list[Entry] = []
        self._riding_segments: list[Segment] = []
        self.ledger = ledger
        self.is_lost = False

    async def append(
        self,
        items: Sequence[Item],
        extra: With | Callable[[int], With] = NOTHING_MORE,
        still: Callable[[], Park | None] | None = None,
    ) -> GuardFailed | Withheld | None:
        """Make `items`, and what rides, durable; None is success. `extra` may depend on the seq of the first item.

        `still` is asked last, when nobody else can append: where it answers a verdict, that is the answer and nothing
        is written.

        A store that is full or out of reach is tried again until it answers (promise P10); the caller's permit may
        run out meanwhile.

        Raises:
            Stopped: the task is no longer this node's. Nothing was written.
        """
        async with self._lock:
            if self.is_lost:
                raise Stopped("the task has another owner")
            if still is not None and (verdict := still()) is not None:
                return Withheld(verdict)
            at_us = self._clock.wall_us()
            seq = self.ledger.last_seq
            entries = [entry(seq + n, branch, kind, at_us, body) for n, (branch, kind, body) in enumerate(items, 1)]
            if not isinstance(extra, With):
                extra = extra(seq + 1)
            unit = Unit(
                TaskSubject(self._row.id, self._row.lease_id, self._row.epoch, seq - len(self._riding)),
                (*self._riding, *entries),
                extra.guards,
                (*self._riding_segments, *extra.segments),
                self._row.tenant,
                extra.state,
                extra.spawns,
                extra.sends,
                extra.consumes,
                extra.transition,
            )
            answer = await self._commit(unit)
            if type(answer) is GuardFailed:
                return answer
            if type(answer) is Fenced:
                self.is_lost = True
                raise Stopped(answer.why)
            self._riding.clear()
            self._riding_segments.clear()
            for made, (_, _, body) in zip(entries, items, strict=True):
                self._apply(made, body)
            return None

    async def ride(self, branch: str, kind: str, body: Body, segments: Sequence[Segment] = ()) -> int:
        """Add an entry that becomes durable with the next append; return its seq."""
        async with self._lock:
            if self.is_lost:
                raise Stopped("the task has another owner")
            made = entry(self.ledger.last_seq + 1, branch, kind, self._clock.wall_us(), body)
            self._riding.append(made)
            self._riding_segments.extend(segments)
            self._apply(made, body)
            return made.seq

    async def keep(self, data: bytes) -> tuple[Payload, tuple[Segment, ...]]:
        """Return the payload for `data` and the segment that must be written with it; a large one is written now."""
        held, extra = payload(data)
        if extra is None:
            return held, ()
        if held.size > SEGMENT_EARLY_BYTES:
            await self.write_early((extra,))
            return held, ()
        return held, (extra,)

    async def write_early(self, segments: Sequence[Segment]) -> None:
        """Write large segments ahead of the entries that will point to them."""
        await patiently(self._clock, lambda: self._store.put_segments(self._row.tenant, segments))

    def _apply(self, made: Entry, body: Body) -> None:
        self.ledger.apply(made, body)
        for told in self._on_entry:
            told(self._row.id, made, body)

    async def _commit(self, unit: Unit) -> object:
        answers = await patiently(self._clock, lambda: self._store.commit([unit]))
        return answers[0]
