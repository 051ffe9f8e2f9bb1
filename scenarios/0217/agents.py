"""Two of the three agents of 02:17, each with a rule that is right. The third is a program (`routing.py`)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))

from turns import Order, ask, look, next_turn, pursue

from comity import Context, agent, tool

ALARM_MS = 300.0
QUIET_MS = 55.0
LOW_UTILISATION = 0.5
REPLICAS_MAX, REPLICAS_MIN, INSTANCES_MIN = 5, 2, 2


@tool(effect="idempotent")
def scale_app(service: str, replicas: int) -> int:
    """Set how many replicas the application has."""
    return int(ask("/act/scale_app", service=service, replicas=replicas))


@tool(effect="idempotent")
def scale_database(service: str, instances: int) -> int:
    """Set how many instances the database has."""
    return int(ask("/act/scale_database", service=service, instances=instances))


def for_performance(seen: dict[str, Any]) -> Order | None:
    """Scale up on a latency alarm, and down when it is quiet; not while something starts."""
    replicas = seen["replicas"]
    if seen["starting"]:
        return None
    if seen["latency_ms"] > ALARM_MS and replicas < REPLICAS_MAX:
        return Order(scale_app, {"service": "shop", "replicas": replicas + 1})
    if seen["latency_ms"] < QUIET_MS and replicas > REPLICAS_MIN:
        return Order(scale_app, {"service": "shop", "replicas": replicas - 1})
    return None


def for_cost(seen: dict[str, Any]) -> Order | None:
    """Shed an instance of a database that has little to do."""
    instances = seen["instances"]
    if seen["utilisation"] < LOW_UTILISATION and instances > INSTANCES_MIN:
        return Order(scale_database, {"service": "shop", "instances": instances - 1})
    return None


@agent(tools=[next_turn, look, scale_app])
async def performance(ctx: Context) -> dict[str, Any]:
    """Keep latency below the alarm."""
    return await pursue(ctx, for_performance)


@agent(tools=[next_turn, look, scale_database])
async def cost(ctx: Context) -> dict[str, Any]:
    """Pay for no instance that has nothing to do."""
    return await pursue(ctx, for_cost)
