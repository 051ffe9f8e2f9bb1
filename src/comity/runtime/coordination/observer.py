"""The agent that polls: it calls a read tool again and again, and what that returns fills fields of the world.

It is an agent as any other, so its reads are journaled, budgeted and stopped as any other's.
"""

from __future__ import annotations

from comity import CallFailed, Context, Refused, agent

ROUNDS = 100
"""After so many reads the history begins anew."""


@agent(name="comity.observer", version="1")
async def observer(context: Context) -> None:
    """Poll as the goal says: `tool`, `args`, `every_s`."""
    for _ in range(ROUNDS):
        try:
            await context.act(context.goal["tool"], **context.goal["args"])
        except (CallFailed, Refused) as error:
            context.progress(f"{context.goal['tool']} told nothing: {error}")
        await context.sleep(context.goal["every_s"])
    await context.continue_with(context.goal)
