"""What comes in: an event that was there already is dropped, one from the past happens now."""

from __future__ import annotations

import msgspec

from comity.coordination.detectors.recent import Recent
from comity.journal.world import Acted, Claimed, Measured, Published, Settled, Turned, WorldEvent

EVENTS_MAX = 16_384


class Intake:
    """Makes a stream of events one in which each is once, and time never goes back.

    An event that comes late is taken at the time of the newest.
    """

    def __init__(self, events_max: int = EVENTS_MAX) -> None:
        self._known: Recent[tuple[object, ...], None] = Recent(events_max)
        self._now_us = 0
        self.repeated = 0
        self.late = 0

    def take(self, event: WorldEvent) -> WorldEvent | None:
        """Return the event as detectors are to see it; None where it was there already."""
        key = _key(event)
        if key in self._known:
            self.repeated += 1
            return None
        self._known.put(key, None)
        if event.at_us >= self._now_us:
            self._now_us = event.at_us
            return event
        self.late += 1
        return msgspec.structs.replace(event, at_us=self._now_us)


def _key(event: WorldEvent) -> tuple[object, ...]:
    """Return what makes two events the same."""
    kind = type(event).__name__
    if isinstance(event, Acted):
        return kind, event.call
    if isinstance(event, Settled):
        return kind, event.call, event.end
    if isinstance(event, Turned):
        return kind, event.call, event.verdict, event.n, event.at_us
    if isinstance(event, Claimed):
        return kind, event.claim.id, event.claim.until_us, event.is_over
    if isinstance(event, Published):
        return kind, event.call, event.artefact
    if isinstance(event, Measured):
        return kind, event.actor, event.goal, event.at_us
    return kind, event.field, event.id, event.by, event.version, event.at_us
