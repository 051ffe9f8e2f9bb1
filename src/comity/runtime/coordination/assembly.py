"""Everything that coordinates on one node, put together: coordinator and gate, follower of the log, detectors, map."""

from __future__ import annotations

from collections.abc import Callable

from comity.coordination.document import WorldDocument
from comity.coordination.seen_world import SeenWorld
from comity.coordination.world import World
from comity.core.clock import Clock
from comity.core.entropy import Entropy
from comity.core.ids import Id
from comity.journal.ports import Store
from comity.kernel.patience import Patient
from comity.runtime.coordination.acting import Actions
from comity.runtime.coordination.applying import WorldDesk
from comity.runtime.coordination.coordinator import Coordinator
from comity.runtime.coordination.following import Follower
from comity.runtime.coordination.gate import WorldGate
from comity.runtime.coordination.watching import Watching


class Coordination:
    """The coordination of a node: `gate` is for its kernel, `coordinator.on_entry` for what the kernel writes."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, node: Id) -> None:
        """Coordinate over an open `store`; nothing runs before `start`."""
        self._store = store
        self._clock = clock
        self.actions = Actions(store, clock, entropy)
        self.watching = Watching(self.actions.take)
        self.coordinator = Coordinator(Patient(store, clock), clock, node, self.watching)
        self.gate = WorldGate(self.coordinator)
        self.follower = Follower(store, clock, lambda: self.coordinator.world)
        self.follower.on_entry.append(self.coordinator.on_entry)
        self.follower.on_event.append(self.watching.feed)
        self.follower.on_link.append(self.watching.link)
        self.coordinator.on_ruling.append(self.watching.ruled)
        self.coordinator.on_seen.append(self.watching.saw)
        self.coordinator.on_world.append(self._adopt)
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
        await self.coordinator.stop()
        await self.actions.stop()
