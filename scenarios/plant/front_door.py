"""The front door: metadata that two builds write, a configuration that is staged, and a crash that comes late."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from constants import FRONT_DOOR, FrontDoorConstants

from comity.core.entropy import Generator


class FrontDoor:
    """The plant."""

    ACTUATORS: tuple[str, ...] = ("write_metadata", "promote")

    def __init__(self, chance: Generator, constants: FrontDoorConstants = FRONT_DOOR) -> None:
        """Begin with nothing staged; how late the effect comes differs a little."""
        self._c = constants
        self._late = constants.effect_steps + chance.randrange(3)
        self.staged = {"old": 0, "new": 0}
        self.good = {"old": 0, "new": 0}
        self.staged_steps = 0
        self._mixed_steps = 0
        self.is_crashed = False
        self.is_lost = False

    # What agents can do

    def write_metadata(self, tenant: str, build: str) -> int:
        """Write a tenant's metadata as this build writes it."""
        self.staged[build] = 1
        self.staged_steps = 0
        return 1

    def promote(self, tenant: str, old: int, new: int) -> int:
        """Make what is staged the last known good configuration."""
        self.good = {"old": old, "new": new}
        return 1

    # What happens

    def step(self) -> None:
        """Let a minute pass."""
        self.staged_steps += 1
        if sum(self.staged.values()) == 2:
            self._mixed_steps += 1
        self.is_crashed = self.is_crashed or self._mixed_steps >= self._late
        # The data plane falls back on the last known good configuration; where that is bad too, there is nothing left.
        self.is_lost = self.is_lost or (self.is_crashed and sum(self.good.values()) == 2)

    # What can be seen

    def sensors(self) -> dict[str, Any]:
        """Return what everybody sees."""
        return {
            "old": self.staged["old"],
            "new": self.staged["new"],
            "good_old": self.good["old"],
            "good_new": self.good["new"],
            "green": not self.is_crashed,
            "soaked": self.staged_steps,
        }

    def state(self) -> Mapping[str, Any]:
        """Return what is really so."""
        return {**self.sensors(), "mixed_steps": self._mixed_steps}

    def goals(self) -> Mapping[str, bool]:
        """Return who has what it wants."""
        return {
            "build-old": bool(self.staged["old"]),
            "build-new": bool(self.staged["new"]),
            "promoter": not self.is_lost and self.good == self.staged,
            "edge": not self.is_lost,
        }
