"""Contract drift: an artefact that consumers rely on grows suddenly, or repeats itself, against the last good one."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from comity.coordination.detector import Alarm
from comity.coordination.detectors.recent import Latch, Recent
from comity.coordination.detectors.surroundings import Surroundings
from comity.journal.world import Acted, Published, WorldEvent


class ContractDriftParameters(msgspec.Struct, frozen=True):
    """Growth above `growth_max` times the last good one, of it or of its duplicates (any, where that had none)."""

    growth_max: float = 1.5
    quiet_s: float = 1800.0


class ContractDrift:
    """Watches artefacts. What has drifted never becomes the last good one; the first that is seen does."""

    name = "contract_drift"

    def __init__(self, surroundings: Surroundings, parameters: ContractDriftParameters | None = None) -> None:
        self._surroundings = surroundings
        self._with = parameters or ContractDriftParameters()
        self._good: Recent[str, Published] = Recent()
        self._latch: Latch[str] = Latch(self._with.quiet_s)

    def feed(self, event: WorldEvent) -> Sequence[Alarm]:
        """Take the next event."""
        if not isinstance(event, Published):
            return ()
        good = self._good.get(event.artefact)
        if good is None:
            self._good.put(event.artefact, event)
            return ()
        growth = event.size / good.size if good.size > 0 else 1.0
        has_more = event.duplicates > good.duplicates * self._with.growth_max
        if growth <= self._with.growth_max and not has_more:
            self._good.put(event.artefact, event)
            return ()
        if not self._latch.begins(event.artefact, event.at_us):
            return ()
        return (
            Alarm(
                self.name,
                event.at_us,
                (event.artefact,),
                (event.actor,),
                (good.call, event.call),
                max(growth / self._with.growth_max, 1.0),
                f"`{event.artefact}` is {growth:.1f} times the last good one, with {event.duplicates} duplicates",
                {"growth": growth, "duplicates": float(event.duplicates), "size": event.size},
            ),
        )

    def would(self, act: Acted) -> Alarm | None:
        """Return None: an artefact is judged when it is published."""
        return None
