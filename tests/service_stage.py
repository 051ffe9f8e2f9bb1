"""A stage with two services that share a budget of instances, and an agent that does what it is told."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from comity.agents.context import Context
from comity.agents.tool import agent, tool
from comity.coordination.document import WorldDocument
from comity.core.errors import Refused
from comity.runtime.embedded import Embedded
from stage import Stage

GATES: dict[str, asyncio.Event] = {}


def world(**changes: Any) -> WorldDocument:
    """Return a world of two services that share a budget of instances."""
    document = {
        "kinds": {
            "service": {
                "id": "service/{name}",
                "fields": {
                    "instances": {"type": "integer", "low": 0, "high": 10, "initial": 2, "settle_s": 5},
                    "mode": {"type": "text", "values": ["up", "down"], "initial": "up"},
                },
            }
        },
        "resources": {"service/a": {}, "service/b": {}},
        "invariants": {
            "room": {
                "let": {"all": {"sum": "service/*.instances"}},
                "holds": "all <= 8",
                "mode": "enforce",
            }
        },
        "tools": {
            "grow": {"touches": [{"field": "service/{name}.instances", "op": "add", "value": "by"}]},
            "resize": {"touches": [{"field": "service/{name}.instances", "value": "to"}], "trim": "to"},
            "look": {"observes": {"service/{name}.instances": "result"}},
        },
    }
    document.update(changes)
    return msgspec.convert(document, WorldDocument)


@tool(effect="idempotent")
async def grow(name: str, by: int) -> str:
    """Grow a service."""
    if name in GATES:
        await GATES[name].wait()
    return f"{name} by {by}"


@tool(effect="idempotent")
def resize(name: str, to: int) -> str:
    """Resize a service."""
    return f"{name} to {to}"


@tool(effect="read")
def look(name: str) -> int:
    """Look how large a service is."""
    return 3


@agent
async def actor(context: Context) -> Any:
    """Do what the goal says: tool and arguments, one after the other."""
    done = []
    for name, args in context.goal:
        try:
            done.append(await context.act(name, **args))
        except Refused as refusal:
            done.append([refusal.code, refusal.reason, refusal.hint])
    return done


def stage(document: WorldDocument | None = None) -> Stage:
    """Return a stage with the agent and its tools in a world."""
    GATES.clear()
    return Stage(actor, grow, resize, look, world=document or world())


async def begun(stage: Stage, node: Embedded, *steps: Any) -> bytes:
    """Create a task that takes these steps."""
    return await node.create("actor", [[name, args] for name, args in steps])


def picture(node: Embedded) -> Any:
    """Return what the node believes of the one component."""
    return node.coordination.coordinator.writers()[0].picture
