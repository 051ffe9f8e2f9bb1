"""SQLite and PostgreSQL do, step by step, what the reference model in memory does, whatever hypothesis thinks of."""

from __future__ import annotations

import asyncio
import functools
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from msgspec.structs import replace

from comity.core.ids import Id, derived_id
from comity.core.limits import NEVER_US
from comity.journal.ports import Store, TaskFilter
from comity.journal.segment import segment
from comity.journal.task import MOVES, NewTask, State, TaskRow
from comity.journal.unit import (
    InboxSeen,
    Message,
    StateIs,
    StateWrite,
    TaskSubject,
    Transition,
    Unit,
    Wakes,
)
from comity.stores.postgres import PostgresStore
from comity.stores.sqlite import SqliteStore
from comity.stores.units import HOLDING
from comity.testing import FakeClock, MemoryStore
from contract.world import OPERATOR, note
from postgres import postgres_url

TABLES = "tasks, entries, inbox, state, segments, nodes, leaves, flushers"
NODES = [derived_id(b"node", bytes([number])) for number in range(3)]
NAMES = st.integers(0, 7)
KEYS = st.sampled_from(["a", "b"])
VERSIONS = st.sampled_from([None, 0, 1, 2, 3])
WRITES = st.lists(st.builds(StateWrite, st.just("n"), KEYS, st.sampled_from([None, b"1", b"2"]), VERSIONS), max_size=2)
GUARDS = st.lists(
    st.one_of(st.builds(StateIs, st.just("n"), KEYS, st.integers(1, 3)), st.just(InboxSeen())), max_size=1
)
DELAYS_US = st.sampled_from([0, 0, 0, 100_000, 1_000_000, NEVER_US])


@functools.cache
def database() -> str:
    """Return the URL of the one database of all examples."""
    return postgres_url()


def task_id(name: int) -> Id:
    return derived_id(b"task", bytes([name]))


class Stores(RuleBasedStateMachine):
    """Three stores beside each other."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.folder = tempfile.TemporaryDirectory()
        self.leases: dict[Id, Id] = {}
        self.sent = 0
        self.model = MemoryStore(self.clock)
        sqlite = SqliteStore(f"sqlite:///{Path(self.folder.name) / 'comity.db'}", clock=self.clock)
        postgres = PostgresStore(database(), clock=self.clock)
        self.stores: list[Store] = [self.model, sqlite, postgres]

    def teardown(self) -> None:
        for store in self.stores:
            self.loop.run_until_complete(store.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.folder.cleanup()

    def each(self, do: Callable[[Store], Awaitable[Any]]) -> Any:
        """Do something to every store and return what all of them answered."""

        async def run() -> list[Any]:
            return [await do(store) for store in self.stores]

        first, *others = self.loop.run_until_complete(run())
        for other in others:
            assert other == first
        return first

    @initialize()
    def open(self) -> None:
        for store in self.stores:
            self.loop.run_until_complete(store.open())
        with psycopg.connect(database(), autocommit=True) as connection:
            connection.execute(f"TRUNCATE {TABLES} RESTART IDENTITY")
            connection.execute("UPDATE meta SET value = '' WHERE key = 'sequencer'")

    # ---- nodes -----------------------------------------------------------------------------------------------

    @rule(node=st.sampled_from(NODES), lease_s=st.sampled_from([1.0, 10.0]))
    def register(self, node: Id, lease_s: float) -> None:
        self.leases[node] = derived_id(node, bytes([len(self.leases)]), str(self.clock.wall_us()).encode())
        self.each(lambda store: store.register(node, self.leases[node], lease_s, "host", 1))

    @rule(node=st.sampled_from(NODES))
    def renew(self, node: Id) -> None:
        self.each(lambda store: store.renew(node, self.leases.get(node, b"none"), 5.0))

    @rule(node=st.sampled_from([None, None, *NODES]))
    def declare_dead(self, node: Id | None) -> None:
        self.each(lambda store: store.declare_dead(node))

    @rule(seconds=st.sampled_from([0.1, 0.25, 1.0, 6.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance_nowait(seconds)

    @rule(node=st.sampled_from(NODES), limit=st.sampled_from([1, 2, 10]), queues=st.sampled_from([(), ("q",)]))
    def take(self, node: Id, limit: int, queues: tuple[str, ...]) -> None:
        self.each(lambda store: store.take(node, self.leases.get(node, b"none"), queues, limit))

    @rule(node=st.sampled_from(NODES))
    def sequence(self, node: Id) -> None:
        self.each(lambda store: store.sequence(node, self.leases.get(node, b"none"), 5))

    # ---- units -----------------------------------------------------------------------------------------------

    def new_task(self, name: int, fields: dict[str, Any]) -> NewTask:
        entries = tuple(note(seq) for seq in range(1, 1 + name % 3))
        delay_us = fields.pop("delay_us", 0)
        not_before_us = delay_us and (delay_us if delay_us == NEVER_US else self.clock.wall_us() + delay_us)
        return NewTask(task_id(name), "agent", entries=entries, not_before_us=not_before_us, **fields)

    def message(self, name: int, sender: int, wakes: Wakes) -> Message:
        return Message(task_id(name), f"sender {sender}", "signal", "go", b"1", wakes)

    @rule(
        spawns=st.lists(
            st.tuples(
                NAMES,
                st.fixed_dictionaries(
                    {
                        "session": st.sampled_from(["", "s"]),
                        "priority": st.integers(0, 1),
                        "queue": st.sampled_from(["q", "r"]),
                        "dedupe": st.sampled_from(["", "d", "e"]),
                        "concurrency_key": st.sampled_from(["", "k"]),
                        "concurrency_limit": st.integers(1, 2),
                        "delay_us": DELAYS_US,
                    }
                ),
            ),
            max_size=4,
        ),
        writes=WRITES,
        sends=st.lists(st.tuples(NAMES, st.integers(0, 3), st.sampled_from(Wakes)), max_size=2),
        apart=st.booleans(),
    )
    def operate(self, spawns: Any, writes: Any, sends: Any, apart: bool) -> None:
        new = tuple(self.new_task(name, dict(fields)) for name, fields in spawns)
        messages = tuple(self.message(*send) for send in sends)
        content = (segment(b"%d" % len(new)),)
        if apart:
            units = [
                Unit(OPERATOR, spawns=new),
                Unit(OPERATOR, state=tuple(writes), segments=content),
                *(Unit(OPERATOR, sends=(message,)) for message in messages),
            ]
        else:
            units = [Unit(OPERATOR, spawns=new, state=tuple(writes), sends=messages, segments=content)]
        self.each(lambda store: store.commit(units))

    @rule(
        steps=st.lists(
            st.tuples(
                NAMES,
                st.sampled_from([0, 0, 0, 0, 0, 1, -1]),
                st.integers(0, 3),
                GUARDS,
                WRITES,
                st.booleans(),
                st.sampled_from([None, None, *State]),
                DELAYS_US,
                st.lists(st.tuples(NAMES, st.integers(0, 3), st.sampled_from(Wakes)), max_size=1),
            ),
            min_size=1,
            max_size=4,
        )
    )
    def work(self, steps: Any) -> None:
        plans: dict[Store, list[Unit]] = {store: [] for store in self.stores}
        rows: dict[Id, TaskRow] = {}
        for name, off, count, guards, writes, consumes, state, delay_us, sends in steps:
            row = rows.get(task_id(name)) or self.model._tasks.get(task_id(name))
            if row is None or not row.lease_id:
                continue
            entries = tuple(note(row.last_seq + off + number) for number in range(1, count + 1))
            move = None
            if state is not None and (state in MOVES[row.state] or state is row.state):
                not_before_us = delay_us if delay_us in (0, NEVER_US) else self.clock.wall_us() + delay_us
                move = Transition(state, "r", not_before_us, count or None, "v" if count else None)
            unit = Unit(
                TaskSubject(row.id, row.lease_id, row.epoch, row.last_seq + off),
                entries=entries,
                guards=tuple(guards),
                state=tuple(writes),
                transition=move,
                sends=tuple(self.message(*send) for send in sends),
            )
            for store in self.stores:
                read = tuple(item.id for item in self.loop.run_until_complete(store.inbox(row.id))) if consumes else ()
                plans[store].append(replace(unit, consumes=read))
            # What comes next in this batch fits only if this lands; whether it does is for the stores to agree on.
            after = row.state if move is None else move.state
            lease = row.lease_id if after in HOLDING else b""
            rows[row.id] = replace(row, last_seq=row.last_seq + count, state=after, lease_id=lease)
        if all(plans.values()):
            self.each(lambda store: self.answers(store, plans[store]))

    async def answers(self, store: Store, units: list[Unit]) -> list[Any]:
        """Return the answers; an error of the programmer's counts as one, whatever became of its neighbours."""
        found = await asyncio.gather(*(store.commit([unit]) for unit in units), return_exceptions=True)
        for answer in found:
            if isinstance(answer, BaseException) and not isinstance(answer, AssertionError):
                raise answer
        return ["assertion" if isinstance(answer, AssertionError) else answer for answer in found]

    # ---- what must be the same ---------------------------------------------------------------------------------

    @invariant()
    def look_alike(self) -> None:
        if not self.leases and not self.model._tasks:
            return
        self.each(self.picture)

    async def picture(self, store: Store) -> Any:
        rows = await store.tasks(TaskFilter())
        boxes = [[replace(message, id=0) for message in await store.inbox(row.id)] for row in rows]
        log = [(item.task, item.entry) for item in await store.log(0, 10_000)]
        return (
            rows,
            boxes,
            log,
            [await store.load(row.id) for row in rows],
            await store.states("n"),
            await store.nodes(),
            [await store.mail(node) for node in NODES],
            await store.next_due_us(),
            await store.leaves(),
            await store.now_us(),
        )


def explore(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Stores,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_every_store_does_what_the_model_does():
    explore(examples=40, steps=40)


@pytest.mark.slow
def test_every_store_does_what_the_model_does_for_long():
    explore(examples=300, steps=60)
