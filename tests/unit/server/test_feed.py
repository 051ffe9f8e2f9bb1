"""The feed: every entry once and in order to each watcher, on every store, however slow it is."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from comity.core.errors import StoreError, UsageError
from comity.core.ids import Id
from comity.journal.call import Kind, Permit
from comity.journal.entry import Ended, entry
from comity.journal.task import State, TaskRow
from comity.journal.unit import Transition, Unit
from comity.server import feed as feeds
from comity.server.event import EndEvent, Event, LiveEvent
from comity.server.feed import Feed, Watcher, Which
from contract.world import OPERATOR, STORES, World, append, name_id, new_task, on_every_store, subject


@pytest.fixture(params=STORES)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(request.param, tmp_path)


class Reader:
    """A watcher that takes at once whatever it is rung for."""

    def __init__(self, feed: Feed, start: int = 1, task: Id = b"", which: Which = feeds.ALL) -> None:
        self.feed = feed
        self.watcher = Watcher(start, self._ring, task, which)
        self.events: list[Event] = []
        self._rung = asyncio.Event()
        self._came = asyncio.Condition()
        feed.join(self.watcher)
        self._ring()
        self._task = asyncio.ensure_future(self._run())

    def _ring(self) -> None:
        self._rung.set()

    async def _run(self) -> None:
        while not self.watcher.is_over:
            await self._rung.wait()
            self._rung.clear()
            while events := await self.feed.take(self.watcher):
                async with self._came:
                    self.events += events
                    self._came.notify_all()

    @property
    def numbers(self) -> list[int]:
        return [event.number for event in self.events if event.number is not None]

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(10), self._came:
            await self._came.wait_for(lambda: condition(self))

    async def until_seen(self, number: int) -> None:
        await self.until(lambda reader: number in reader.numbers)

    async def leave(self) -> None:
        self.feed.leave(self.watcher)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def end(world: World, task: Id, state: State = State.SUCCEEDED) -> None:
    row = await world.row(task)
    entries = (entry(row.last_seq + 1, "", Kind.TASK, 1, Ended(state)),)
    await world.commit(Unit(subject(row), entries=entries, transition=Transition(state)))


async def grow(world: World, row: TaskRow, count: int = 1) -> None:
    await world.commit(append(await world.row(row.id), count))


# ---- every store -------------------------------------------------------------------------------------------


@on_every_store
async def test_a_watcher_gets_what_was_there_and_what_comes_then_the_end(world: World):
    feed = Feed(world.store, feeds_clock())
    row = await world.held("a", entries=3)
    reader = Reader(feed, task=row.id)
    await reader.until_seen(3)
    for _ in range(5):
        await grow(world, row)
        await reader.until_seen((await world.row(row.id)).last_seq)
    await end(world, row.id)
    await reader.until(lambda reader: reader.watcher.is_over)
    assert reader.numbers == list(range(1, 10))
    assert isinstance(reader.events[-1].document, EndEvent)
    assert reader.events[-1].document.data.state is State.SUCCEEDED
    await reader.leave()
    await feed.close()


@on_every_store
async def test_from_any_place_on_nothing_is_missed_or_told_twice(world: World):
    feed = Feed(world.store, feeds_clock())
    row = await world.held("a", entries=4)
    readers = [Reader(feed, start, row.id) for start in range(1, 8)]
    other = await world.held("b")
    await grow(world, row, 3)
    await grow(world, other, 3)
    await end(world, row.id)
    for start, reader in enumerate(readers, 1):
        await reader.until(lambda reader: reader.watcher.is_over)
        assert reader.numbers == list(range(start, 9))
        await reader.leave()
    await feed.close()


@on_every_store
async def test_the_log_is_told_in_order_to_whom_it_concerns(world: World):
    feed = Feed(world.store, feeds_clock())
    one = await world.held("one", session="s", tenant="t")
    position = await world.store.position()
    two = await world.held("two")
    everything = Reader(feed)
    mine = Reader(feed, which=Which(tenant="t", session="s"))
    later = Reader(feed, position + 1)
    for row in (one, two, two, one):
        await grow(world, row)
    logged = await world.store.log(0, 100)
    wanted = [item.position for item in logged]
    for reader in (everything, later):
        await reader.until_seen(wanted[-1])
    await mine.until_seen(wanted[-1])
    assert everything.numbers == wanted
    assert later.numbers == [number for number in wanted if number > position]
    assert mine.numbers == [item.position for item in logged if item.task == one.id]
    assert everything.events[0].document.data.seq == 1
    await feed.close()


@on_every_store
async def test_what_another_store_object_commits_is_told_too(world: World):
    feed = Feed(world.store, feeds_clock())
    task = await world.new("a")
    reader = Reader(feed, task=task)
    everything = Reader(feed)
    await reader.until_seen(1)
    other = world.another()
    if world.kind != "memory":
        await other.open()
    await other.commit([Unit(OPERATOR, spawns=(new_task("b"),))])
    await everything.until(lambda reader: len(reader.numbers) == 2)
    if world.kind != "memory":
        await other.close()
    await feed.close()


def feeds_clock() -> Any:
    from comity.core.clock import SystemClock

    return SystemClock()


# ---- one store, time in hand -------------------------------------------------------------------------------


class Small(World):
    """A world in memory whose feed runs on its clock."""

    def __init__(self) -> None:
        super().__init__("memory", Path())
        self.feed = Feed(self.store, self.clock)

    async def pass_time(self) -> None:
        await self.clock.advance(2 * feeds.POLL_S)


async def test_a_slow_watcher_holds_a_bounded_queue_and_still_gets_everything():
    world = Small()
    row = await world.held("a")
    watcher = Watcher(1, lambda: None, row.id)
    world.feed.join(watcher)
    taken = await take_all(world.feed, watcher)
    for _ in range(feeds.QUEUE_MAX * 3):
        await grow(world, row)
        await world.clock.advance(0.1)
        assert len(watcher.queue) <= feeds.QUEUE_MAX
    assert watcher.is_behind
    taken += await take_all(world.feed, watcher)
    assert [event.number for event in taken] == list(range(1, feeds.QUEUE_MAX * 3 + 2))
    assert not watcher.is_behind
    await world.feed.close()


async def take_all(feed: Feed, watcher: Watcher) -> list[Event]:
    taken: list[Event] = []
    while events := await feed.take(watcher):
        taken += events
    return taken


async def test_a_long_journal_is_read_in_pages():
    world = Small()
    row = await world.held("a", entries=feeds.PAGE + 5)
    watcher = Watcher(1, lambda: None, row.id)
    world.feed.join(watcher)
    assert len(await world.feed.take(watcher)) == feeds.PAGE
    assert len(await world.feed.take(watcher)) == 5
    assert await world.feed.take(watcher) == []
    await world.feed.close()


async def test_any_interleaving_of_appends_reads_and_losses_tells_each_entry_once(request: pytest.FixtureRequest):
    chance = random.Random(request.config.option.hypothesis_seed)
    for _ in range(40):
        world = Small()
        rows = [await world.held(name) for name in ("a", "b")]
        seen: dict[int, list[int]] = {0: [], 1: []}
        watchers = {which: join(world.feed, rows[which].id, 1) for which in seen}
        for _ in range(60):
            which = chance.randrange(2)
            act = chance.randrange(5)
            if act < 2:
                await grow(world, rows[which], chance.choice((1, 1, 3, 80)))
            elif act == 2:
                seen[which] += [event.number for event in await world.feed.take(watchers[which])]
            elif act == 3:
                world.feed.leave(watchers[which])
                watchers[which] = join(world.feed, rows[which].id, (seen[which] or [0])[-1] + 1)
            else:
                await world.clock.advance(chance.choice((0.0, 0.02, 0.3)))
        await world.pass_time()
        for which, watcher in watchers.items():
            seen[which] += [event.number for event in await take_all(world.feed, watcher)]
            assert seen[which] == list(range(1, (await world.row(rows[which].id)).last_seq + 1))
        await world.feed.close()


def join(feed: Feed, task: Id, start: int) -> Watcher:
    watcher = Watcher(start, lambda: None, task)
    feed.join(watcher)
    return watcher


@pytest.mark.parametrize("is_log", [False, True])
async def test_what_is_committed_while_a_watcher_reads_reaches_it_too(is_log: bool):
    world = Small()
    row = await world.held("a")
    others = join(world.feed, row.id, 1)
    await world.pass_time()
    gate, store = asyncio.Event(), Reading(world.store)
    world.feed._store = store.paused_at(gate, "log" if is_log else "load")
    reader = Reader(world.feed, task=b"" if is_log else row.id)
    await world.clock.settle()
    world.feed._store = world.store
    await grow(world, row)
    await world.pass_time()
    assert await take_all(world.feed, others)
    gate.set()
    await world.pass_time()
    assert reader.numbers == [1, 2]
    await world.feed.close()


async def test_an_end_that_comes_between_two_reads_is_told():
    world = Small()
    row = await world.held("a")
    join(world.feed, row.id, 1)
    await world.pass_time()
    row_gate, log_gate, store = asyncio.Event(), asyncio.Event(), Reading(world.store)
    store.paused_at(row_gate, "task")
    world.feed._store = store.paused_at(log_gate, "log")
    reader = Reader(world.feed, 1, row.id)
    await world.clock.settle()
    await end(world, row.id)
    world.feed._store = world.store
    row_gate.set()
    await world.clock.settle()
    log_gate.set()
    await world.pass_time()
    assert [event.number for event in reader.events] == [1, 2, None]
    assert reader.watcher.is_over
    await world.feed.close()


class Reading:
    """A store, one of whose reads is answered late: what it read is old by then."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def paused_at(self, gate: asyncio.Event, name: str) -> Any:
        read = getattr(self._store, name)

        async def late(*args: Any) -> Any:
            found = await read(*args)
            await gate.wait()
            return found

        setattr(self, name, late)
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_a_long_journal_of_an_ended_task_ends_with_its_last_page():
    world = Small()
    row = await world.held("a", entries=2 * feeds.PAGE + 5)
    await end(world, row.id)
    reader = Reader(world.feed, 1, row.id)
    await world.pass_time()
    assert reader.numbers == list(range(1, 2 * feeds.PAGE + 7))
    assert isinstance(reader.events[-1].document, EndEvent)
    await world.feed.close()


async def test_a_large_commit_is_read_to_its_end_at_once():
    world = Small()
    row = await world.held("a")
    reader = Reader(world.feed, 1, row.id)
    await world.pass_time()
    reads = world.feed.statistics().reads
    await grow(world, row, 3 * feeds.PAGE - 1)
    await world.clock.settle()
    assert world.feed.statistics().reads == reads + 3
    assert reader.numbers == list(range(1, 3 * feeds.PAGE + 1))
    await world.feed.close()


async def test_a_plain_append_of_this_process_is_told_at_once_on_a_real_store(tmp_path: Path):
    async with World("sqlite", tmp_path) as world:
        feed = Feed(world.store, world.clock)
        row = await world.held("a")
        reader = Reader(feed, 1, row.id)
        await reader.until_seen(1)
        await world.clock.advance(10)
        await grow(world, row)
        await reader.until_seen(2)
        await feed.close()


async def test_an_idle_watcher_has_no_task_and_no_sleeper_of_its_own():
    world = Small()
    rows = [await world.held(f"task {number}") for number in range(50)]
    before = len(asyncio.all_tasks())
    for row in rows:
        await take_all(world.feed, join(world.feed, row.id, 1))
    await world.pass_time()
    assert world.feed.statistics().watchers == 50
    assert world.feed.statistics().behind == 0
    assert len(asyncio.all_tasks()) - before <= 3
    assert world.clock.statistics().sleepers <= 2
    await world.feed.close()


async def test_nobody_watching_means_that_nothing_is_read():
    world = Small()
    row = await world.held("a")
    watcher = join(world.feed, row.id, 1)
    await world.pass_time()
    world.feed.leave(watcher)
    world.feed.leave(watcher)
    await world.pass_time()
    reads = world.feed.statistics().reads
    await world.clock.advance(60)
    assert world.feed.statistics().reads == reads
    assert world.clock.statistics().sleepers == 0
    again = Reader(world.feed, 1, row.id)
    await grow(world, row)
    await world.pass_time()
    assert again.numbers == [1, 2]
    await world.feed.close()


async def test_a_commit_is_told_at_once_and_a_burst_of_them_in_few_reads():
    world = Small()
    row = await world.held("a")
    reader = Reader(world.feed, 1, row.id)
    await world.pass_time()
    reads = world.feed.statistics().reads
    await grow(world, row)
    await world.clock.settle()
    assert reader.numbers == [1, 2]
    for _ in range(20):
        await grow(world, row)
    await world.clock.advance(feeds.PAUSE_S)
    assert reader.numbers == list(range(1, 23))
    assert world.feed.statistics().reads <= reads + 3
    await world.feed.close()


async def test_a_store_that_is_away_for_a_while_loses_nothing_for_anybody():
    world = Small()
    row = await world.held("a")
    reader, newcomer = Reader(world.feed, 1, row.id), None
    await world.pass_time()
    store: Any = world.store
    store.log = store.load = away
    await grow(world, row)
    newcomer = Reader(world.feed, 1, row.id)
    await world.pass_time()
    assert reader.numbers == [1]
    del store.log, store.load
    await world.clock.advance(10)
    assert reader.numbers == newcomer.numbers == [1, 2]
    await world.feed.close()


async def away(*_: object) -> Any:
    raise StoreError("store_unreachable", "the store is away")


async def test_what_passes_comes_after_what_was_committed_before_it_and_pieces_come_together():
    world = Small()
    row = await world.held("a")
    reader = Reader(world.feed, 1, row.id)
    await world.pass_time()
    await world.store.commit([append(row)])
    for text in ("Hel", "lo", ""):
        world.feed.delta(row.id, Permit(row.id, 2, 1, 0.0, ""), text)
    world.feed.progress(row.id, "half of it", 0.5)
    world.feed.delta(b"another task", Permit(b"", 2, 1, 0.0, ""), "nobody listens")
    await world.pass_time()
    assert [event.number for event in reader.events] == [1, 2, None, None]
    told = [event.document.data for event in reader.events if isinstance(event.document, LiveEvent)]
    assert [(item.type, item.text, item.fraction, item.call) for item in told] == [
        ("delta", "Hello", None, 2),
        ("progress", "half of it", 0.5, None),
    ]
    await world.feed.close()


async def test_a_store_that_is_away_keeps_little_of_what_passes():
    world = Small()
    row = await world.held("a")
    reader = Reader(world.feed, 1, row.id)
    await world.pass_time()
    store: Any = world.store
    store.log = away
    await world.pass_time()
    for number in range(30):
        world.feed.delta(row.id, Permit(row.id, 2, number, 0.0, ""), "x" * 100_000)
    del store.log
    await world.clock.advance(10)
    assert len(reader.events) == 1 + feeds.PASSING_CHARS_MAX / 100_000
    world.feed.progress(row.id, "the store is back", None)
    await world.pass_time()
    assert reader.events[-1].document.data.text == "the store is back"
    await world.feed.close()


async def test_what_passes_does_not_fill_a_queue_while_the_store_is_away():
    world = Small()
    row = await world.held("a")
    reader = Reader(world.feed, 1, row.id)
    await world.pass_time()
    store: Any = world.store
    store.log = away
    await world.pass_time()
    for number in range(300):
        world.feed.delta(row.id, Permit(row.id, 2, number, 0.0, ""), "x" * 10_000)
    del store.log
    await world.clock.advance(10)
    assert len(reader.events) == 1 + feeds.QUEUE_MAX
    assert sum(len(event.document.data.text) for event in reader.events[1:]) <= feeds.PASSING_CHARS_MAX
    await world.feed.close()


async def test_what_passes_is_not_kept_for_nobody():
    world = Small()
    world.feed.progress(name_id("a"), "nobody listens", None)
    assert world.feed._passing == []


async def test_too_many_watchers_are_refused_until_one_leaves():
    world = Small()
    feed = Feed(world.store, world.clock, watchers_max=2)
    row = await world.held("a")
    first, _ = join(feed, row.id, 1), join(feed, row.id, 1)
    with pytest.raises(UsageError) as refused:
        join(feed, row.id, 1)
    assert refused.value.code == "too_many_watchers"
    feed.leave(first)
    join(feed, row.id, 1)
    assert feed.followers(row.id) == 2
    await feed.close()


async def test_a_closed_feed_lets_everybody_go_and_takes_nobody():
    world = Small()
    row = await world.held("a")
    reader = Reader(world.feed, 1, row.id)
    await world.pass_time()
    await world.feed.close()
    await world.clock.settle()
    assert reader.watcher.is_over
    late = join(world.feed, row.id, 1)
    assert late.is_over
    assert await world.feed.take(late) == []
    assert world.clock.statistics().sleepers == 0


async def test_a_reader_that_breaks_lets_its_watchers_go_and_the_next_one_begins_anew(caplog: pytest.LogCaptureFixture):
    world = Small()
    row = await world.held("a")
    reader = Reader(world.feed, 1, row.id)
    await world.pass_time()
    store: Any = world.store
    store.log = broken
    await grow(world, row)
    await world.pass_time()
    assert reader.watcher.is_over
    assert "the feed was cut" in caplog.text
    await reader.leave()
    del store.log
    again = Reader(world.feed, reader.numbers[-1] + 1, row.id)
    await world.pass_time()
    assert again.numbers == [2]
    await world.feed.close()


async def broken(*_: object) -> Any:
    raise ZeroDivisionError


async def test_an_entry_that_cannot_be_read_says_so_and_holds_nobody_up():
    world = Small()
    row = await world.held("a")
    reader, everything = Reader(world.feed, 1, row.id), Reader(world.feed)
    damaged = msgspec.structs.replace(append(row).entries[0], body=b"\xc1")
    await world.commit(Unit(subject(row), entries=(damaged,)))
    await grow(world, row)
    await world.pass_time()
    for told in (reader, everything):
        assert [event.document.data.type for event in told.events] == ["progressed", "unreadable", "progressed"]
    assert reader.events[1].document.data.body["code"] == "unreadable_entry"
    await world.feed.close()


async def test_a_task_that_is_retried_is_followed_on():
    world = Small()
    row = await world.held("a")
    reader = Reader(world.feed, 1, row.id)
    await end(world, row.id, State.FAILED)
    await world.pass_time()
    assert isinstance(reader.events[-1].document, EndEvent)
    await world.send(row.id, wakes="failed")
    await world.pass_time()
    again = Reader(world.feed, 3, row.id)
    await world.pass_time()
    assert again.events == []
    assert not again.watcher.is_over
    await world.feed.close()


def test_an_event_is_spelled_once_for_all():
    event = Event(LiveEvent(feeds.LiveDocument("progress", "line\nbreak", 0.5)))
    assert event.json is event.json
    assert event.stream is event.stream
    assert event.stream.count(b"\n") == 3
