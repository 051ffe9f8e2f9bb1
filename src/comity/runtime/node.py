"""A node process: store, kernel and gates here; brains and hands in processes of their own, forked from zygotes."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from comity.coordination.document import WorldDocument
from comity.coordination.world import World
from comity.core.clock import Clock, SystemClock
from comity.core.entropy import Entropy, SystemEntropy
from comity.core.errors import StoreError, UsageError
from comity.core.ids import Id, derived_id, new_id, show_id
from comity.hands.masks import SECRET_CHARS_MIN, Masks
from comity.journal.call import Permit
from comity.journal.ports import Store
from comity.journal.protocol import Delta
from comity.kernel import Devices, Kernel, Settings
from comity.kernel.kernel import Listener
from comity.kernel.patience import Patient
from comity.models.router import ModelRouter
from comity.runtime import log as logs
from comity.runtime.brains import BrainsByKind, ProcessBrains
from comity.runtime.burial import address_of, bury, host_name
from comity.runtime.catalog import Catalog
from comity.runtime.collecting import COLLECT_AT
from comity.runtime.config import Config
from comity.runtime.coordination.assembly import Coordination
from comity.runtime.coordination.polling import NAME as OBSERVER
from comity.runtime.coordination.polling import keep_polls, observer_program
from comity.runtime.coordination.scraping import Scraper
from comity.runtime.hands import HandsByTool, ProcessHands
from comity.runtime.hardening import allow_many_descriptors, hide_from_neighbours
from comity.runtime.isolation import described
from comity.runtime.isolation_paths import of_brains
from comity.runtime.kept import KeptSettings
from comity.runtime.nodelock import NodeLock, lock_path
from comity.runtime.orders import Orders
from comity.runtime.output import OnLine
from comity.runtime.programs import LivePrograms
from comity.runtime.zygote import ZygoteSettings
from comity.runtime.zygotes import Zygotes

if TYPE_CHECKING:
    from comity.hands.mcp import McpHand

log = logging.getLogger("comity.node")

UPSTREAMS_S = 10.0
"""So long a start waits for upstream MCP servers; one that is not there yet is tried again beside."""


class LogListener:
    """Writes what a kernel tells to the log, each line with its task."""

    def log(self, text: str, task: Id | None) -> None:
        """Log a line."""
        with logs.task_scope(show_id(task) if task else ""):
            log.info("%s", text)

    def progress(self, task: Id, text: str, fraction: float | None) -> None:
        """Log a word of progress."""
        with logs.task_scope(show_id(task)):
            log.info("%s", text if fraction is None else f"{text} ({fraction:.0%})")

    def delta(self, task: Id, permit: Permit, text: str) -> None:
        """Leave streams alone."""


class Node:
    """One node of a store: `start` it, `drain` it. `kernel` is its kernel once it has started."""

    def __init__(
        self,
        config: Config,
        store: Store,
        environment: Mapping[str, str],
        *,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
        listener: Listener | None = None,
        on_line: OnLine | None = None,
    ) -> None:
        """Prepare a node on an open `store`; `environment` holds models' keys, `on_line` takes what agents print."""
        self.config = config
        self.store = store
        self.clock = clock or SystemClock()
        self.entropy = entropy or SystemEntropy()
        self.id = new_id(self.clock, self.entropy)
        self.patient = Patient(store, self.clock)
        self._environment = environment
        self._listener = listener or LogListener()
        self._lock = NodeLock.acquire(lock_path(config.make_home(), self.id))
        names = config.sections.node.hand_env
        secrets = tuple(environment[name] for name in names if len(environment.get(name, "")) >= SECRET_CHARS_MIN)
        logs.hide(secrets)
        masks = Masks((*secrets, *config.secrets))
        tell = on_line or _say
        settings = ZygoteSettings(
            lambda who, line: tell(who, logs.redacted(line)),
            names,
            self._lock.fileno(),
            isolation=of_brains(config, environment),
        )
        self.zygotes = Zygotes(settings)
        self.catalog = Catalog(self.patient, config, self.zygotes.describe, self.clock)
        self.programs = LivePrograms(self.patient, self.zygotes.describe, config, self.catalog.program)
        self.hands = ProcessHands(self.zygotes, self._file_of, masks)
        self.hand = HandsByTool(self.hands)
        self.upstreams = self._upstreams(tell, (*secrets, *config.secrets))
        self.hand.upstreams = self.upstreams
        self.brains = ProcessBrains(self.zygotes, self.programs)
        self.outside = BrainsByKind(self.programs, self.brains)
        self.url = ""
        self.models = ModelRouter(
            config.model_settings,
            clock=self.clock,
            entropy=self.entropy,
            environment=environment,
            scripted=self._play,
        )
        self._scripts: dict[Id, str] = {}
        self._plays = 0
        self.coordination = Coordination(store, self.clock, self.entropy, self.id, self.programs, lambda: self.url)
        self.kernel = self._kernel()
        self.kernel.on_entry.append(self.coordination.coordinator.on_entry)
        self.programs.own[OBSERVER] = lambda: observer_program(self.catalog.tools)
        self.scraper = Scraper(self.coordination.coordinator, self.clock)
        self._polling: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Hide this process from its neighbours, bury the dead of this machine, and begin to take tasks."""
        gc.set_threshold(*COLLECT_AT)
        hide_from_neighbours()
        allow_many_descriptors()
        logs.hide(self.config.secrets)
        self.kernel.lease.on_renewed.append(self.hands.told_lease)
        self.kernel.before_take.append(lambda: bury(self.store, self.id))
        await self.catalog.start()
        await self.coordination.start(*self._world())
        if self.upstreams is not None:
            self.kernel.lease.on_renewed.append(self.upstreams.told_lease)
            await self.upstreams.start(UPSTREAMS_S)
        self._observe(self.coordination.coordinator.world)
        self.coordination.coordinator.on_world.append(self._observe)
        await self.kernel.start(host_name(), os.getpid(), address_of(self._lock, self.url))
        log.info("node %s is up on %s; brain isolation: %s", show_id(self.id), self.store.url, described())

    async def drain(self) -> None:
        """Take nothing more, let calls under way end, give the tasks back, end all processes."""
        log.info("node %s drains", show_id(self.id))
        await self.kernel.drain()
        await self.close()

    async def close(self) -> None:
        """End everything at once."""
        await self.kernel.stop()
        await self.scraper.stop()
        await asyncio.gather(*self._polling, return_exceptions=True)
        await self.coordination.stop()
        self.hands.close()
        if self.upstreams is not None:
            await self.upstreams.close()
        await self.catalog.close()
        await self.zygotes.close()
        await self.models.aclose()
        try:
            await self.store.declare_dead(self.id)
        except StoreError as error:
            log.warning("the store was not told of the end: %s", error.message)
        self._lock.path.unlink(missing_ok=True)
        self._lock.release()
        log.info("node %s is down", show_id(self.id))

    def _kernel(self) -> Kernel:
        section = self.config.sections.node
        settings = Settings(
            permit_s=section.permit_s,
            lease_s=section.lease_s,
            lease_margin_s=section.lease_margin_s,
            linger_s=section.linger_s,
            drain_s=section.drain_s,
            tasks_max=section.workers,
            queues=section.queues,
        )
        devices = Devices(
            self.store,
            self.clock,
            self.entropy,
            self.hand,
            self.models,
            self.outside,
            self.programs,
            admit=self.coordination.gate,
            world=self.coordination.calls,
            shaper=self.coordination.shaper(),
            listener=self._listener,
        )
        return Kernel(devices, settings, self.id)

    def _world(self) -> tuple[WorldDocument | None, str]:
        """Return the world file of the configuration, and its text."""
        if not self.config.sections.world.file:
            return None, ""
        from comity.coordination.loading import load_world

        folder = self.config.file.parent if self.config.file is not None else Path.cwd()
        loaded = load_world(folder / self.config.sections.world.file)
        return loaded.document, loaded.text

    def _observe(self, world: World | None) -> None:
        """Scrape and poll as the world in force says."""
        document = world.document if world is not None else WorldDocument()
        self.scraper.adopt(document.scrapes)
        orders = Orders(self.store, self.clock, self.entropy, "coordination")
        version = self.coordination.coordinator.version
        polls = asyncio.ensure_future(keep_polls(document, version, self.catalog.tools, orders, self.store))
        self._polling.add(polls)
        polls.add_done_callback(self._polling.discard)

    def _upstreams(self, tell: OnLine, secrets: tuple[str, ...]) -> McpHand | None:
        """Return the hand for tools of upstream MCP servers; None where none is configured."""
        upstreams = self.config.sections.mcp_upstreams
        if not upstreams:
            return None
        from comity.hands.mcp import McpHand
        from comity.runtime.upstreams import Ways, secrets_of

        hidden = secrets_of(upstreams, self._environment)
        logs.hide(hidden)
        folder = self.config.file.parent if self.config.file is not None else Path.cwd()
        kept = KeptSettings(lambda who, line: tell(who, logs.redacted(line)), str(folder), self._lock.fileno())
        ways = Ways(self._environment, kept)
        return McpHand(upstreams, ways, self.catalog, self.clock, Masks((*secrets, *hidden)))

    async def _file_of(self, task: Id) -> str:
        """Return the agent file whose tools a task uses, or the file of a scripted model's hand."""
        if task in self._scripts:
            return self._scripts[task]
        row = await self.patient.task(task)
        program = await self.programs.find(row.agent) if row is not None else None
        if program is None or not program.file:
            raise UsageError("unknown_agent", f"no file is registered for task `{show_id(task)}`")
        return program.file

    async def _play(self, file: str, name: str, request: bytes) -> AsyncIterator[Delta]:
        path = _real(file)
        stage = derived_id(b"scripted", path.encode())
        self._scripts[stage] = path
        self._plays += 1
        permit = Permit(stage, self._plays, 1, self.clock.monotonic_s() + self.config.sections.node.lease_s, "")
        async for delta in self.hands.complete(permit, name, request):
            yield delta


def _say(who: str, line: str) -> None:
    log.info("%s: %s", who, line)


def _real(file: str) -> str:
    return os.path.realpath(file)
