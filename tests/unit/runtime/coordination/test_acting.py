"""What an enforced detector does when it fires: once, and not again what people have undone."""

from __future__ import annotations

import asyncio

from comity.coordination.detector import Alarm
from comity.core.ids import show_id
from comity.journal.task import State
from comity.runtime.coordination.acting import FRESH_US, Actions
from comity.runtime.embedded import Embedded
from service_stage import GATES, begun, stage
from stage import Stage

FIELD = "service/a.instances"


def alarm(at_us: int, task: bytes = b"") -> Alarm:
    return Alarm("oscillation", at_us, (FIELD,), ("grower", "acme/actor"), (f"{show_id(task)}/4",) if task else ())


async def acted(here: Stage, node: Embedded, told: Alarm, action: str) -> None:
    """Let every node of two act on an alarm."""
    for actions in (node.coordination.actions, Actions(here.store, here.clock, here.entropy)):
        actions.take(told, action)
        await actions.stop()


async def test_an_agent_is_stopped_once_and_may_be_let_go_on() -> None:
    here = stage()
    async with here.node() as node:
        told = alarm(here.clock.wall_us())
        await acted(here, node, told, "stop")
        assert [scope for scope, _ in await node.orders.stopped()] == ["agent:acme/actor"]
        await node.orders.lift("agent:acme/actor")
        await acted(here, node, told, "stop")
        assert await node.orders.stopped() == []
        await acted(here, node, alarm(told.at_us + 1), "stop")
        assert [scope for scope, _ in await node.orders.stopped()] == ["agent:acme/actor"]


async def test_what_history_tells_is_acted_on_no_more() -> None:
    here = stage()
    async with here.node() as node:
        await acted(here, node, alarm(here.clock.wall_us() - FRESH_US), "stop")
        assert await node.orders.stopped() == []


async def test_a_field_is_frozen_by_a_claim_which_holds_agents_back() -> None:
    here = stage()
    async with here.node() as node:
        await acted(here, node, alarm(here.clock.wall_us()), "freeze")
        await here.clock.advance(1.0)
        (refused,) = await here.ended(node, await begun(here, node, ("grow", {"name": "a", "by": 1})))
        assert refused[0] == "coordination.claim"


async def test_the_youngest_task_is_parked() -> None:
    here = stage()
    GATES["a"] = asyncio.Event()
    async with here.node() as node:
        task = await begun(here, node, ("grow", {"name": "a", "by": 1}), ("grow", {"name": "b", "by": 1}))
        await here.clock.advance(0.2)
        await acted(here, node, alarm(here.clock.wall_us(), task), "park")
        GATES["a"].set()
        await here.until(node, task, State.PARKED)


async def test_old_alarms_are_forgotten() -> None:
    here = stage()
    async with here.node() as node:
        await acted(here, node, alarm(here.clock.wall_us()), "stop")
        await here.clock.advance(3 * FRESH_US / 1e6)
        await acted(here, node, alarm(here.clock.wall_us()), "stop")
        assert len(await here.store.states("alarm")) == 1
