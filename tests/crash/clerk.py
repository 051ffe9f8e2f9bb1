"""The agent file of the crash matrix of real processes: its tools act on the tally, each in a hand of its own.

Every effect carries the task's goal as its `ref`, so that a thousand tasks can be told apart in one book.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Any

from comity.agents.context import Context
from comity.agents.conversation import Conversation
from comity.agents.tool import agent, tool
from comity.journal.answers import DidNotHappen, Happened
from comity.journal.call import Attempt, CallContext
from comity.journal.protocol import Attempted, frame
from comity.testing.scripted import ScriptedModel
from tally.client import Tally

model = ScriptedModel(lambda messages: f"thought {len(messages)}")


@tool(effect="pure")
def add(a: int, b: int) -> int:
    return a + b


@tool(effect="read")
def peek(ref: str) -> str:
    return f"saw {ref}"


@tool(effect="idempotent")
def book_slot(ref: str, call: CallContext) -> str:
    Tally().act("book_slot", call.key, {"ref": ref}, by_key=True)
    return f"booked {ref}"


@tool(effect="read")
def find_tag(ref: str) -> Any:
    return DidNotHappen("no such tag") if Tally().look("tag", {"ref": ref}) is None else Happened(f"tagged {ref}")


@tool(effect="reconcilable", reconcile=find_tag)
def tag(ref: str, call: CallContext) -> str:
    Tally().act("tag", call.key, {"ref": ref})
    return f"tagged {ref}"


@tool(effect="idempotent")
def delete_branch(args: dict[str, Any], result: Any) -> int:
    return Tally().undo("branch", args)


@tool(effect="reversible", compensate=delete_branch)
def branch(ref: str, call: CallContext) -> str:
    Tally().act("branch", call.key, {"ref": ref})
    return f"branched {ref}"


@tool(effect="irreversible")
def announce(ref: str, call: CallContext) -> str:
    Tally().act("announce", call.key, {"ref": ref})
    return f"announced {ref}"


@tool(effect="irreversible")
def echo(ref: str, call: CallContext) -> str:
    """Act once and answer twice: the first call's answer is written past the hand, too."""
    Tally().act("echo", call.key, {"ref": ref})
    answer = frame(Attempted(1, Attempt("done", b'"echoed"')))
    written = 0
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 (a Path has no names alone)
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):  # noqa: PTH115 (it is no path)
                written += os.write(int(name), answer)
    assert written, "the hand's socket was not found"
    return "echoed"


TOOLS = [add, peek, book_slot, tag, branch, announce, echo]


@agent(tools=TOOLS)
async def helper(context: Context) -> Any:
    """One irreversible effect."""
    return await context.act(announce, ref=f"{context.goal}")


@agent(model=model, tools=TOOLS, agents=[helper])
async def clerk(context: Context) -> Any:
    """Everything that an agent can do, once."""
    ref = str(context.goal)
    told: list[Any] = [await context.act(peek, ref=ref), await context.act(book_slot, ref=ref)]
    talk = Conversation([{"role": "user", "content": f"what now, {ref}?"}])
    talk.append(await context.think(talk))
    told.append(talk.messages[-1].text)
    told.append(await context.act(tag, ref=ref))
    child = await context.spawn(helper, f"{ref}'s child")
    told += await asyncio.gather(context.act(branch, ref=ref), child.result())
    await context.sleep(0.01)
    told += [await context.wait_signal("go"), await context.ask_human("go on?", ["yes", "no"])]
    told.append(await context.act(announce, ref=ref))
    return told


@agent(tools=TOOLS)
async def twin(context: Context) -> Any:
    """Book a slot, and meanwhile announce once a signal has come."""

    async def on_signal() -> Any:
        await context.wait_signal("now")
        return await context.act(announce, ref=context.goal)

    return await asyncio.gather(context.act(book_slot, ref=context.goal), on_signal())


@agent(tools=TOOLS)
async def doer(context: Context) -> Any:
    """Use the tools that the goal names, one after the other: `{"ref": …, "tools": […]}`."""
    goal = context.goal
    return [await context.act(name, ref=goal["ref"]) for name in goal["tools"]]
