"""A fleet behind a registry: an autoscaler terminates what the registry does not have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from constants import FLEET, FleetConstants

from comity.core.entropy import Generator


class Fleet:
    """The plant."""

    ACTUATORS: tuple[str, ...] = ("switch_autoscaler", "migrate", "terminate")

    def __init__(self, chance: Generator, constants: FleetConstants = FLEET) -> None:
        """Begin with nothing migrated."""
        self._c = constants
        self.is_on = constants.is_on
        self.moved = 0
        self.is_moving = False
        self.servers = constants.servers
        self._slowness = chance.randrange(2)
        self.short_steps = 0
        self.is_lost = False

    # What agents can do

    def switch_autoscaler(self, site: str, on: int) -> int:
        """Switch the autoscaler on (1) or off (0)."""
        self.is_on = bool(on)
        return on

    def migrate(self, site: str, moved: int) -> int:
        """Move entries to the new registry; it counts as soon as one is there."""
        self.moved = min(moved, self._c.servers)
        self.is_moving = self.moved < self._c.servers
        return self.moved

    def terminate(self, site: str, servers: int) -> int:
        """Terminate servers until so many are left."""
        self.servers = min(self.servers, servers)
        return self.servers

    # What happens

    def step(self) -> None:
        """Let some seconds pass."""
        self.short_steps = self.short_steps + 1 if self.servers < self._c.need else 0
        self.is_lost = self.is_lost or self.short_steps >= 1 + self._slowness

    @property
    def entries(self) -> int:
        """Return how many servers the registry that counts has."""
        return self.moved if self.is_moving else self._c.servers - self._c.retired

    # What can be seen

    def sensors(self) -> dict[str, Any]:
        """Return what everybody sees."""
        return {"on": int(self.is_on), "moved": self.moved, "entries": self.entries, "servers": self.servers}

    def state(self) -> Mapping[str, Any]:
        """Return what is really so."""
        return {**self.sensors(), "short_steps": self.short_steps}

    def goals(self) -> Mapping[str, bool]:
        """Return who has what it wants."""
        return {
            "operator": self.moved == self._c.servers,
            "corrector": self.is_on,
            "autoscaler": self.servers <= self.entries,
            "serving": not self.is_lost,
        }
