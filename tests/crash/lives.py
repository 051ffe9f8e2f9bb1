"""Live through crashes: one node after the other on the same store, until every task has ended, beside an operator."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

from comity.core.ids import Id
from comity.journal.call import Kind
from comity.journal.ports import Store
from comity.journal.program import Loaded
from comity.kernel import Kernel, Settings
from comity.runtime.embedded import Embedded
from comity.testing.waiting import wait_until
from crash.fleet import CountingModel, World, loaded_for
from crash.forgetful import ForgetfulStore
from crash.injection import CrashingBrains, CrashingHand, CrashingModel, CrashingStore, Injector
from crash.person import Operator

LIVES_MAX = 40
LIFE_S_MAX = 20.0
SETTINGS = Settings(permit_s=5.0, lease_s=30.0, linger_s=0.0, poll_s=0.05, tasks_max=100)


class Lives:
    """A store, a world, and one node after the other."""

    def __init__(self, store: Store, world: World, crashes: Collection[int] = (), loaded: Loaded | None = None) -> None:
        self.store = store
        self.world = world
        self.crashes = crashes
        self.loaded = loaded or loaded_for(world)
        self.operator = Operator(store, world.book.look)
        self.places: list[str] = []
        self.count = 0
        self.settings = SETTINGS
        self._paid: dict[bytes, int] = {}

    async def create(self, agent: str, goal: Any = "go") -> Id:
        """Create a task; its signal is sent at once."""
        task = await self.operator.orders.create(self.loaded.program, agent, goal)
        self.operator.tasks.append(task)
        await self.operator.orders.signal(task, "go", "went", sender="once")
        return task

    async def live(self) -> None:
        """Start a node, and another after each crash, until every task has ended."""
        for _ in range(LIVES_MAX):
            if await self._one_life():
                return
        message = f"no end after {LIVES_MAX} lives: {self.places}"
        raise AssertionError(message)

    async def _one_life(self) -> bool:
        injector = self.world.injector = Injector(self.crashes, self.count)
        kernel = self.kernel(injector)
        starting = asyncio.ensure_future(kernel.start("here", 1))

        async def is_over() -> bool:
            return injector.frozen.is_set() or await self.operator.look_around()

        try:
            await wait_until(is_over, LIFE_S_MAX, "the end of a life")
        except AssertionError as error:
            rows = [f"{row.agent} {row.state} {row.reason}" for row in await self.operator.rows()]
            error.add_note(f"crashes {self.places}, last points {injector.passed[-8:]}, tasks {rows}")
            raise
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await kernel.stop()
            self.count = injector.count
        self.places.append(injector.place)
        if isinstance(self.store, ForgetfulStore):
            self.store.crash()
        await self.store.declare_dead(kernel.lease.node)
        await self._note_thoughts()
        return not injector.frozen.is_set()

    def kernel(self, injector: Injector) -> Kernel:
        """Return the kernel of a new node, each of its ports a row of points."""
        store = CrashingStore(self.store, injector)
        kernel = Embedded(self.loaded, store, model=CountingModel(self.world), settings=self.settings).kernel
        kernel.hand = CrashingHand(kernel.hand, injector)
        kernel.model = CrashingModel(kernel.model, injector)
        kernel.brains = CrashingBrains(kernel.brains, injector)
        return kernel

    async def _note_thoughts(self) -> None:
        """Hold that no model call whose outcome is recorded is paid for again."""
        for paid, times in self._paid.items():
            assert self.world.thoughts[paid] == times, f"a recorded thought was paid for again: {paid[:80]!r}"
        for row in await self.operator.rows():
            ledger = await self.operator.orders.ledger(row.id)
            done = sum(item.key.kind == Kind.MODEL and not item.open for item in ledger.calls.values())
            known = sorted(self.world.thoughts, key=len)[:done]
            self._paid.update((item, self.world.thoughts[item]) for item in known)
