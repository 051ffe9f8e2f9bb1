"""Coordination for a process that has opened a store and runs nothing: it looks, and tells what was observed."""

from __future__ import annotations

from collections.abc import Sequence

from comity.coordination.seen_world import SeenWorld
from comity.core.clock import Clock
from comity.core.entropy import Entropy
from comity.core.ids import new_id
from comity.journal.ports import Store
from comity.journal.world import Claimed, Observation, Seen, WorldEvent
from comity.kernel.patience import Patient
from comity.runtime.coordination import rows
from comity.runtime.coordination.applying import WorldDesk
from comity.runtime.coordination.coordinator import Coordinator
from comity.runtime.coordination.following import Follower
from comity.runtime.coordination.observing import Taken, observe_all
from comity.runtime.coordination.reading import read_snapshot
from comity.runtime.coordination.watching import Watching


class Aside:
    """What `Coordination` is for a node, for a command."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy) -> None:
        """Look at an open `store`."""
        self._store = store
        self._clock = clock
        self._entropy = entropy

    async def watched(self) -> Watching:
        """Return map and detectors as the log makes them: what was turned away is in no log, and not in these.

        Raises:
            UsageError: no world is in force.
        """
        now_us = self._clock.wall_us()
        found = await read_snapshot(self._store, now_us)
        picture = found.picture
        watching = Watching()
        watching.use(await WorldDesk(self._store, self._clock).baseline())
        watching.adopt(SeenWorld(found.world, lambda name: picture.known(name, now_us), lambda: list(picture.fields)))
        events: list[WorldEvent] = [Claimed(claim.since_us, claim) for claim in picture.claims.values()]
        for row in await self._store.states(rows.FIELD):
            held = rows.read_field(row)
            if held.observed_us:
                events.append(Seen(held.observed_us, row.key, held.value, held.version, held.by, held.observation))
        follower = Follower(self._store, self._clock, lambda: found.world)
        follower.on_event.append(events.append)
        follower.on_link.append(watching.link)
        await follower.replay()
        for event in sorted(events, key=lambda item: item.at_us):
            watching.feed(event)
        return watching

    async def observe(self, seen: Sequence[Observation], principal: str) -> list[Taken]:
        """Take what `principal` saw: this process becomes the writer of the components for a moment.

        Raises:
            UsageError: as `Coordination.observe`.
        """
        node = new_id(self._clock, self._entropy)
        coordinator = Coordinator(Patient(self._store, self._clock), self._clock, node)
        return await observe_all(coordinator, seen, principal)
