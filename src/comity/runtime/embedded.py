"""Comity in one process: for scripts, notebooks, tests and benchmarks.

The same kernel, store, recall and gates as in a node; brains and tools share the process, so it cannot keep secrets
from them (promise P5).
"""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

from comity.coordination.document import WorldDocument
from comity.core.clock import Clock, SystemClock
from comity.core.codec import canonical, decode
from comity.core.entropy import Entropy, SystemEntropy
from comity.core.errors import ComityError, UsageError
from comity.core.ids import Id, new_id, show_id
from comity.hands.inline import InlineHand
from comity.journal.budget import Budget
from comity.journal.entry import Ended
from comity.journal.ports import Model, Store
from comity.journal.program import Loaded, offered_by
from comity.journal.protocol import Delta
from comity.journal.task import State, TaskRow
from comity.kernel import Devices, Kernel, Settings
from comity.kernel.children import read_budget
from comity.kernel.create import Options
from comity.models.router import ModelRouter
from comity.runtime.burial import address_of, bury, host_name
from comity.runtime.collecting import COLLECT_AT
from comity.runtime.config import load_config
from comity.runtime.coordination.assembly import Coordination
from comity.runtime.inline_brains import InlineBrains
from comity.runtime.nodelock import NodeLock, lock_path
from comity.runtime.orders import Orders, grant_of
from comity.runtime.programs import FixedPrograms
from comity.stores.open import open_store


class Embedded:
    """A node inside this process, around an open store: `async with Embedded(loaded, store) as node`."""

    def __init__(
        self,
        loaded: Loaded,
        store: Store,
        *,
        model: Model | None = None,
        settings: Settings | None = None,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
        home: Path | None = None,
        world: WorldDocument | None = None,
    ) -> None:
        """Run what `loaded` offers; `model` None means the configured models and the file's scripted ones.

        A `world` is put in force; without one, whichever is in force in the store holds.

        With a `home` the node holds a lock there, so that after a crash the next one of this machine need not wait
        for its lease.
        """
        self.loaded = loaded
        self.store = store
        self.clock = clock or SystemClock()
        self.entropy = entropy or SystemEntropy()
        self.programs = FixedPrograms(loaded.program)
        self.orders = Orders(store, self.clock, self.entropy, "embedded")
        self._model = model or self._router()
        self.world = world
        node = new_id(self.clock, self.entropy)
        self.coordination = Coordination(store, self.clock, self.entropy, node, self.programs)
        devices = Devices(
            store,
            self.clock,
            self.entropy,
            InlineHand(lambda _task, name: loaded.tools.get(name), self.clock),
            self._model,
            InlineBrains(lambda _agent: loaded),
            self.programs,
            admit=self.coordination.gate,
            world=self.coordination.calls,
            shaper=self.coordination.shaper(),
        )
        self.kernel = Kernel(devices, settings or Settings(tasks_max=1_000), node)
        self.kernel.on_entry.append(self.coordination.coordinator.on_entry)
        self._lock = NodeLock.acquire(lock_path(home, self.kernel.lease.node)) if home is not None else None
        self._watched: dict[Id, asyncio.Future[TaskRow]] = {}
        self.kernel.on_ended.append(self._on_ended)

    async def __aenter__(self) -> Self:
        """Start the kernel."""
        self._collected_at = gc.get_threshold()
        gc.set_threshold(*COLLECT_AT)
        address = address_of(self._lock) if self._lock is not None else ""
        if self._lock is not None:
            self.kernel.before_take.append(lambda: bury(self.store, self.kernel.lease.node))
        await self.coordination.start(self.world)
        await self.kernel.start(host_name(), os.getpid(), address)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give back what is not ended, and stop."""
        await self.kernel.drain()
        await self.coordination.stop()
        gc.set_threshold(*self._collected_at)
        await self.store.declare_dead(self.kernel.lease.node)
        if self._lock is not None:
            self._lock.path.unlink(missing_ok=True)
            self._lock.release()

    async def create(self, agent: str, goal: Any, **options: Unpack[Options]) -> Id:
        """Create a task of `agent` and have it taken at once."""
        task = await self.orders.create(self.loaded.program, agent, goal, **options)
        if not options.get("dedupe"):
            self._watched[task] = asyncio.get_running_loop().create_future()
        self.kernel.poke()
        return task

    async def left(self, task: Id) -> TaskRow:
        """Return a task's row once it has ended or is parked."""
        while True:
            told = self._watched.get(task)
            if told is None:
                told = self._watched[task] = asyncio.get_running_loop().create_future()
                row = await self.orders.row(task)
                if row.state.ended or row.state is State.PARKED:
                    return row
            row = await told
            if row.state.ended or row.state is State.PARKED:
                return row

    async def result(self, task: Id) -> Any:
        """Return an ended task's result.

        Raises:
            ComityError: it failed, was cancelled, or is parked; the message says why.
        """
        row = await self.left(task)
        ledger = await self.orders.ledger(task)
        ended: Ended | None = ledger.ended
        if ended is None or row.state is State.PARKED:
            raise ComityError(row.reason or "parked", f"task `{show_id(task)}` is parked: {row.reason}")
        if ended.state != State.SUCCEEDED:
            raise ComityError(ended.code or str(ended.state), ended.error or f"the task {ended.state}")
        if not ended.result.sha256:
            return decode(ended.result.inline or b"null")
        return decode((await self.store.segments(row.tenant, [ended.result.sha256]))[0])

    def _on_ended(self, row: TaskRow) -> None:
        future = self._watched.get(row.id)
        if future is not None and not future.done():
            future.set_result(row)
        if row.state not in (State.SUCCEEDED, State.CANCELLED):  # it may go on: whoever asks later looks into the store
            self._watched.pop(row.id, None)

    def _router(self) -> ModelRouter:
        config = load_config(dict(os.environ))
        return ModelRouter(
            config.model_settings,
            clock=self.clock,
            entropy=self.entropy,
            environment=dict(os.environ),
            scripted=self._play,
        )

    async def _play(self, _file: str, name: str, request: bytes) -> AsyncIterator[Delta]:
        asked = decode(request)
        model = self.loaded.models.get(name)
        if model is None:
            raise UsageError("no_such_model", f"`{self.loaded.program.file}` holds no scripted model `{name}`")
        message = model.answer(asked["messages"], asked.get("tools") or [])
        if message.get("content"):
            yield Delta(str(message["content"]))
        yield Delta("", canonical(message), finish="stop")


class RunOptions(TypedDict, total=False):
    """Options of `run`. `budget` as on the command line (`{"usd": 1}`), `allow` narrows the agent's tools."""

    store: str
    session: str
    budget: dict[str, Any]
    allow: tuple[str, ...]
    dedupe: str
    model: str


async def run_async(agent: Callable[..., Any], goal: Any, **options: Unpack[RunOptions]) -> Any:
    """Run an agent in this process until its task has ended, and return its result.

    With a `store` URL and a `dedupe` key a second run goes on where the first one was cut off; without, nothing
    outlives the process.

    Raises:
        ComityError: the task failed, was cancelled or is parked.
    """
    if options.get("store"):
        return await _run_on(options["store"], agent, goal, options)
    with tempfile.TemporaryDirectory(prefix="comity-") as folder:
        return await _run_on(f"sqlite:///{folder}/comity.db", agent, goal, options)


async def _run_on(url: str, agent: Callable[..., Any], goal: Any, options: RunOptions) -> Any:
    loaded = offered_by(agent)
    name = next(name for name, found in loaded.agents.items() if found is agent)
    spec = loaded.program.agent(name)
    assert spec is not None
    store = open_store(url)
    await store.open()
    try:
        async with Embedded(loaded, store, home=load_config(dict(os.environ)).make_home()) as node:
            task = await node.create(
                name,
                goal,
                session=options.get("session", ""),
                dedupe=options.get("dedupe", ""),
                model=options.get("model", ""),
                grant=grant_of(loaded.program, spec, "comity.run", options.get("allow"), options.get("model", "")),
                budget=read_budget(options["budget"]) if options.get("budget") else Budget(),
            )
            return await node.result(task)
    finally:
        await store.close()


def run(agent: Callable[..., Any], goal: Any, **options: Unpack[RunOptions]) -> Any:
    """Run an agent in this process, blocking; see `run_async`."""
    return asyncio.run(run_async(agent, goal, **options))
