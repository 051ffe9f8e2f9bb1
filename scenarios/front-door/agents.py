"""Two builds of a control plane, and a promoter that makes what is healthy the last known good configuration."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))

from turns import Order, ask, look, next_turn, pursue

from comity import Context, agent, tool

GATE_STEPS = 2
"""So long the promoter looks at health; the effect of a bad configuration takes longer."""


@tool(effect="idempotent")
def write_metadata(tenant: str, build: str) -> int:
    """Write a tenant's metadata as a build writes it."""
    return int(ask("/act/write_metadata", tenant=tenant, build=build))


@tool(effect="idempotent")
def promote(tenant: str, old: int, new: int) -> int:
    """Make what is staged the last known good configuration."""
    return int(ask("/act/promote", tenant=tenant, old=old, new=new))


def for_writing(build: str, seen: dict[str, Any]) -> Order | None:
    """Write the metadata once."""
    return None if seen[build] else Order(write_metadata, {"tenant": "acme", "build": build})


def for_promoting(seen: dict[str, Any]) -> Order | None:
    """Promote what is staged, once health was green for as long as the gate looks."""
    staged, good = (seen["old"], seen["new"]), (seen["good_old"], seen["good_new"])
    if seen["green"] and any(staged) and staged != good and seen["soaked"] >= GATE_STEPS:
        return Order(promote, {"tenant": "acme", "old": staged[0], "new": staged[1]})
    return None


@agent(name="build-old", tools=[next_turn, look, write_metadata])
async def build_old(ctx: Context) -> dict[str, Any]:
    """Write metadata as the old build does."""
    return await pursue(ctx, lambda seen: for_writing("old", seen))


@agent(name="build-new", tools=[next_turn, look, write_metadata])
async def build_new(ctx: Context) -> dict[str, Any]:
    """Write metadata as the new build does."""
    return await pursue(ctx, lambda seen: for_writing("new", seen))


@agent(tools=[next_turn, look, promote])
async def promoter(ctx: Context) -> dict[str, Any]:
    """Keep the last known good configuration up to date."""
    return await pursue(ctx, for_promoting)
