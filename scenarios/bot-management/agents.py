"""A roll-out of permissions, a generator of the feature file, a distributor that ships it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))

from turns import Order, ask, look, next_turn, pursue

from comity import Context, agent, tool


@tool(effect="idempotent")
def change_permission(node: int) -> int:
    """Change the permissions on a database node."""
    return int(ask("/act/change_permission", node=node))


@tool(effect="idempotent")
def build_file(file: str, rows: int, duplicates: int) -> int:
    """Write the feature file."""
    return int(ask("/act/build_file", file=file, rows=rows, duplicates=duplicates))


@tool(effect="idempotent")
def ship_file(file: str, rows: int, duplicates: int) -> int:
    """Ship the file to the proxies."""
    return int(ask("/act/ship_file", file=file, rows=rows, duplicates=duplicates))


def for_rolling_out(seen: dict[str, Any]) -> Order | None:
    """Change one node after the other."""
    left = [node for node, is_changed in enumerate(seen["changed"]) if not is_changed]
    return Order(change_permission, {"node": left[0]}) if left else None


def for_generating(seen: dict[str, Any]) -> Order | None:
    """Build the file from whichever node answers."""
    if seen["answer_rows"] == seen["rows"]:
        return None
    given = {"rows": seen["answer_rows"], "duplicates": seen["answer_duplicates"]}
    return Order(build_file, {"file": "features", **given})


def for_distributing(seen: dict[str, Any]) -> Order | None:
    """Ship what was built."""
    if seen["rows"] == seen["shipped"]:
        return None
    return Order(ship_file, {"file": "features", "rows": seen["rows"], "duplicates": seen["duplicates"]})


@agent(name="roll-out", tools=[next_turn, look, change_permission])
async def roll_out(ctx: Context) -> dict[str, Any]:
    """Give each node the new permissions."""
    return await pursue(ctx, for_rolling_out)


@agent(tools=[next_turn, look, build_file])
async def generator(ctx: Context) -> dict[str, Any]:
    """Keep the feature file up to date."""
    return await pursue(ctx, for_generating)


@agent(tools=[next_turn, look, ship_file])
async def distributor(ctx: Context) -> dict[str, Any]:
    """Keep the proxies up to date."""
    return await pursue(ctx, for_distributing)
