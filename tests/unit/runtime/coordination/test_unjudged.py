"""A world that comes while acts are under way counts them, whoever let them through (P8)."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from comity.agents.context import Context
from comity.agents.tool import agent, tool
from comity.core.errors import UsageError
from comity.journal.call import Call
from comity.journal.entry import Intent, Waiting
from comity.journal.ports import View
from comity.journal.program import offered_by
from comity.journal.spec import Program
from comity.journal.task import State
from comity.journal.verdict import Verdict
from comity.journal.world import Observation, Touch
from comity.runtime.coordination import assembly, rows
from comity.runtime.coordination.applying import WorldDesk
from comity.runtime.coordination.unjudged import count_unjudged
from comity.runtime.on_wire import on_the_wire
from service_stage import GATES, actor, begun, grow, look, picture, resize, stage, world
from stage import Stage, of


async def test_what_was_under_way_before_the_first_world_counts() -> None:
    GATES.clear()
    here = Stage(actor, grow, resize, look)
    GATES["a"] = asyncio.Event()
    async with here.node() as node:
        first = await begun(here, node, ("grow", {"name": "a", "by": 3}))
        await here.clock.advance(0.2)
        assert of(await here.bodies(first), Intent)[0].touched is None
        await WorldDesk(here.store, here.clock, "ann").apply(world())
        second = await begun(here, node, ("grow", {"name": "b", "by": 2}))
        await here.until(node, second, State.WAITING)
        assert of(await here.bodies(second), Waiting)[0].why.startswith("room: ")
        GATES["a"].set()
        await here.ended(node, first)
        ((code, *_),) = await here.ended(node, second)
        assert code == "coordination.room"
        await here.clock.advance(10.0)
        assert picture(node).state("service/a.instances").value == 5
        assert not picture(node).flights


@pytest.mark.parametrize("tools", [{}, {"grow": {}}])
async def test_what_a_world_did_not_speak_of_counts_in_the_next(tools: dict[str, object]) -> None:
    here = stage(world(tools=tools))
    GATES["a"] = asyncio.Event()
    async with here.node() as node:
        first = await begun(here, node, ("grow", {"name": "a", "by": 3}))
        await here.clock.advance(0.2)
        await WorldDesk(here.store, here.clock, "ann").apply(world())
        second = await begun(here, node, ("grow", {"name": "b", "by": 2}))
        await here.until(node, second, State.WAITING)
        GATES["a"].set()
        await here.ended(node, first)
        assert (await here.ended(node, second))[0][0] == "coordination.room"


async def test_what_is_over_and_what_was_judged_is_counted_once() -> None:
    here = stage()
    GATES["a"] = asyncio.Event()
    async with here.node() as node:
        await here.ended(node, await begun(here, node, ("grow", {"name": "b", "by": 1})))
        first = await begun(here, node, ("grow", {"name": "a", "by": 1}))
        await here.clock.advance(10.0)
        await WorldDesk(here.store, here.clock, "ann").apply(world(name="again"))
        await node.coordination.watched()
        await node.coordination.coordinator.writer("service")
        held = await here.store.states(rows.RESERVATION)
        assert [rows.read_reservation(row).call for row in held] == [0]
        assert len(picture(node).flights) == 1
        counted = await here.store.state(rows.WORLD, rows.COUNTED)
        assert counted is not None
        assert counted.value == b"2"
        GATES["a"].set()
        await here.ended(node, first)


EARLIER: dict[str, dict[str, Any]] = {
    "rests only": {"grow": {"premises": [{"field": "service/{name}.mode", "holds": "value == 'up'"}]}},
    "touches something else": {"grow": {"touches": [{"field": "service/{name}.mode", "value": "'up'"}]}},
    "touches less": {"grow": {"touches": [{"field": "service/{name}.instances", "op": "add", "value": "0"}]}},
}


@pytest.mark.parametrize("tools", EARLIER.values(), ids=EARLIER)
async def test_what_an_earlier_world_judged_counts_by_what_this_one_says(tools: dict[str, Any]) -> None:
    here = stage(world(tools=tools))
    GATES["a"] = asyncio.Event()
    async with here.node() as node:
        first = await begun(here, node, ("grow", {"name": "a", "by": 3}))
        await here.clock.advance(0.2)
        await WorldDesk(here.store, here.clock, "ann").apply(world())
        second = await begun(here, node, ("grow", {"name": "b", "by": 2}))
        await here.until(node, second, State.WAITING)
        assert of(await here.bodies(second), Intent) == []
        GATES["a"].set()
        await here.ended(node, first)
        await here.ended(node, second)
        await here.clock.advance(20.0)
        assert picture(node).state("service/a.instances").value == 5
        assert not picture(node).flights


async def test_where_arguments_do_not_fit_all_that_may_be_touched_is_unknown() -> None:
    here = stage(world(tools={}))
    GATES["a"] = asyncio.Event()
    async with here.node() as node:
        first = await begun(here, node, ("grow", {"name": "a", "by": 3}))
        await here.clock.advance(0.2)
        grown = {"field": "service/{name}.instances", "op": "add", "value": "amount"}
        await WorldDesk(here.store, here.clock, "ann").apply(
            world(tools={**msgspec.to_builtins(world().tools), "grow": {"touches": [grown]}})
        )
        second = await begun(here, node, ("resize", {"name": "b", "to": 6}))
        await here.clock.advance(1.0)
        assert of(await here.bodies(second), Intent) == []
        GATES["a"].set()
        await here.ended(node, first)


async def test_what_was_seen_since_an_act_began_is_not_added_once_more() -> None:
    here = stage(world(tools={}, authority={"observe": {"service/*": ["*"]}}))
    GATES["a"] = asyncio.Event()
    async with here.node() as node:
        first = await begun(here, node, ("grow", {"name": "a", "by": -2}))
        await here.clock.advance(1.0)
        seen = Observation("service/a.instances", 0, here.clock.wall_us(), by="probe", id="1")
        await node.coordination.observe([seen], "operator")
        await here.clock.advance(1.0)
        await WorldDesk(here.store, here.clock, "ann").apply(world(authority={"observe": {"service/*": ["*"]}}))
        await node.coordination.watched()
        GATES["a"].set()
        await here.ended(node, first)
        await node.coordination.coordinator.writer("service")
        await here.clock.advance(20.0)
        assert picture(node).state("service/a.instances").value == 0


async def test_a_call_that_touched_nothing_is_not_meant_once_the_next_world_has_counted() -> None:
    here = stage(world(tools={"grow": {**msgspec.to_builtins(world().tools["grow"]), "when": "by > 5"}}))
    GATES["a"] = asyncio.Event()
    async with here.node() as node:
        gate, judge = node.coordination.gate, node.coordination.gate.judge
        verdicts: list[Verdict] = []

        async def late(call: Call, view: View, now_us: int) -> Verdict:
            verdicts.append(await judge(call, view, now_us))
            if len(verdicts) == 1:
                await WorldDesk(here.store, here.clock, "ann").apply(world())
                await node.coordination.watched()
            return verdicts[-1]

        gate.judge = late  # type: ignore[method-assign]
        first = await begun(here, node, ("grow", {"name": "a", "by": 3}))
        await here.clock.advance(0.5)
        (intent,) = of(await here.bodies(first), Intent)
        assert intent.touched.changes
        second = await begun(here, node, ("grow", {"name": "b", "by": 2}))
        await here.until(node, second, State.WAITING)
        GATES["a"].set()
        await here.ended(node, first)


async def test_a_program_that_cannot_be_loaded_keeps_nobody_from_acting() -> None:
    class Broken:
        async def find(self, agent: str) -> Program | None:
            raise UsageError("no_such_agent", f"`x.py` no longer offers agent `{agent}`")

    here = stage(world(tools={}))
    GATES["a"] = asyncio.Event()
    async with here.node() as node:
        first = await begun(here, node, ("grow", {"name": "a", "by": 3}))
        await here.clock.advance(0.2)
        node.coordination._programs = Broken()
        await WorldDesk(here.store, here.clock, "ann").apply(world())
        assert await here.ended(node, await begun(here, node, ("grow", {"name": "b", "by": 1}))) == ["b by 1"]
        GATES["a"].set()
        await here.ended(node, first)


async def test_what_only_another_file_declares_is_counted_once_that_is_there() -> None:
    @tool(effect="irreversible", touches=[Touch("service/{name}.instances", "add", "by")])
    async def swell(name: str, by: int) -> str:
        """Grow a service."""
        await GATES["a"].wait()
        return ""

    @agent
    async def other(context: Context) -> Any:
        """Act."""
        return await context.act("swell", name="a", by=3)

    here = Stage(actor, grow, resize, look)
    mine = here.loaded
    GATES.clear()
    GATES["a"] = asyncio.Event()
    here.loaded = offered_by(other, swell)
    async with here.node() as node:
        await node.create("other", None)
        await here.clock.advance(1.0)
    await here.clock.advance(60.0)
    here.loaded, here.world = mine, world()
    async with here.node() as node:
        await here.clock.advance(1.0)
        assert await here.store.state(rows.WORLD, rows.COUNTED) is None
    here.loaded = offered_by(other, swell, actor, grow, resize, look)
    async with here.node() as node:
        second = await begun(here, node, ("grow", {"name": "b", "by": 2}))
        await here.clock.advance(3.0)
        assert await here.store.states(rows.RESERVATION)
        assert of(await here.bodies(second), Intent) == []


async def test_it_is_counted_once_however_many_ask_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    here = stage(world(tools={}))
    counts: list[int] = []

    async def slow(*args: Any) -> bool:
        counts.append(args[3])
        await here.clock.sleep(2.0)
        return await count_unjudged(*args)

    async with here.node() as node:
        await here.clock.advance(10.0)
        monkeypatch.setattr(assembly, "count_unjudged", slow)
        await WorldDesk(here.store, here.clock, "ann").apply(world())
        tasks = [await begun(here, node, ("grow", {"name": "b", "by": 0})) for _ in range(20)]
        for task in tasks:
            await here.until(node, task, State.SUCCEEDED)
        assert counts == [2]


@agent
async def sleeper(context: Context) -> None:
    """Sleep."""
    await context.sleep(10_000)


@agent
async def parent(context: Context) -> None:
    """Spawn, and act."""
    await context.spawn("sleeper", None)
    await context.act("grow", name="a", by=3)


async def test_a_doubt_of_a_task_that_waits_for_its_children_to_end_is_on_the_wire_and_counts() -> None:
    GATES.clear()
    here = Stage(actor, parent, sleeper, grow, resize, look)
    GATES["a"] = asyncio.Event()
    async with here.node() as node:
        first = await node.create("parent", None)
        await here.clock.advance(2.0)
        await node.orders.stop("agent:sleeper")
        await here.clock.advance(2.0)
        await node.orders.cancel(first)
        await here.until(node, first, State.WAITING)
        assert [row.id for row, _ in await on_the_wire(here.store, "agent:parent")] == [first]
        await WorldDesk(here.store, here.clock, "ann").apply(world())
        second = await begun(here, node, ("grow", {"name": "b", "by": 2}))
        await here.clock.advance(1.0)
        assert of(await here.bodies(second), Intent) == []
