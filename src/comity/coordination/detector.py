"""The contract of detectors: fed with what happens in the world, in order; each tells what it sees while it starts.

A detector is pure and incremental: time comes with the events. Its parameters have the names and units of its table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from comity.journal.world import Acted, WorldEvent


class Alarm(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a detector saw at `at_us`: on which fields, by whose doing (`actors`), from which calls and observations.

    `score` is how far over its threshold (1.0: just there). `text` says it to people; `facts` are the numbers behind.
    """

    detector: str
    at_us: int
    fields: tuple[str, ...] = ()
    actors: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    score: float = 1.0
    text: str = ""
    facts: dict[str, float] = {}


class Detector(Protocol):
    """Watches for one kind of harm. Implementations are the files of `detectors/`."""

    name: str

    def feed(self, event: WorldEvent) -> Sequence[Alarm]:
        """Take the next event; return the alarms that begin with it (one that goes on is not told again)."""
        ...

    def would(self, act: Acted) -> Alarm | None:
        """Tell whether letting `act` through now would raise an alarm; changes nothing."""
        ...
