"""The shop of 02:17: a router over two sites, an application layer, a database layer with a connection queue.

Above saturation the database thrashes: every connection too many makes all of them slower. The dashboard shows what is
served, so a database that thrashes looks like one with nothing to do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from constants import SHOP, ShopConstants

from comity.core.entropy import Generator

ROOM_LEAST = 0.05


class Layer:
    """Something of which there is a number; what is ordered serves some steps later, what goes is gone at once."""

    def __init__(self, count: int, start_steps: int) -> None:
        """Have so many, all of them up."""
        self.ordered = count
        self.up = count
        self._start_steps = start_steps
        self._starting: list[int] = []

    def order(self, count: int) -> None:
        """Have so many from now on."""
        more = count - self.ordered
        self.ordered = count
        if more > 0:
            self._starting += [self._start_steps] * more
        for _ in range(-more):
            if self._starting:
                self._starting.pop()
            else:
                self.up -= 1

    def step(self) -> None:
        """Let some of them come up."""
        self._starting = [left - 1 for left in self._starting]
        self.up += sum(1 for left in self._starting if left <= 0)
        self._starting = [left for left in self._starting if left > 0]


class Shop:
    """The plant."""

    ACTUATORS: tuple[str, ...] = ("scale_app", "scale_database", "shift_traffic")

    def __init__(self, chance: Generator, constants: ShopConstants = SHOP) -> None:
        """Begin at 02:17."""
        self._c = constants
        self._chance = chance
        self._phase = chance.random() * constants.wave_steps
        self.app = Layer(constants.replicas, constants.start_steps)
        self.database = Layer(constants.instances, constants.start_steps)
        self.share = constants.share
        self.steps = 0
        self.queue = 0.0
        self.strain = 0.0
        self.is_lost = False
        self._load = constants.load
        self._served = 0.0
        self._latency_ms = self._other_ms = constants.base_ms
        self._utilisation = 0.5
        self._flow()

    # What agents can do

    def scale_app(self, service: str, replicas: int) -> int:
        """Set how many replicas the application has."""
        self.app.order(replicas)
        return replicas

    def scale_database(self, service: str, instances: int) -> int:
        """Set how many instances the database has."""
        self.database.order(instances)
        return instances

    def shift_traffic(self, service: str, share: int) -> int:
        """Set how many quarters of the traffic come to this site."""
        self.share = share
        return share

    # What happens

    def step(self) -> None:
        """Let ten seconds pass."""
        self.steps += 1
        self.app.step()
        self.database.step()
        self._flow()

    @property
    def saturation(self) -> float:
        """Return connections over what the database takes."""
        limit = self.database.up * self._c.instance_connections
        return self.app.up * self.share * self._c.pool / limit if limit else math.inf

    def _flow(self) -> None:
        c = self._c
        wave = c.wave * math.sin(2 * math.pi * (self.steps + self._phase) / c.wave_steps)
        self._load = max(1.0, c.load + wave + self._chance.gauss(0, c.load_noise))
        here = self._load * self.share / c.shares
        app_rate = self.app.up * c.replica_rate
        if here + self.queue > app_rate:
            app_rate *= c.overload_factor
        self._served = 0.0 if self.is_lost else min(here + self.queue, app_rate, self._database_rate())
        self.queue = min(c.queue_max, max(0.0, here + self.queue - self._served))
        self._utilisation = self._served / max(1e-9, self.database.up * c.instance_rate)
        self._latency_ms = self._latency(here, app_rate)
        other = self._load - here
        self._other_ms = c.base_ms / max(ROOM_LEAST, 1 - other / c.other_rate)
        self._wear()

    def _database_rate(self) -> float:
        rate = self.database.up * self._c.instance_rate
        over = self.saturation - 1
        return rate / (1 + self._c.thrashing * over) if over > 0 else rate

    def _latency(self, here: float, app_rate: float) -> float:
        if self._served <= 0:
            return 60_000.0
        used = min(1.0, (here + self.queue) / max(1e-9, min(app_rate, self._database_rate())))
        waits_ms = self.queue / self._served * 1_000
        return self._c.base_ms / max(ROOM_LEAST, 1 - used) + waits_ms

    def _wear(self) -> None:
        over = self.saturation - 1
        self.strain = self.strain + over if over > 0 else max(0.0, self.strain - self._c.relief)
        if self.strain > self._c.strain_max:
            self.is_lost = True

    # What can be seen

    def sensors(self) -> dict[str, Any]:
        """Return what the dashboards show; nobody's shows connections."""
        return {
            "replicas": self.app.ordered,
            "starting": self.app.ordered - self.app.up,
            "instances": self.database.ordered,
            "share": self.share,
            "latency_ms": round(self._latency_ms, 1),
            "other_latency_ms": round(self._other_ms, 1),
            "utilisation": round(self._utilisation, 3),
        }

    def state(self) -> Mapping[str, Any]:
        """Return what is really so."""
        return {
            **self.sensors(),
            "load": round(self._load, 2),
            "served": round(self._served, 2),
            "queue": round(self.queue, 2),
            "saturation": round(self.saturation, 3),
            "strain": round(self.strain, 3),
        }

    def goals(self) -> Mapping[str, bool]:
        """Return which agents have what they want: no alarm, no idle instance, no room left unused."""
        c = self._c
        has_room = self._latency_ms < self._other_ms and self.share < c.share_max
        return {
            "performance": not self.is_lost and self._latency_ms <= c.alarm_ms,
            "cost": not self.is_lost
            and (self._utilisation >= c.low_utilisation or self.database.ordered <= c.instances_min),
            "routing": not self.is_lost and not has_room,
        }
