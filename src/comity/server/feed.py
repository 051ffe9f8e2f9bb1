"""The feed: one reader of the store's log for all who watch a task or the log on this node.

Whoever begins reads from the store up to the present and is then told what the reader finds; whoever is too slow goes
back to the store. So nobody misses an entry or sees one twice, and nobody's queue grows. An idle watcher costs its
place in a set: no task, no timer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from itertools import groupby

import msgspec

from comity.core.clock import Clock
from comity.core.errors import UsageError
from comity.core.ids import Id
from comity.journal.call import Permit
from comity.journal.entry import Logged
from comity.journal.ports import Store
from comity.kernel.bell import Bell
from comity.kernel.patience import patiently
from comity.server.event import Event, LiveDocument, LiveEvent, of_end, of_entry, of_logged
from comity.server.wheel import Wheel

POLL_S = 0.25
"""How often the log is read though nobody rang: commits of other processes may come without news."""
PAUSE_S = 0.01
"""At least so long between two reads: what is committed meanwhile is read at once."""
PAGE = 200
QUEUE_MAX = 64
"""A watcher with more events than this before it goes back to the store."""
READS_MAX = 8
"""So many watchers read from the store at a time."""
PASSING_CHARS_MAX = 1_000_000
"""Of what passes, so much is kept until the next read; more is dropped."""
WATCHERS_MAX = 50_000
NAMES_MAX = 10_000

log = logging.getLogger("comity.feed")


class Which(msgspec.Struct, frozen=True):
    """Which tasks' entries of the log are watched: every given name must be the task's."""

    agent: str = ""
    tenant: str = ""
    session: str = ""

    def covers(self, names: Which) -> bool:
        """Tell whether a task of these names is one of them."""
        return all(
            not wanted or wanted == given
            for wanted, given in zip(msgspec.structs.astuple(self), msgspec.structs.astuple(names), strict=True)
        )


ALL = Which()


class Watcher:
    """Somebody who follows the journal of `task`, or with `task` empty the log, from place `next` on.

    `on_news` is called when there may be something to `Feed.take`. `is_over` says that nothing more will come: the task
    has ended and its watcher knows, or the feed has.
    """

    __slots__ = ("has_missed", "is_behind", "is_over", "next", "on_news", "queue", "task", "which")

    def __init__(self, next: int, on_news: Callable[[], None], task: Id = b"", which: Which = ALL) -> None:
        """Begin at `next`, behind the present."""
        self.task = task
        self.which = which
        self.next = next
        self.on_news = on_news
        self.queue: list[Event] = []
        self.is_behind = True
        self.has_missed = False
        self.is_over = False

    def tell(self, event: Event) -> None:
        """Queue an event that the reader found, unless it is known, or this watcher reads the store anyway."""
        if self.is_behind:
            self.has_missed = self.has_missed or event.number is not None
            return
        if event.number is None:
            if len(self.queue) >= QUEUE_MAX:
                return
        elif event.number < self.next:
            return
        else:
            self.next = event.number + 1
        self.queue.append(event)
        self.is_behind = event.is_last
        if len(self.queue) > QUEUE_MAX:
            self._fall_behind()
        if len(self.queue) == 1 or self.is_behind:
            self.on_news()

    def must_read(self) -> bool:
        """Tell whether what comes next is in the store."""
        return self.is_behind and not self.is_over

    def _fall_behind(self) -> None:
        """Forget the queue: it is in the store, but for what passes."""
        self.next = next((event.number for event in self.queue if event.number is not None), self.next)
        self.queue.clear()
        self.is_behind = True


class FeedStatistics(msgspec.Struct, frozen=True):
    """How a feed stands: who watches, how many of them read from the store now, how often it was read for all."""

    watchers: int
    behind: int
    reads: int


class Feed:
    """Tells watchers of what is committed, by whatever node, and of what passes on this one (as a `Listener`)."""

    def __init__(self, store: Store, clock: Clock, watchers_max: int = WATCHERS_MAX) -> None:
        """Read `store` once somebody watches."""
        self.wheel = Wheel(clock)
        self._is_closed = False
        self._store = store
        self._clock = clock
        self._watchers_max = watchers_max
        self._bell = Bell(clock)
        self._of_task: dict[Id, set[Watcher]] = {}
        self._of_log: set[Watcher] = set()
        self._watching: set[Watcher] = set()
        self._position = 0
        self._reads = 0
        self._reading: asyncio.Task[None] | None = None
        self._has_begun = asyncio.Event()
        self._turns = asyncio.Semaphore(READS_MAX)
        self._names: dict[Id, Which] = {}
        self._passing: list[tuple[Id, LiveDocument]] = []
        self._passing_chars = 0

    def join(self, watcher: Watcher) -> None:
        """Tell `watcher` what happens from now on; what happened before, it takes from the store.

        Raises:
            UsageError: there are too many.
        """
        if len(self._watching) >= self._watchers_max:
            raise UsageError(
                "too_many_watchers", f"`{self._watchers_max}` watch this node already", retry="redo", hint="try later"
            )
        if self._is_closed:
            watcher.is_over = True
            return
        self._watching.add(watcher)
        (self._of_task.setdefault(watcher.task, set()) if watcher.task else self._of_log).add(watcher)
        if self._reading is None or self._reading.done():
            self._has_begun.clear()
            self._reading = asyncio.ensure_future(self._read())
            self._reading.add_done_callback(self._has_stopped)

    def leave(self, watcher: Watcher) -> None:
        """Tell it nothing more."""
        self._watching.discard(watcher)
        self._of_log.discard(watcher)
        followers = self._of_task.get(watcher.task, set())
        followers.discard(watcher)
        if not followers:
            self._of_task.pop(watcher.task, None)

    def followers(self, task: Id) -> int:
        """Return how many watch a task."""
        return len(self._of_task.get(task, ()))

    async def take(self, watcher: Watcher) -> list[Event]:
        """Return what `watcher` was not given yet, in order, at most a page of it; nothing where it is up to date."""
        if watcher.queue:
            events, watcher.queue = watcher.queue, []
            return events
        if watcher.must_read():
            await self._has_begun.wait()
            async with self._turns:
                while watcher.must_read():
                    watcher.has_missed = False
                    events = await (self._read_task(watcher) if watcher.task else self._read_log(watcher))
                    if events:
                        return events
        return []

    async def position(self) -> int:
        """Return where the log ends now."""
        return await patiently(self._clock, self._store.position)

    async def close(self) -> None:
        """End it for every watcher."""
        self._is_closed = True
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self.wheel.close()
        self._let_go()

    def statistics(self) -> FeedStatistics:
        """Return how the feed stands. Cost: a look at every watcher."""
        return FeedStatistics(len(self._watching), sum(one.is_behind for one in self._watching), self._reads)

    # What passes on this node

    def log(self, text: str, task: Id | None) -> None:
        """Leave the log alone."""

    def progress(self, task: Id, text: str, fraction: float | None) -> None:
        """Pass on a word of progress."""
        self._pass(task, LiveDocument("progress", text, fraction))

    def delta(self, task: Id, permit: Permit, text: str) -> None:
        """Pass on a piece of what a model says; pieces of one attempt that come together are told as one."""
        if text:
            self._pass(task, LiveDocument("delta", text, call=permit.call, attempt=permit.attempt))

    def _pass(self, task: Id, document: LiveDocument) -> None:
        if task in self._of_task and self._passing_chars < PASSING_CHARS_MAX:
            self._passing_chars += len(document.text)
            self._passing.append((task, document))
            self._bell.ring()

    # The reader

    async def _read(self) -> None:
        """Read the log and tell of it, while anybody watches.

        What passed before a read began is told after what was committed before it passed.
        """
        self._position = await self.position()
        self._has_begun.set()
        unwatch = self._store.watch(self._bell.ring, every=True)
        try:
            while self._watching:
                heard = self._bell.count
                passing, self._passing, self._passing_chars = self._passing, [], 0
                await self._tell_committed()
                for task, document in _merged(passing):
                    self._tell_task(task, Event(LiveEvent(document)))
                await self._clock.sleep(PAUSE_S)
                await self._bell.wait(heard, POLL_S)
        finally:
            unwatch()

    def _has_stopped(self, reading: asyncio.Task[None]) -> None:
        """Let the watchers of a reader that broke go: they come again, and begin from the store."""
        if not reading.cancelled() and (error := reading.exception()) is not None:
            log.error("the feed was cut", exc_info=error)
            self._let_go()

    def _let_go(self) -> None:
        self._has_begun.set()
        for watcher in tuple(self._watching):
            watcher.is_over = True
            watcher.on_news()

    async def _tell_committed(self) -> None:
        is_more = True
        while is_more:
            page = await patiently(self._clock, lambda: self._store.log(self._position, PAGE))
            self._reads += 1
            is_chosen = any(watcher.which != ALL for watcher in self._of_log)
            names = [await self._names_of(item.task) if is_chosen else ALL for item in page]
            for item, name in zip(page, names, strict=True):
                if item.task in self._of_task:
                    self._tell_task(item.task, of_entry(item.entry))
                if self._of_log:
                    self._tell_log(item, name)
                self._position = item.position
            is_more = len(page) == PAGE

    def _tell_task(self, task: Id, event: Event) -> None:
        for watcher in tuple(self._of_task.get(task, ())):
            watcher.tell(event)

    def _tell_log(self, item: Logged, names: Which) -> None:
        event = of_logged(item)
        for watcher in tuple(self._of_log):
            if watcher.which.covers(names):
                watcher.tell(event)

    # Those who are behind

    async def _read_task(self, watcher: Watcher) -> list[Event]:
        entries = await patiently(self._clock, lambda: self._store.load(watcher.task, watcher.next, PAGE))
        row = await patiently(self._clock, lambda: self._store.task(watcher.task))
        watcher.is_behind = len(entries) == PAGE or watcher.has_missed
        events = [of_entry(item) for item in entries]
        if entries:
            watcher.next = entries[-1].seq + 1
        watcher.is_over = watcher.is_over or row is None  # pruned meanwhile
        if row is not None and row.state.ended and watcher.next > row.last_seq:
            watcher.is_over = True
            events.append(of_end(row))
        return events

    async def _read_log(self, watcher: Watcher) -> list[Event]:
        page = await patiently(self._clock, lambda: self._store.log(watcher.next - 1, PAGE))
        is_all = watcher.which == ALL
        events = [of_logged(item) for item in page if is_all or watcher.which.covers(await self._names_of(item.task))]
        watcher.is_behind = len(page) == PAGE or watcher.has_missed
        if page:
            watcher.next = page[-1].position + 1
        return events

    async def _names_of(self, task: Id) -> Which:
        """Return whose a task is, which never changes."""
        found = self._names.get(task)
        if found is None:
            row = await patiently(self._clock, lambda: self._store.task(task))
            found = ALL if row is None else Which(row.agent, row.tenant, row.session)
            if len(self._names) >= NAMES_MAX:
                self._names.clear()
            self._names[task] = found
        return found


def _merged(passing: list[tuple[Id, LiveDocument]]) -> Iterator[tuple[Id, LiveDocument]]:
    """Yield what passes, pieces of one attempt's text that follow each other as one."""
    for (task, call, attempt), group in groupby(passing, key=lambda item: (item[0], item[1].call, item[1].attempt)):
        if call is None:
            yield from group
        else:
            yield task, LiveDocument("delta", "".join(item.text for _, item in group), call=call, attempt=attempt)
