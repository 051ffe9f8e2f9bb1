"""Group commit: what queued up while the last commit ran goes into the next one. There is no timer.

A batch is written inline on the event loop (`write_now`) where the store says that this is quick, else by `write`. One
with something in it that cannot be written is halved until that alone fails. A waiter that is cancelled harms nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from comity.core.errors import StoreError
from comity.core.limits import BATCH_BYTES_MAX, BATCH_ROWS_MAX
from comity.journal.unit import Unit

Work = TypeVar("Work")

BAD_UNIT = "bad_unit"
"""Code of the error for work that no retry makes writable."""

LEFT: Any = object()
"""The answer for an item that was not written yet."""


class FlushStatistics(msgspec.Struct, frozen=True):
    """What a flusher did so far: batches, and the items in them."""

    batches: int
    items: int
    queued: int


class _Item(Generic[Work]):
    __slots__ = ("bytes", "future", "rows", "work")

    def __init__(self, work: Work, rows: int, size: int, future: asyncio.Future[Any]) -> None:
        self.work = work
        self.rows = rows
        self.bytes = size
        self.future = future


class Flusher(Generic[Work]):
    """Writes work in batches, in the order in which it came."""

    def __init__(
        self,
        write: Callable[[list[Work]], Awaitable[Sequence[Any]]],
        write_now: Callable[[list[Work]], Sequence[Any] | None] | None = None,
        on_flushed: Callable[[], None] | None = None,
    ) -> None:
        """Write through `write`; `write_now` may answer None to leave a batch to it. `on_flushed` hears of commits.

        `write` may answer `LEFT` for some items of a batch: it did not touch them, and is given them again.
        """
        self._write = write
        self._write_now = write_now
        self._on_flushed = on_flushed
        self._queue: deque[_Item[Work]] = deque()
        self._is_busy = False
        self._is_closed = False
        self._worker: asyncio.Task[None] | None = None
        self._drained: list[asyncio.Future[None]] = []
        self._batches = 0
        self._items = 0

    def submit(self, work: Work, rows: int, size: int) -> asyncio.Future[Any]:
        """Queue work of so many rows and bytes; the future gets its answer when it is durable."""
        if self._is_closed:
            raise StoreError("store_closed", "the store is closed", retry="never", hint="open it again")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._queue.append(_Item(work, rows, size, future))
        if not self._is_busy:
            self._is_busy = True
            loop.call_soon(self._turn)
        return future

    async def close(self) -> None:
        """Write what is queued, then refuse more."""
        self._is_closed = True
        if self._is_busy:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._drained.append(future)
            await future

    def statistics(self) -> FlushStatistics:
        """Return what was done so far."""
        return FlushStatistics(self._batches, self._items, len(self._queue))

    def _turn(self) -> None:
        batch = self._next_batch()
        if not batch:
            self._is_busy = False
            for future in self._drained:
                future.set_result(None)
            self._drained.clear()
            return
        if self._write_now is not None and self._flush_now(batch):
            asyncio.get_running_loop().call_soon(self._turn)
        else:
            self._worker = asyncio.get_running_loop().create_task(self._flush(batch))

    def _next_batch(self) -> list[_Item[Work]]:
        batch: list[_Item[Work]] = []
        rows = size = 0
        queue = self._queue
        while queue:
            item = queue[0]
            rows += item.rows
            size += item.bytes
            if batch and (rows > BATCH_ROWS_MAX or size > BATCH_BYTES_MAX):
                break
            batch.append(queue.popleft())
        return batch

    def _flush_now(self, batch: list[_Item[Work]]) -> bool:
        assert self._write_now is not None
        try:
            answers = self._write_now([item.work for item in batch])
        except (StoreError, AssertionError) as error:
            if len(batch) > 1 and _is_of_one_item(error):
                return False
            _fail(batch, error)
            return True
        except BaseException as error:
            _fail(batch, error)
            asyncio.get_running_loop().call_soon(self._turn)
            raise
        if answers is None:
            return False
        self._answer(batch, answers)
        return True

    async def _flush(self, batch: list[_Item[Work]]) -> None:
        try:
            await self._write_or_halve(batch)
        except BaseException as error:
            _fail(batch, error)
            raise
        finally:
            asyncio.get_running_loop().call_soon(self._turn)

    async def _write_or_halve(self, batch: list[_Item[Work]]) -> None:
        try:
            answers = await self._write([item.work for item in batch])
        except (StoreError, AssertionError) as error:
            if len(batch) == 1 or not _is_of_one_item(error):
                _fail(batch, error)
                return
        else:
            left = self._answer(batch, answers)
            if left:
                await self._write_or_halve(left)
            return
        middle = len(batch) // 2
        await self._write_or_halve(batch[:middle])
        await self._write_or_halve(batch[middle:])

    def _answer(self, batch: list[_Item[Work]], answers: Sequence[Any]) -> list[_Item[Work]]:
        left: list[_Item[Work]] = []
        for item, answer in zip(batch, answers, strict=True):
            if answer is LEFT:
                left.append(item)
            elif not item.future.done():
                item.future.set_result(answer)
        self._batches += 1
        self._items += len(batch) - len(left)
        if self._on_flushed is not None:
            self._on_flushed()
        return left


def _is_of_one_item(error: BaseException) -> bool:
    return isinstance(error, AssertionError) or (isinstance(error, StoreError) and error.code == BAD_UNIT)


def _fail(batch: Sequence[_Item[Any]], error: BaseException) -> None:
    for item in batch:
        if not item.future.done():
            item.future.set_exception(error)
            item.future.exception()  # a waiter that was cancelled does not look


async def commit_units(submit: Callable[[Unit], asyncio.Future[Any]], units: Sequence[Unit]) -> list[Any]:
    """Queue units and return their answers; where one failed, its error is raised once all have an answer.

    Cancelling the waiter changes nothing about what is written.
    """
    futures = [submit(unit) for unit in units]
    if len(futures) == 1:
        return [await futures[0]]
    answers = await asyncio.gather(*futures, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers


def weigh(unit: Unit) -> tuple[int, int]:
    """Return about how many rows and bytes a unit writes."""
    size = 0
    for entry in unit.entries:
        size += len(entry.body) + 64
    rows = 1 + len(unit.entries)
    if unit.segments:
        rows += len(unit.segments)
        size += sum(len(segment.data) for segment in unit.segments)
    for spawn in unit.spawns:
        rows += 1 + len(spawn.entries)
        size += 400 + sum(len(entry.body) + 64 for entry in spawn.entries)
    if unit.sends or unit.state:
        rows += len(unit.sends) + len(unit.state)
        size += sum(len(message.value) + 100 for message in unit.sends)
        size += sum(len(write.value or b"") + 100 for write in unit.state)
    return rows, size
