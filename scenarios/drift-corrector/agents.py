"""An operator who migrates a registry, a corrector of drift, an autoscaler that believes the registry."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))

from turns import Order, ask, look, next_turn, pursue

from comity import Context, agent, tool

SERVERS = 12
MOVED_A_STEP = 3


@tool(effect="idempotent")
def switch_autoscaler(site: str, on: int) -> int:
    """Switch the autoscaler on (1) or off (0)."""
    return int(ask("/act/switch_autoscaler", site=site, on=on))


@tool(effect="idempotent")
def migrate(site: str, moved: int) -> int:
    """Have so many entries in the new registry."""
    return int(ask("/act/migrate", site=site, moved=moved))


@tool(effect="idempotent")
def terminate(site: str, servers: int) -> int:
    """Terminate servers until so many are left."""
    return int(ask("/act/terminate", site=site, servers=servers))


def for_migrating(seen: dict[str, Any]) -> Order | None:
    """Switch the autoscaler off, move entries, switch it on again when all are there."""
    moved = seen["moved"]
    if not moved and seen["on"]:
        return Order(switch_autoscaler, {"site": "web", "on": 0})
    if moved < SERVERS:
        return Order(migrate, {"site": "web", "moved": moved + MOVED_A_STEP})
    return None if seen["on"] else Order(switch_autoscaler, {"site": "web", "on": 1})


def for_correcting(seen: dict[str, Any]) -> Order | None:
    """Restore what is declared: the autoscaler is on."""
    return None if seen["on"] else Order(switch_autoscaler, {"site": "web", "on": 1})


def for_scaling(seen: dict[str, Any]) -> Order | None:
    """Terminate what the registry does not have."""
    if seen["on"] and seen["entries"] < seen["servers"]:
        return Order(terminate, {"site": "web", "servers": seen["entries"]})
    return None


@agent(tools=[next_turn, look, switch_autoscaler, migrate])
async def operator(ctx: Context) -> dict[str, Any]:
    """Migrate the registry."""
    return await pursue(ctx, for_migrating)


@agent(tools=[next_turn, look, switch_autoscaler])
async def corrector(ctx: Context) -> dict[str, Any]:
    """Correct drift."""
    return await pursue(ctx, for_correcting)


@agent(tools=[next_turn, look, terminate])
async def autoscaler(ctx: Context) -> dict[str, Any]:
    """Keep as many servers as the registry has."""
    return await pursue(ctx, for_scaling)
