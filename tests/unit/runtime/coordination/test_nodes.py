"""Several nodes on one store: a component has one writer, others ask it or take its place; nothing passes twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import msgspec
import pytest

from comity.agents.context import Context
from comity.agents.tool import agent, tool
from comity.coordination.document import WorldDocument
from comity.core.clock import SystemClock
from comity.core.codec import decode
from comity.core.errors import CoordinationError, Refused
from comity.journal.program import offered_by
from comity.journal.world import Observation
from comity.kernel import Settings
from comity.runtime.coordination import rows
from comity.runtime.embedded import Embedded
from comity.stores.open import open_store
from comity.testing import MemoryStore
from comity.testing.waiting import wait_until
from crash.staging import STORES, url_of

ROOM = 6
WORLD = msgspec.convert(
    {
        "kinds": {"pool": {"id": "pool/{name}", "fields": {"free": {"type": "integer", "low": 0, "initial": ROOM}}}},
        "resources": {"pool/a": {}},
        "tools": {"draw": {"touches": [{"field": "pool/{pool}.free", "op": "add", "value": "-1"}]}},
    },
    WorldDocument,
)
QUICK = Settings(linger_s=0.0, poll_s=0.05)


@tool(effect="irreversible")
def draw(pool: str) -> str:
    """Draw one."""
    return "drawn"


@agent
async def drawer(context: Context) -> int:
    """Draw three times; return how often that was let through."""
    drawn = 0
    for _ in range(3):
        try:
            await context.act(draw, pool="a")
            drawn += 1
        except Refused:
            break
    return drawn


class Pair:
    """Two nodes on one store; `doors` lets each ask the other."""

    def __init__(self, kind: str, folder: Path, *, doors: bool) -> None:
        self.stores = [self._store(kind, folder)]
        self.stores.append(self.stores[0] if kind == "memory" else open_store(self.stores[0].url))
        self.nodes: list[Embedded] = []
        self._doors = doors

    def _store(self, kind: str, folder: Path) -> Any:
        return MemoryStore(SystemClock()) if kind == "memory" else open_store(url_of(kind, folder))

    async def __aenter__(self) -> Self:
        for number, store in enumerate(self.stores):
            await store.open()
            node = Embedded(offered_by(drawer, draw), store, settings=QUICK, world=WORLD)
            coordinator = node.coordination.coordinator
            if self._doors:
                coordinator.url = lambda number=number: f"http://node{number}"
                coordinator._doors.ask = self._ask
            self.nodes.append(node)
        for node in self.nodes:
            await node.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        for node in self.nodes:
            await node.__aexit__(None, None, None)
        for store in dict.fromkeys(self.stores):
            await store.close()

    async def _ask(self, writer: rows.WriterRow, ask: Any) -> Any:
        """Carry what one node asks to the other, as HTTP would."""
        node = self.nodes[int(writer.url[-1])]
        assert writer.secret == node.coordination.coordinator.secret
        packed = msgspec.msgpack.encode(ask)
        told = await node.coordination.coordinator.answer(msgspec.msgpack.decode(packed, type=type(ask)))
        if told.code:
            raise CoordinationError(told.code, told.message, retry="redo")
        return told


@pytest.mark.parametrize("doors", [False, True])
@pytest.mark.parametrize("kind", STORES)
async def test_two_nodes_never_let_through_more_than_there_is(kind: str, doors: bool, tmp_path: Path) -> None:
    """P8: eight agents on two nodes want three each, of six in all."""
    async with Pair(kind, tmp_path, doors=doors) as pair:
        store = pair.stores[0]
        orders = pair.nodes[0].orders
        tasks = [await orders.create(pair.nodes[0].loaded.program, "drawer", None) for _ in range(8)]
        for node in pair.nodes:
            node.kernel.poke()
        ledgers = []
        for task in tasks:
            await wait_until(lambda task=task: _has_ended(orders, task), 60, "the end of a task")
            ledgers.append(await orders.ledger(task))
        drawn = [decode(ledger.ended.result.inline) for ledger in ledgers if ledger.ended is not None]
        assert len(drawn) == len(tasks)
        assert sum(drawn) == ROOM
        row = await store.state(rows.COMPONENT, "pool")
        assert row is not None
        if doors:
            assert row.version == 1


async def _has_ended(orders: Any, task: bytes) -> bool:
    ended: bool = (await orders.row(task)).state.ended
    return ended


async def test_a_node_whose_neighbour_died_takes_the_component_and_knows_what_was_in_flight(tmp_path: Path) -> None:
    async with Pair("sqlite", tmp_path, doors=False) as pair:
        first, second = (node.coordination.coordinator for node in pair.nodes)
        await first.observe(Observation("pool/a.free", 5, first.clock.wall_us(), "operator"))
        await first.store_now()
        writer = await second.writer("pool")
        assert writer.epoch == 2
        assert writer.picture.state("pool/a.free").value == 5


async def test_an_observation_reaches_the_writer_of_its_component(tmp_path: Path) -> None:
    async with Pair("memory", tmp_path, doors=True) as pair:
        first, second = (node.coordination.coordinator for node in pair.nodes)
        await first.writer("pool")
        assert await second.observe(Observation("pool/a.free", 4, second.clock.wall_us(), "operator"))
        (writer,) = first.writers()
        assert writer.picture.state("pool/a.free").value == 4
        assert not second.writers()
