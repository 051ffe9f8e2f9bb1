"""Reservations survive: a node dies at every commit and every step, and what is in flight is counted exactly.

Promise P8: the pool is never overdrawn, whatever dies when, and in the end what is believed is what happened.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from comity.agents.context import Context
from comity.agents.tool import agent, tool
from comity.coordination.document import WorldDocument
from comity.core.clock import SystemClock
from comity.core.codec import decode
from comity.core.errors import Refused
from comity.journal.answers import DidNotHappen, Happened
from comity.journal.call import CallContext
from comity.journal.program import Loaded, collect
from comity.kernel import Kernel
from comity.kernel.patience import Patient
from comity.runtime.coordination import rows
from comity.runtime.coordination.coordinator import Coordinator
from comity.runtime.embedded import Embedded
from comity.stores.open import open_store
from comity.testing import MemoryStore
from comity.testing.waiting import wait_until
from crash.fleet import CountingModel, World
from crash.injection import CrashingBrains, CrashingHand, CrashingModel, CrashingStore, Injector
from crash.lives import Lives
from crash.staging import STORES, url_of

ROOM = 4
WORLD = msgspec.convert(
    {
        "kinds": {"pool": {"id": "pool/{name}", "fields": {"free": {"type": "integer", "low": 0, "initial": ROOM}}}},
        "resources": {"pool/a": {}},
        "tools": {
            "draw": {"touches": [{"field": "pool/{pool}.free", "op": "add", "value": "-n"}]},
            "burn": {"touches": [{"field": "pool/{pool}.free", "op": "add", "value": "-n"}]},
        },
    },
    WorldDocument,
)


def loaded_for(world: World) -> Loaded:
    """Return agents that draw on one pool, whose tools act on the world's book."""

    @tool(effect="idempotent")
    async def draw(pool: str, n: int, call: CallContext) -> int:
        """Draw from a pool."""
        return await world.act("draw", call, by_key=True)

    @tool(effect="read")
    async def find(pool: str, n: int, call: CallContext) -> Any:
        """Look whether something was burnt."""
        return Happened(1) if world.book.standing("burn") else DidNotHappen()

    @tool(effect="reconcilable", reconcile=find)
    async def burn(pool: str, n: int, call: CallContext) -> int:
        """Burn from a pool."""
        return await world.act("burn", call)

    @agent
    async def drawer(context: Context) -> list[Any]:
        """Draw two, burn one, and ask for more than there is."""
        await context.act(draw, pool="a", n=2)
        await context.act(burn, pool="a", n=1)
        try:
            await context.act(draw, pool="a", n=2)
        except Refused as refusal:
            return ["refused", refusal.code]
        return ["overdrawn"]

    return collect({"draw": draw, "find": find, "burn": burn, "drawer": drawer}, "fleet.py", "0")


class WorldLives(Lives):
    """Lives in which each node coordinates."""

    def kernel(self, injector: Injector) -> Kernel:
        """Return the kernel of a new node that coordinates."""
        store = CrashingStore(self.store, injector)
        embedded = Embedded(self.loaded, store, model=CountingModel(self.world), settings=self.settings, world=WORLD)
        kernel = embedded.kernel
        kernel.hand = CrashingHand(kernel.hand, injector)
        kernel.model = CrashingModel(kernel.model, injector)
        kernel.brains = CrashingBrains(kernel.brains, injector)
        begin, end = kernel.start, kernel.stop

        async def start(host: str = "", pid: int = 0, address: str = "") -> None:
            await embedded.coordination.start(WORLD)
            await begin(host, pid, address)

        async def stop() -> None:
            await end()
            await embedded.coordination.stop()

        kernel.start, kernel.stop = start, stop  # type: ignore[method-assign]
        return kernel


async def survive(store: Any, crashes: Any = ()) -> Lives:
    """Draw through crashes, and hold that the pool is never overdrawn and is known exactly in the end."""
    world = World()
    lives = WorldLives(store, world, crashes, loaded_for(world))
    await store.commit([])
    task = await lives.create("drawer")
    try:
        await lives.live()
        ledger = await lives.operator.orders.ledger(task)
        assert ledger.ended is not None
        assert decode(ledger.ended.result.inline)[0] == "refused", ledger.ended
        assert not world.book.doubled()
        assert len(world.book.standing("draw")) == 1
        assert len(world.book.standing("burn")) == 1
        await _holds_exactly(store, ROOM - 3)
    except AssertionError as error:
        error.add_note(f"crashes: {lives.places}")
        raise
    return lives


async def _holds_exactly(store: Any, free: int) -> None:
    """Read the world as the next node would: the pool has `free` left, and nothing is in flight for ever."""
    coordinator = Coordinator(Patient(store, SystemClock()), SystemClock(), b"looker".ljust(16, b"\0"))
    await coordinator.start()
    try:
        writer = await coordinator.writer("pool")

        async def is_settled() -> bool:
            return not writer.picture.flights and not await store.states(rows.RESERVATION)

        await wait_until(is_settled, 10.0, "the end of what is in flight")
        assert writer.picture.state("pool/a.free").value == free
    finally:
        await coordinator.stop()


async def sweep(kind: str, folder: Path, step: int = 1) -> int:
    """Die once at every `step`-th point, beginning anywhere, each time on an empty store; return how many there are."""
    at = random.SystemRandom().randrange(step)
    while True:
        store = MemoryStore(SystemClock()) if kind == "memory" else open_store(url_of(kind, folder / str(at)))
        await store.open()
        try:
            count = (await survive(store, {at})).count
        finally:
            await store.close()
        if count <= at:
            return count
        at += step


async def test_reservations_are_exact_after_a_crash_at_some_points(tmp_path: Path) -> None:
    """P8."""
    assert await sweep("memory", tmp_path, 4) > 40


@pytest.mark.slow
@pytest.mark.parametrize("kind", STORES)
async def test_reservations_are_exact_after_a_crash_at_any_point(kind: str, tmp_path: Path) -> None:
    """P8."""
    assert await sweep(kind, tmp_path) > 40
