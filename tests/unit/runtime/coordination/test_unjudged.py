"""A world that comes while acts are under way counts them, whoever let them through (P8)."""

from __future__ import annotations

import asyncio

import pytest

from comity.journal.entry import Intent, Waiting
from comity.journal.task import State
from comity.runtime.coordination import rows
from comity.runtime.coordination.applying import WorldDesk
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
