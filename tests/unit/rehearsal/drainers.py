"""Real agents for rehearsal tests: they look at the other replica, and drain their own."""

from __future__ import annotations

from comity import Context, agent, tool
from comity.core.errors import Refused
from comity.rehearsal import Branching
from comity.testing import ScriptedModel, call


@tool(effect="read")
def look(node: str) -> int:
    """Tell how many replicas of a node are ready."""
    raise AssertionError("a rehearsal performs nothing")


@tool(effect="irreversible")
def drain(node: str) -> None:
    """Drain a node."""
    raise AssertionError("a rehearsal performs nothing")


async def _drain(context: Context, mine: str, other: str) -> str:
    if await context.act(look, node=other) == 1:
        try:
            await context.act(drain, node=mine)
        except Refused:
            return "stays"
        return "drained"
    return "stays"


@agent(tools=[look, drain])
async def one(context: Context) -> str:
    """Drain a."""
    return await _drain(context, "a", "b")


@agent(tools=[look, drain])
async def two(context: Context) -> str:
    """Drain b."""
    return await _drain(context, "b", "a")


mood = Branching(ScriptedModel(["wait"]), ScriptedModel([call("drain", node="a")]))


@agent(model=mood, tools=[look, drain])
async def moody(context: Context) -> str:
    """Ask a model whether to drain a; it may say either."""
    answer = await context.think("Shall we drain?", tools=[drain])
    for item in answer.tool_calls:
        await context.act(item.name, node="a")
    return answer.text


@agent(tools=[look])
async def failing(context: Context) -> str:
    """Fail on what it sees."""
    raise ValueError(f"saw {await context.act(look, node='a')}")


@agent(model="gpt", tools=[look])
async def unscripted(context: Context) -> str:
    """Ask a model that nobody scripts."""
    return (await context.think("hello")).text
