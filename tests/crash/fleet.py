"""The agents of the simulated crash matrix: a tool of every effect class, a model, waits, a person, a child.

Tools act on the world's book, and may misbehave; the points before and after each effect belong to the injector of the
node's present life.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

from comity.agents.context import Context
from comity.agents.conversation import Conversation
from comity.agents.tool import agent, tool
from comity.core.codec import canonical, decode
from comity.journal.answers import DidNotHappen, Happened
from comity.journal.budget import Cost
from comity.journal.call import CallContext, Permit
from comity.journal.ports import ModelLimits, ModelRequest
from comity.journal.program import Loaded, collect
from comity.journal.protocol import Delta
from crash.injection import Injector
from tally.book import Book


class World:
    """What outlives every crash: the book, the model's bill; and the injector of the node's present life.

    `how` tells what a tool does the first time, after it has acted: it answers, it `raises`, or it `hangs` until its
    node dies.
    """

    def __init__(self, how: str = "") -> None:
        self.how = how
        self.book = Book()
        self.thoughts: Counter[bytes] = Counter()
        self.misbehaved: Counter[str] = Counter()
        self.injector = Injector()
        self._gates: dict[str, asyncio.Event] = {}
        self.waiting: set[str] = set()

    def hold(self, label: str) -> None:
        """Close the gate of a point: whoever comes waits there."""
        self._gates[label] = asyncio.Event()

    def open(self, label: str) -> None:
        """Let all pass."""
        self._gates.pop(label).set()

    async def reach(self, label: str) -> None:
        """Pass a point, and its gate."""
        await self.injector.reach(label)
        if label in self._gates:
            self.waiting.add(label)
            await self._gates[label].wait()

    async def act(self, name: str, call: CallContext, *, by_key: bool = False) -> int:
        """Cause an effect, with a point before and one after it."""
        await self.reach(f"before {name} acts")
        number = self.book.act(name, call.key, dict(call.args), by_key=by_key)
        await self.reach(f"after {name} acted")
        if self.how:
            await self._misbehave(name)
        return number

    async def _misbehave(self, name: str) -> None:
        self.misbehaved[name] += 1
        if self.misbehaved[name] > 1:
            return
        if self.how == "hangs":
            self.injector.freeze(f"{name} hangs")
            await self.injector.hang()
        message = "the connection was reset after the request was sent"
        raise RuntimeError(message)


class CountingModel:
    """A model that answers with the number of messages it saw, and counts how often each context was paid for."""

    def __init__(self, world: World) -> None:
        self._world = world

    def limits(self, model: str) -> ModelLimits:
        """Return small limits."""
        return ModelLimits(100, 10_000, 1.0, 2.0)

    async def stream(self, permit: Permit, request: ModelRequest) -> AsyncIterator[Delta]:
        """Answer."""
        self._world.thoughts[b"".join(request.messages)] += 1
        text = f"thought {len(request.messages)}"
        yield Delta(text)
        message = {"role": "assistant", "content": text}
        yield Delta("", canonical(message), Cost(10, 5, 20), "stop")


def tools_of(world: World) -> dict[str, Callable[..., Any]]:
    """Return the tools: one of each effect class, and what looks and undoes."""
    book = world.book

    @tool(effect="pure")
    async def add(a: int, b: int) -> int:
        await world.injector.reach("in add")
        return a + b

    @tool(effect="read")
    async def peek(ref: str) -> str:
        await world.injector.reach("in peek")
        return f"saw {ref}"

    @tool(effect="idempotent")
    async def book_slot(ref: str, call: CallContext) -> str:
        await world.act("book_slot", call, by_key=True)
        return f"booked {ref}"

    @tool(effect="read")
    async def find_tag(ref: str) -> Any:
        await world.injector.reach("in find_tag")
        found = book.look("tag", {"ref": ref})
        return DidNotHappen("no such tag") if found is None else Happened(f"tagged {ref}")

    @tool(effect="reconcilable", reconcile=find_tag)
    async def tag(ref: str, call: CallContext) -> str:
        await world.act("tag", call)
        return f"tagged {ref}"

    @tool(effect="idempotent")
    async def delete_branch(args: dict[str, Any], result: Any) -> int:
        await world.injector.reach("before delete_branch acts")
        number = book.undo("branch", args)
        await world.injector.reach("after delete_branch acted")
        return number

    @tool(effect="reversible", compensate=delete_branch)
    async def branch(ref: str, call: CallContext) -> str:
        assert book.look("branch", {"ref": ref}) is None, "a branch that stands cannot be created"
        await world.act("branch", call)
        return f"branched {ref}"

    @tool(effect="irreversible")
    async def announce(ref: str, call: CallContext) -> str:
        await world.act("announce", call)
        return f"announced {ref}"

    made = (add, peek, book_slot, find_tag, tag, delete_branch, branch, announce)
    return {item.__name__: item for item in made}


def loaded_for(world: World) -> Loaded:
    """Return the agents of the matrix, bound to `world`."""
    tools = tools_of(world)
    names = ("add", "peek", "book_slot", "tag", "branch", "announce")

    @agent(tools=names, agents=())
    async def helper(context: Context) -> Any:
        return await context.act("announce", ref=f"by {context.goal}")

    @agent(model="m", tools=names, agents=[helper])
    async def clerk(context: Context) -> Any:
        act = context.act
        told = [await act("add", a=1, b=2), await act("peek", ref="x"), await act("book_slot", ref="monday")]
        talk = Conversation([{"role": "user", "content": "what now?"}])
        talk.append(await context.think(talk))
        told.append(await act("tag", ref="v1"))
        talk.append({"role": "user", "content": "and then?"})
        talk.append(await context.think(talk))
        told += [message["content"] for message in decode(canonical(talk.messages)) if message["role"] == "assistant"]
        told.append(await act("branch", ref="release"))
        told.append(await act("announce", ref="done"))
        return told

    @agent(tools=names, agents=[helper])
    async def waiter(context: Context) -> Any:
        drawn = (await context.random()).random()
        await context.now()
        await context.sleep(0.001)
        told = [await context.wait_signal("go"), await context.ask_human("go on?", ["yes", "no"])]
        await context.decide("which?", ["a", "b"], "a", arguments=[])
        child = await context.spawn(helper, "child")
        told.append(await child.result())
        both = await context.gather(act_in(context, "tag", "left"), act_in(context, "book_slot", "right"))
        return [*told, *both, 0 <= drawn < 1]

    namespace = {**tools, "helper": helper, "clerk": clerk, "waiter": waiter}
    return collect(namespace, "<matrix>", "0" * 64)


async def act_in(context: Context, name: str, ref: str) -> Any:
    """Act in a strand of its own."""
    return await context.act(name, ref=ref)


CLERK = [
    3,
    "saw x",
    "booked monday",
    "tagged v1",
    "thought 1",
    "thought 3",
    "branched release",
    "announced done",
]
WAITER = ["went", "yes", "announced by child", "tagged left", "booked right", True]
