"""The DNS of a service: a store of plans, endpoints that each serve one, resolvers that remember for a while."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from constants import DNS, DnsConstants

from comity.core.entropy import Generator


class DnsPlans:
    """The plant."""

    ACTUATORS: tuple[str, ...] = ("emit_plan", "roll_back", "apply_plan", "delete_plan")

    def __init__(self, chance: Generator, constants: DnsConstants = DNS) -> None:
        """Serve generation 1 everywhere; generation 2 is there."""
        self._c = constants
        self.slow = chance.randrange(3)
        """Which of the three enactors is slow in this run."""
        self.latest = 2
        self.store = {1, 2}
        self.contents = {1: 1, 2: 2}
        """What each plan says: what the one before says, unless it is a roll-back."""
        self.served = dict.fromkeys(constants.endpoints, 1)
        self.remembered = dict.fromkeys(constants.endpoints, constants.cached_steps)
        self.is_lost = False

    # What agents can do

    def emit_plan(self, table: str, generation: int) -> int:
        """Put a new plan into the store, which says what the newest one says."""
        return self._keep(generation, self.contents[self.latest])

    def roll_back(self, table: str, generation: int, content: int) -> int:
        """Put a new plan into the store, which says what an older one said."""
        return self._keep(generation, content)

    def _keep(self, generation: int, content: int) -> int:
        self.store.add(generation)
        self.contents[generation] = content
        self.latest = max(self.latest, generation)
        return generation

    def apply_plan(self, endpoint: str, generation: int) -> int:
        """Let an endpoint serve a plan. A plan that is gone leaves its record empty."""
        self.served[endpoint] = generation
        return generation

    def delete_plan(self, table: str, generation: int) -> int:
        """Delete a plan."""
        self.store.discard(generation)
        return generation

    # What happens

    def step(self) -> None:
        """Let resolvers ask again, or forget."""
        for name, plan in self.served.items():
            is_there = plan in self.store
            self.remembered[name] = self._c.cached_steps if is_there else max(0, self.remembered[name] - 1)
        self.is_lost = self.is_lost or any(not left for left in self.remembered.values())

    # What can be seen

    def sensors(self) -> dict[str, Any]:
        """Return what everybody sees."""
        return {
            "latest": self.latest,
            "content": self.contents[self.latest],
            "plans": sorted(self.store),
            "endpoints": list(self.served),
            "served": list(self.served.values()),
            **self.served,
        }

    def state(self) -> Mapping[str, Any]:
        """Return what is really so."""
        empty = [name for name, plan in self.served.items() if plan not in self.store]
        return {**self.sensors(), "empty": empty, "slow": self.slow}

    def goals(self) -> Mapping[str, bool]:
        """Return whether plans are served that are there and near to the newest, and say what was rolled back to."""
        is_served = not self.is_lost and all(plan in self.store for plan in self.served.values())
        return {
            "enactors": is_served and max(self.served.values()) >= self.latest - 3,
            "operator": is_served and all(self.contents[plan] == 1 for plan in self.served.values()),
        }
