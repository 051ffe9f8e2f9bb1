"""A store under test with a clock to step, and short words for what the contract's tests do with it."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Self

from comity.core.ids import Id, derived_id
from comity.journal.call import Kind
from comity.journal.entry import Entry, Progressed, entry
from comity.journal.ports import Store
from comity.journal.task import NewTask, State, TaskRow
from comity.journal.unit import Answer, Message, OperatorSubject, Receipt, TaskSubject, Transition, Unit
from comity.testing import FakeClock, MemoryStore

STORES = ("memory", "sqlite", "postgres")
OPERATOR = OperatorSubject("test")
LEASE_S = 10.0


class World:
    """One store, its clock, and the nodes that registered with it."""

    def __init__(self, kind: str, folder: Path, **options: Any) -> None:
        self.kind = kind
        self.clock = FakeClock()
        self.url = url_of(kind, folder)
        self.store = self.another(**options)
        self.leases: dict[Id, Id] = {}

    def another(self, **options: Any) -> Store:
        """Make another store of the same data, as a second process would; memory has only one."""
        if self.kind == "memory":
            return getattr(self, "store", None) or MemoryStore(self.clock)
        return open_with(self.url, clock=self.clock, **options)

    async def __aenter__(self) -> Self:
        await self.store.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.store.close()

    async def node(self, name: str = "node", lease_s: float = LEASE_S) -> Id:
        """Register a node."""
        node = name_id(name)
        self.leases[node] = derived_id(b"lease", name.encode(), str(len(self.leases)).encode())
        await self.store.register(node, self.leases[node], lease_s, "host", 1)
        return node

    async def new(self, name: str, entries: int = 1, **fields: Any) -> Id:
        """Create a task."""
        task = new_task(name, entries, **fields)
        (answer,) = await self.store.commit([Unit(OPERATOR, spawns=(task,))])
        assert answer == Receipt((b"",))
        return task.id

    async def take(self, node: Id, limit: int = 100, queues: Sequence[str] = ()) -> list[TaskRow]:
        """Take what is due."""
        return await self.store.take(node, self.leases[node], queues, limit)

    async def held(self, name: str, node: str = "node", **fields: Any) -> TaskRow:
        """Create a task and take it."""
        holder = name_id(node)
        if holder not in self.leases:
            await self.node(node)
        task = await self.new(name, **fields)
        return next(row for row in await self.take(holder) if row.id == task)

    async def commit(self, unit: Unit) -> Answer:
        """Commit one unit."""
        (answer,) = await self.store.commit([unit])
        return answer

    async def row(self, task: Id) -> TaskRow:
        """Return a task's row, which must be there."""
        row = await self.store.task(task)
        assert row is not None
        return row

    async def move(self, row: TaskRow, state: State, **fields: Any) -> Answer:
        """Give a held task a new state."""
        now = await self.row(row.id)
        return await self.commit(Unit(subject(now), transition=Transition(state, **fields)))

    async def send(self, task: Id, sender: str = "me", **fields: Any) -> Answer:
        """Send a message to a task."""
        message = Message(task, sender, "signal", "go", **fields)
        return await self.commit(Unit(OPERATOR, sends=(message,)))


def url_of(kind: str, folder: Path) -> str:
    """Return the URL of an empty store."""
    if kind == "postgres":
        from postgres import postgres_url

        return postgres_url()
    return f"sqlite:///{folder}/comity.db"


def open_with(url: str, **options: Any) -> Any:
    """Return a store with options that only tests give."""
    if url.startswith("sqlite"):
        from comity.stores.sqlite import SqliteStore

        return SqliteStore(url, **options)
    from comity.stores.postgres import PostgresStore

    return PostgresStore(url, **options)


def on_every_store(test: Callable[[World], Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Run a test inside an open world."""

    @functools.wraps(test)
    async def run(world: World) -> None:
        async with world:
            await test(world)

    return run


def name_id(name: str) -> Id:
    """Return the id that a test calls `name`."""
    return derived_id(name.encode())


def note(seq: int, text: str = "") -> Entry:
    """Return some entry."""
    return entry(seq, "", Kind.TASK, 1_000 + seq, Progressed(text or f"entry {seq}"))


def new_task(name: str, entries: int = 1, **fields: Any) -> NewTask:
    """Return a task to create."""
    first = tuple(note(seq, name) for seq in range(1, entries + 1))
    return NewTask(name_id(name), "agent", entries=first, **{"goal": name, **fields})


def subject(row: TaskRow) -> TaskSubject:
    """Return the subject that owns a task as `row` says."""
    return TaskSubject(row.id, row.lease_id, row.epoch, row.last_seq)


def append(row: TaskRow, count: int = 1, **fields: Any) -> Unit:
    """Return a unit that appends `count` entries to a held task."""
    first = row.last_seq + 1
    return Unit(subject(row), entries=tuple(note(seq) for seq in range(first, first + count)), **fields)
