"""The agents of the DNS plans: a planner, three enactors, a clean-up; an operator. Each has a rule that is right."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))

from turns import Order, ask, look, next_turn, pursue

from comity import Context, Refused, agent, tool

AHEAD_MAX = 2
KEPT = 2
GOOD = 1
"""The content that is rolled back to."""


@tool(effect="idempotent")
def emit_plan(table: str, generation: int) -> int:
    """Put a new plan into the store."""
    return int(ask("/act/emit_plan", table=table, generation=generation))


@tool(effect="idempotent")
def roll_back(table: str, generation: int, content: int) -> int:
    """Put a new plan into the store that says what an older one said."""
    return int(ask("/act/roll_back", table=table, generation=generation, content=content))


@tool(effect="idempotent")
def apply_plan(endpoint: str, generation: int) -> int:
    """Let an endpoint serve a plan."""
    return int(ask("/act/apply_plan", endpoint=endpoint, generation=generation))


@tool(effect="idempotent")
def delete_plan(table: str, generation: int) -> int:
    """Delete a plan that nobody needs any more."""
    return int(ask("/act/delete_plan", table=table, generation=generation))


def for_planning(seen: dict[str, Any]) -> Order | None:
    """Emit the next generation, unless enactors are behind."""
    if seen["latest"] - max(seen["served"]) < AHEAD_MAX:
        return Order(emit_plan, {"table": "dynamodb", "generation": seen["latest"] + 1})
    return None


def for_rolling_back(seen: dict[str, Any]) -> Order | None:
    """Take back what is new once it is served everywhere, by a plan of the next generation."""
    if seen["content"] != GOOD and min(seen["served"]) > GOOD:
        return Order(roll_back, {"table": "dynamodb", "generation": seen["latest"] + 1, "content": GOOD})
    return None


def for_enacting(seen: dict[str, Any]) -> list[Order]:
    """Take the newest plan to every endpoint that has an older one; this is the one check that is made.

    An endpoint whose record is empty cannot be compared with: then nothing is done, and a person has to look.
    """
    if any(plan not in seen["plans"] for plan in seen["served"]):
        return []
    newest = seen["latest"]
    pairs = zip(seen["endpoints"], seen["served"], strict=True)
    return [Order(apply_plan, {"endpoint": name, "generation": newest}) for name, plan in pairs if plan < newest]


def for_cleaning(seen: dict[str, Any]) -> Order | None:
    """Delete the oldest plan that is generations behind what every endpoint serves."""
    old = [plan for plan in seen["plans"] if plan <= min(seen["served"]) - KEPT]
    return Order(delete_plan, {"table": "dynamodb", "generation": old[0]}) if old else None


@agent(tools=[next_turn, look, emit_plan])
async def planner(ctx: Context) -> dict[str, Any]:
    """Keep plans coming."""
    return await pursue(ctx, for_planning)


@agent(tools=[next_turn, look, roll_back])
async def operator(ctx: Context) -> dict[str, Any]:
    """Roll back what turned out bad."""
    return await pursue(ctx, for_rolling_back)


@agent(name="clean-up", tools=[next_turn, look, delete_plan])
async def clean_up(ctx: Context) -> dict[str, Any]:
    """Keep the store small."""
    return await pursue(ctx, for_cleaning)


async def enact(ctx: Context) -> dict[str, int]:
    """Apply the newest plan endpoint by endpoint, again and again."""
    done = refused = 0
    while not (await ctx.act(next_turn, agent=ctx.agent))["over"]:
        for order in for_enacting(await ctx.act(look, agent=ctx.agent)):
            if (await ctx.act(next_turn, agent=ctx.agent))["over"]:
                return {"done": done, "refused": refused}
            try:
                await ctx.act(order.tool, **order.args)
                done += 1
            except Refused:
                refused += 1
    return {"done": done, "refused": refused}


@agent(name="enactor-a", tools=[next_turn, look, apply_plan])
async def enactor_a(ctx: Context) -> dict[str, int]:
    """Apply plans."""
    return await enact(ctx)


@agent(name="enactor-b", tools=[next_turn, look, apply_plan])
async def enactor_b(ctx: Context) -> dict[str, int]:
    """Apply plans."""
    return await enact(ctx)


@agent(name="enactor-c", tools=[next_turn, look, apply_plan])
async def enactor_c(ctx: Context) -> dict[str, int]:
    """Apply plans."""
    return await enact(ctx)
