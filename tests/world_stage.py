"""A world on a stage: a service before a database, who may observe what, and a tool that scales it."""

from __future__ import annotations

WORLD = """
name: shop
kinds:
  service:
    id: service/{name}
    fields:
      instances: {type: integer, low: 0, high: 20, settle_s: 0}
  db:
    id: db/{name}
    fields:
      connections: {type: integer, low: 0, high: 100, unit: connections}
      state: {type: text, values: [up, down]}
resources:
  service/web: {values: {instances: 3}}
  db/main: {values: {connections: 30, state: up}}
dependencies:
  - {from: "service/web.instances", to: "db/main.connections", gain: 10}
invariants:
  enough: {let: {c: "db/main.connections"}, holds: "c <= 80", mode: enforce}
tools:
  scale:
    touches: [{field: "service/{name}.instances", op: add, value: by}]
  shed:
    touches: [{field: "db/{name}.connections", op: set, value: to}]
authority:
  observe:
    "db/*.*": [operator, "agent:probe"]
  plan:
    "service/*.*": ["agent:planner"]
  claim:
    "service/*.*": ["agent:planner"]
"""

AGENTS = '''"""A grower and a shedder, and a tool that says itself what it touches."""
import comity
from comity import Context, agent, tool


@tool(effect="idempotent")
def scale(name: str, by: int) -> str:
    """Add instances."""
    return "scaled"


@tool(effect="idempotent")
def shed(name: str, to: int) -> str:
    """Cut connections."""
    return "shed"


@tool(effect="idempotent", touches=[comity.Touch("db/{name}.state", "set", "'down'")])
def drain(name: str) -> str:
    """Take a database down."""
    return "drained"


@agent(tools=[scale])
async def grower(context: Context) -> str:
    """Grow."""
    return await context.act(scale, name="web", by=context.goal)


@agent(tools=[shed, drain])
async def shedder(context: Context) -> str:
    """Shed."""
    return await context.act(shed, name="main", to=25)
'''
