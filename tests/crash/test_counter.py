"""The crash matrix can fail: under a store that loses intents each effect class is seen to act twice.

The same rows act once on a store that keeps its word: it is the intent that holds promise P2, and the matrix sees it.
"""

from __future__ import annotations

from typing import Any

import pytest

from comity.agents.context import Context
from comity.agents.tool import agent, tool
from comity.core.clock import SystemClock
from comity.journal.answers import DidNotHappen, Happened
from comity.journal.call import CallContext
from comity.journal.program import Loaded, collect
from comity.testing import MemoryStore
from crash.fleet import World
from crash.forgetful import ForgetfulStore
from crash.lives import Lives

CLASSES = ("idempotent", "reconcilable", "reversible", "irreversible")


def one_tool(world: World, effect: str) -> Loaded:
    """Return an agent that uses one tool of that class. Its provider forgets keys at once, and takes anything."""
    book = world.book

    @tool(effect="read")
    async def look(ref: str) -> Any:
        found = book.look(effect, {"ref": ref})
        return DidNotHappen() if found is None else Happened(f"did {ref}")

    @tool(effect="idempotent")
    async def undo(args: dict[str, Any], result: Any) -> int:
        return book.undo(effect, args)

    helpers: dict[str, Any] = {"reconcilable": {"reconcile": look}, "reversible": {"compensate": undo}}
    window = {"key_window_s": 1e-6} if effect == "idempotent" else {}

    @tool(name=effect, effect=effect, **helpers.get(effect, {}), **window)
    async def act(ref: str, call: CallContext) -> str:
        await world.act(effect, call)
        return f"did {ref}"

    @agent(tools=[act])
    async def lone(context: Context) -> Any:
        return await context.act(act, ref="it")

    @agent(model="m", tools=[])
    async def thinker(context: Context) -> Any:
        return (await context.think("well?")).text

    return collect({"lone": lone, "thinker": thinker, "look": look, "undo": undo}, "<counter>", "0" * 64)


async def doubles(effect: str, *, forgets: bool) -> list[str]:
    """Die once at every point, and return where that led to two acts."""
    found: list[str] = []
    at = 0
    while True:
        world, memory = World(), MemoryStore(SystemClock())
        store: Any = ForgetfulStore(memory) if forgets else memory
        lives = Lives(store, world, {at}, one_tool(world, effect))
        await lives.create("lone")
        await lives.live()
        if lives.count <= at:
            return found
        if world.book.doubled():
            found.append(lives.places[0])
        at += 1


@pytest.mark.parametrize("effect", CLASSES)
async def test_each_effect_class_acts_twice_where_its_intent_is_lost(effect: str) -> None:
    """P2, the counter-test."""
    assert await doubles(effect, forgets=True)


@pytest.mark.parametrize("effect", CLASSES)
async def test_each_effect_class_acts_once_where_its_intent_is_kept(effect: str) -> None:
    """P2."""
    assert not await doubles(effect, forgets=False)


async def unpaid(*, forgets: bool) -> int:
    """Die once at every point of a thought, and return at how many of them the task counts less than was paid."""
    found = at = 0
    while True:
        world, memory = World(), MemoryStore(SystemClock())
        store: Any = ForgetfulStore(memory) if forgets else memory
        lives = Lives(store, world, {at}, one_tool(world, "irreversible"))
        task = await lives.create("thinker")
        await lives.live()
        if lives.count <= at:
            return found
        paid = 20 * world.thoughts.total()
        found += (await lives.operator.orders.ledger(task)).used.usd_micro < paid
        at += 1


async def test_a_thought_in_flight_at_a_crash_is_counted_though_it_is_thought_again() -> None:
    """P2: counted at its full reservation; where its intent is lost, so is what it cost."""
    assert await unpaid(forgets=False) == 0
    assert await unpaid(forgets=True) > 0
