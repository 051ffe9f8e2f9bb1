"""Everything that coordinates on one node, put together: coordinator and gate, follower of the log, detectors, map."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from comity.coordination.document import WorldDocument
from comity.coordination.seen_world import SeenWorld
from comity.coordination.world import World
from comity.core.clock import Clock
from comity.core.entropy import Entropy
from comity.core.errors import ComityError
from comity.core.ids import Id, show_id
from comity.journal.entry import Body, Ended, Entry
from comity.journal.ports import Programs, Store
from comity.journal.world import Claim, Observation
from comity.kernel.patience import Patient, patiently
from comity.runtime.coordination.acting import Actions
from comity.runtime.coordination.applying import WorldDesk
from comity.runtime.coordination.claiming import WorldCalls
from comity.runtime.coordination.coordinator import Coordinator
from comity.runtime.coordination.envelope import WorldShaper
from comity.runtime.coordination.following import Follower
from comity.runtime.coordination.gate import WorldGate
from comity.runtime.coordination.observing import Taken, observe_all
from comity.runtime.coordination.trims import Trims
from comity.runtime.coordination.unjudged import count_unjudged
from comity.runtime.coordination.watching import Watching

ENDED_MAX = 10_000
"""So many tasks that have ended are remembered, for claims that are heard of later."""

log = logging.getLogger("comity.coordination")


class Coordination:
    """The coordination of a node: `gate` and `calls` are for its kernel, whose entries `coordinator.on_entry` hears."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        entropy: Entropy,
        node: Id,
        programs: Programs,
        url: Callable[[], str] = lambda: "",
    ) -> None:
        """Coordinate over an open `store`; nothing runs before `start`. Other nodes reach this one at `url`.

        `programs` say what the tools of agents declare themselves.
        """
        self._store = store
        self._clock = clock
        self._programs = programs
        self.actions = Actions(store, clock, entropy)
        self.watching = Watching(self.actions.take)
        self.coordinator = Coordinator(
            Patient(store, clock),
            clock,
            node,
            self.watching,
            secret=entropy.take(32).hex(),
            url=url,
            count=self._count,
        )
        self.gate = WorldGate(self.coordinator)
        self.calls = WorldCalls(store, clock, self.observe, self.coordinator.rank_of)
        self.follower = Follower(store, clock, lambda: self.coordinator.world)
        self.follower.on_entry.append(self.coordinator.on_entry)
        self.follower.on_entry.append(self._ended)
        self.follower.on_event.append(self.watching.feed)
        self.follower.on_link.append(self.watching.link)
        self.trims = Trims()
        self.coordinator.on_ruling += [self.watching.ruled, self.trims.ruled]
        self.coordinator.on_seen.append(self.watching.saw)
        self.coordinator.on_world.append(self._adopt)
        self.coordinator.on_baseline.append(self.watching.use)
        self.coordinator.on_claims.append(self._claimed)
        self._beside: set[asyncio.Task[None]] = set()
        self._over: dict[str, int] = {}
        self._unwatch: Callable[[], None] | None = None

    async def start(self, document: WorldDocument | None = None, text: str = "", who: str = "configuration") -> None:
        """Put `document` in force where there is one, and begin.

        Raises:
            UsageError: it does not fit together.
        """
        if document is not None:
            await WorldDesk(self._store, self._clock, who).apply(document, text)
        await self.coordinator.start()
        self._unwatch = self._store.watch(self.coordinator.news)

    def shaper(self) -> WorldShaper:
        """Return what tells model calls of what others intend."""
        return WorldShaper(self.coordinator, self.watching.damping.until_us, self.trims, self._programs)

    async def watched(self) -> Watching:
        """Return what watches the world here."""
        self.coordinator.news()
        await self.coordinator.refresh()
        return self.watching

    async def observe(self, seen: Sequence[Observation], principal: str) -> list[Taken]:
        """Take what `principal` saw, each as it may; it is stored before this returns.

        Raises:
            UsageError: there is no world, or something of it is none of its fields, or comes from the future.
        """
        return await observe_all(self.coordinator, seen, principal)

    def _claimed(self, claims: Sequence[Claim]) -> None:
        self.watching.claimed(claims, self._clock.wall_us())
        self._end_claims(claims)

    def _ended(self, task: Id, entry: Entry, body: Body) -> None:
        """Let the claims of a task end with it, those too of which this node hears only later."""
        if isinstance(body, Ended):
            while len(self._over) >= ENDED_MAX:
                self._over.pop(next(iter(self._over)))
            self._over[show_id(task)] = entry.at_us
            self._end_claims(self.coordinator.claims)
            if task in self.coordinator.asking:
                del self.coordinator.asking[task]
                self._begin(self._withdraw(task))

    def _end_claims(self, claims: Sequence[Claim]) -> None:
        """End the claims that their tasks made before they ended: one that goes on may claim anew."""
        for task in {claim.task for claim in claims if claim.since_us <= self._over.get(claim.task, 0)}:
            self._begin(self._end_claims_of(task))

    async def _count(self, world: World, version: int) -> bool:
        counting = partial(count_unjudged, self._store, self._programs, world, version, self._clock.wall_us())
        return await patiently(self._clock, counting)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def _withdraw(self, task: Id) -> None:
        try:
            await WorldDesk(self._store, self._clock, "coordination").withdraw(task)
        except ComityError as error:
            log.warning("what task %s asked people was not withdrawn: %s", show_id(task), error.message)

    async def _end_claims_of(self, task: str) -> None:
        try:
            await WorldDesk(self._store, self._clock, "coordination").end_claims_of(task, self._over.get(task, 0))
        except ComityError as error:
            log.warning("the claims of task %s were not ended: %s", task, error.message)

    def _adopt(self, world: World | None) -> None:
        if world is None:
            self.watching.adopt(None)
            return
        self.watching.adopt(SeenWorld(world, self.coordinator.believed, self.coordinator.known))
        self.follower.start()

    async def stop(self) -> None:
        """End."""
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        await self.follower.stop()
        await asyncio.gather(*self._beside, return_exceptions=True)
        await self.coordinator.stop()
        await self.actions.stop()
