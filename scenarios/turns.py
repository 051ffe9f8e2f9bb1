"""How an agent of a live scenario goes about it: wait for its turn, look, decide, wait for its turn, act.

The plant's clock is stepped from outside, and so are the agents: `next_turn` answers when the driver lets this agent go
on. Between looking and acting others have their turns, as they have while a model thinks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any, NamedTuple

from comity import Context, Refused, tool

PLANT = "COMITY_PLANT"
"""The variable that says at which port of this machine the plant is."""


class Order(NamedTuple):
    """What an agent has decided to do."""

    tool: Callable[..., Any]
    args: dict[str, Any]


def ask(path: str, **body: Any) -> Any:
    """Ask the plant."""
    connection = HTTPConnection("127.0.0.1", int(os.environ[PLANT]), timeout=600)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        told = json.loads(answer.read())
    finally:
        connection.close()
    if answer.status != 200:
        raise RuntimeError(f"the plant answered {answer.status}: {told}")
    return told


@tool(effect="read")
def next_turn(agent: str) -> dict[str, Any]:
    """Wait until something is to be looked at again; `over` says that there is nothing more."""
    return dict(ask("/turn", agent=agent))


@tool(effect="read")
def look(agent: str) -> dict[str, Any]:
    """Return what the sensors show."""
    return dict(ask("/sensors", agent=agent))


async def pursue(ctx: Context, decide: Callable[[dict[str, Any]], Order | None]) -> dict[str, Any]:
    """Pursue a goal by a rule until it is over, and return what was done and what was refused."""
    did: list[str] = []
    refused: list[dict[str, str]] = []
    while not (await ctx.act(next_turn, agent=ctx.agent))["over"]:
        order = decide(await ctx.act(look, agent=ctx.agent))
        if order is None:
            continue
        if (await ctx.act(next_turn, agent=ctx.agent))["over"]:
            break
        try:
            await ctx.act(order.tool, **order.args)
            did.append(f"{order.tool.__name__} {json.dumps(order.args)}")
        except Refused as error:
            refused.append({"tool": order.tool.__name__, "code": error.code, "why": error.message, "hint": error.hint})
    return {"did": did, "refused": refused}
