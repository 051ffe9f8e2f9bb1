"""The constants of all plants, in one place. They were frozen before anything was measured with the reported seeds."""

from __future__ import annotations

from typing import NamedTuple


class ShopConstants(NamedTuple):
    """02:17. Rates are in thousand requests a step, a step is ten seconds."""

    replicas: int = 3
    instances: int = 3
    share: int = 2
    shares: int = 4
    load: float = 10.5
    load_noise: float = 0.35
    wave: float = 0.6
    wave_steps: int = 16
    replica_rate: float = 2.0
    instance_rate: float = 5.0
    other_rate: float = 7.0
    overload_factor: float = 0.9
    """An application that is overloaded serves this part of what it could."""
    pool: int = 20
    """Connections that a replica opens for each quarter of the traffic."""
    instance_connections: int = 100
    thrashing: float = 4.0
    """How fast the database slows down above saturation."""
    base_ms: float = 40.0
    queue_max: float = 20.0
    start_steps: int = 2
    """A replica or an instance serves so many steps after it was ordered."""
    strain_max: float = 0.8
    """So much saturation above 1, added up over steps, takes the database layer down."""
    relief: float = 0.5
    alarm_ms: float = 300.0
    quiet_ms: float = 55.0
    low_utilisation: float = 0.5
    replicas_max: int = 5
    instances_min: int = 2
    share_max: int = 3


class DnsConstants(NamedTuple):
    """The DNS plans."""

    endpoints: tuple[str, ...] = ("public", "streams", "fips")
    kept: int = 2
    """Generations behind what every endpoint serves that are deleted."""
    cached_steps: int = 1
    """Resolvers remember an answer for so many steps."""


class FrontDoorConstants(NamedTuple):
    """The front door."""

    effect_steps: int = 5
    """A configuration that does not fit crashes the data plane so many steps after it was staged."""


class FeaturesConstants(NamedTuple):
    """The feature file."""

    rows: int = 60
    rows_max: int = 200
    copies: int = 4
    """How often a changed node answers with each row (the model's)."""
    rows_new: int = 0
    """So many rows more a changed node has, once each."""
    nodes: int = 5


class FleetConstants(NamedTuple):
    """The fleet behind a registry."""

    servers: int = 12
    need: int = 9
    retired: int = 0
    """So many servers are no longer in the registry."""
    is_on: bool = True
    """How the autoscaler's flag stands at first."""


SHOP = ShopConstants()
SHOP_BENIGN = SHOP._replace(instance_connections=200)
DNS = DnsConstants()
FRONT_DOOR = FrontDoorConstants()
FEATURES = FeaturesConstants()
FEATURES_BENIGN = FEATURES._replace(copies=1, rows_new=24)
FLEET = FleetConstants()
FLEET_BENIGN = FLEET._replace(retired=1, is_on=False)
