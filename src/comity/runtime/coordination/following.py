"""Reads the log of all tasks as it grows, and tells what concerns the world: to writers, detectors and the map."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from comity.coordination.causality.linked import Linked
from comity.coordination.world import World
from comity.core.clock import Clock
from comity.core.errors import StoreError
from comity.core.ids import Id, show_id
from comity.journal.call import Kind
from comity.journal.entry import Body, Created, Entry, Intent, Logged, Outcome, Resolved
from comity.journal.naming import actor_name
from comity.journal.ports import Store
from comity.journal.world import Acted, Settled, WorldEvent
from comity.kernel.bell import Bell
from comity.kernel.patience import patiently
from comity.runtime.coordination.mending import kept

PAGE = 500
PAUSE_S = 0.02
POLL_S = 1.0
HISTORY = 20_000
"""So many entries before the present are read at the start, for detectors and map."""
KNOWN_MAX = 20_000

log = logging.getLogger("comity.coordination")


class Translator:
    """Reads entries as what happens in the world. It remembers agents of tasks, and which calls acted."""

    def __init__(self, store: Store, world: Callable[[], World | None]) -> None:
        """Read by the world that `world` gives; `store` says whose a task is."""
        self._store = store
        self._world = world
        self._agents: dict[Id, str] = {}
        self._calls: dict[tuple[Id, int], str] = {}
        self._copied: dict[Id, int] = {}

    async def told(self, item: Logged) -> list[WorldEvent | Linked]:
        """Return what an entry of the log says of the world."""
        task, entry, body = item.task, item.entry, item.entry.read()
        if isinstance(body, Created):
            self._learn(task, actor_name(body.tenant, body.agent))
            if body.forked_at:
                self._copied[task] = body.forked_at
        if entry.seq <= self._copied.get(task, 0):
            return []  # what a fork begins with has happened in its origin
        return [*await self._events(task, entry, body), *_links(task, entry, body)]

    async def _events(self, task: Id, entry: Entry, body: Body) -> Iterable[WorldEvent]:
        world = self._world()
        if world is None:
            return ()
        if isinstance(body, Intent) and body.touched is not None:
            call = f"{show_id(task)}/{entry.seq}"
            if len(self._calls) >= KNOWN_MAX:
                self._calls.pop(next(iter(self._calls)))
            self._calls[task, entry.seq] = call
            return (_acted(world, call, await self._agent(task), body, entry.at_us, show_id(task)),)
        if isinstance(body, Outcome) and (task, body.call) in self._calls:
            end = {"done": "happened", "unknown": "unknown"}.get(str(body.status), "not_happened")
            return (Settled(entry.at_us, self._calls[task, body.call], end),)  # type: ignore[arg-type]  # one of three
        if isinstance(body, Resolved) and (task, body.call) in self._calls and body.verdict != "again":
            return (Settled(entry.at_us, self._calls[task, body.call], body.verdict),)
        return ()

    async def _agent(self, task: Id) -> str:
        found = self._agents.get(task)
        if found is None:
            row = await self._store.task(task)
            found = actor_name(row.tenant, row.agent) if row is not None else ""
            self._learn(task, found)
        return found

    def _learn(self, task: Id, agent: str) -> None:
        if len(self._agents) >= KNOWN_MAX:
            self._agents.clear()
        self._agents[task] = agent


class Follower:
    """One reader of the log for a node's coordination. Sinks are called in the order of the log."""

    def __init__(self, store: Store, clock: Clock, world: Callable[[], World | None]) -> None:
        """Read `store` once started."""
        self.on_entry: list[Callable[[Id, Entry, Body], None]] = []
        self.on_event: list[Callable[[WorldEvent], None]] = []
        self.on_link: list[Callable[[Linked], None]] = []
        self._store = store
        self._clock = clock
        self._translator = Translator(store, world)
        self._bell = Bell(clock)
        self._position = 0
        self._reading: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin a little before the present, unless it reads already."""
        if self._reading is None:
            self._reading = asyncio.ensure_future(kept("the log", self._read, self._clock))

    async def stop(self) -> None:
        """End."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
            self._reading = None

    async def replay(self) -> None:
        """Read up to the present once, without following: for a process that only looks."""
        self._position = max(0, await self._store.position() - HISTORY)
        await self._catch_up()

    async def _read(self) -> None:
        unwatch = self._store.watch(self._bell.ring, every=True)
        try:
            if not self._position:
                self._position = max(0, await patiently(self._clock, self._store.position) - HISTORY)
            while True:
                heard = self._bell.count
                try:
                    await self._catch_up()
                except StoreError as error:
                    log.warning("the log cannot be read: %s", error.message)
                await self._clock.sleep(PAUSE_S)
                await self._bell.wait(heard, POLL_S)
        finally:
            unwatch()

    async def _catch_up(self) -> None:
        while True:
            page = await self._store.log(self._position, PAGE)
            for item in page:
                try:
                    await self._tell(item)
                except StoreError:
                    raise
                except Exception:
                    self._position = item.position  # it would break whoever hears of it once more
                    raise
                self._position = item.position
            if len(page) < PAGE:
                return

    async def _tell(self, item: Logged) -> None:
        if self.on_entry:
            body = item.entry.read()
            for told in self.on_entry:
                told(item.task, item.entry, body)
        for event in await self._translator.told(item):
            if isinstance(event, Linked):
                for linked in self.on_link:
                    linked(event)
            else:
                for heard in self.on_event:
                    heard(event)


def _acted(world: World, call: str, agent: str, body: Intent, at_us: int, task: str) -> Acted:
    touched = body.touched
    assert touched is not None
    handling = world.tool(body.asked.name)
    domains = dict.fromkeys(world.domain_of(change.field) for change in touched.changes)
    return Acted(
        at_us,
        call,
        agent,
        body.asked.name,
        touched.changes,
        touched.reads,
        touched.plan,
        touched.claim,
        touched.caused_by,
        touched.observation,
        tuple(name for name in domains if name),
        handling is not None and handling.section.destructive,
        task,
    )


def _links(task: Id, entry: Entry, body: Body) -> Iterable[Linked]:
    if isinstance(body, Created) and body.parent:
        yield Linked(entry.at_us, show_id(body.parent), show_id(task), "spawned")
    if isinstance(body, Outcome) and entry.kind == Kind.HUMAN:
        yield Linked(entry.at_us, "person:operator", f"{show_id(task)}/{body.call}", "answered")
