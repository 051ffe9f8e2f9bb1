"""The gate *admit* in a kernel: what admission rules becomes of a call, and what it leaves in journal and store."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from comity.journal.entry import Intent, Outcome, Waiting
from comity.journal.task import State
from comity.journal.world import Claim, Observation
from comity.runtime.account import read_account
from comity.runtime.coordination import rows
from comity.runtime.coordination.applying import WorldDesk
from comity.server.documents import CallDocument, call_document
from service_stage import GATES, begun, picture, stage, world
from stage import Stage, of


async def test_an_act_that_fits_is_meant_with_what_it_touches() -> None:
    here = stage()
    async with here.node() as node:
        task = await begun(here, node, ("grow", {"name": "a", "by": 2}))
        assert await here.ended(node, task) == ["a by 2"]
        (intent,) = of(await here.bodies(task), Intent)
        assert intent.touched.components == (("service", 1),)
        (change,) = intent.touched.changes
        assert (change.field, change.op, change.value, change.before, change.after) == (
            "service/a.instances",
            "add",
            2,
            2,
            4,
        )


async def test_what_does_not_fit_is_refused_with_the_numbers_and_never_meant() -> None:
    here = stage()
    async with here.node() as node:
        task = await begun(here, node, ("grow", {"name": "a", "by": 7}))
        ((code, reason, hint),) = await here.ended(node, task)
        assert code == "coordination.room"
        assert "all = 4" in reason
        assert hint
        assert not of(await here.bodies(task), Intent)


async def shown_calls(here: Stage, task: bytes) -> list[CallDocument]:
    """Return a task's calls as people are shown them."""
    row = await here.store.task(task)
    assert row is not None
    account = await read_account(here.store, row)
    return [call_document(account, record) for record in account.calls]


async def test_what_fits_in_part_is_trimmed_and_the_intent_says_what_was_performed() -> None:
    here = stage()
    async with here.node() as node:
        task = await begun(here, node, ("resize", {"name": "a", "to": 9}))
        assert await here.ended(node, task) == ["a to 6"]
        (intent,) = of(await here.bodies(task), Intent)
        assert intent.performed
        assert intent.touched.changes[0].value == 6
        (shown,) = await shown_calls(here, task)
        assert (shown.args, shown.performed) == ({"name": "a", "to": 9}, {"name": "a", "to": 6})


async def test_what_fits_only_if_something_in_flight_fails_waits_until_that_is_known() -> None:
    here = stage()
    GATES["a"] = asyncio.Event()
    async with here.node() as node:
        first = await begun(here, node, ("grow", {"name": "a", "by": 3}))
        await here.clock.advance(0.2)
        second = await begun(here, node, ("grow", {"name": "b", "by": 2}))
        await here.until(node, second, State.WAITING, State.RUNNING, seconds=1)
        await here.clock.advance(0.5)
        assert of(await here.bodies(second), Waiting)[0].why.startswith("room: `all <= 8` (room) could become false")
        assert not of(await here.bodies(second), Intent)
        (shown,) = await shown_calls(here, second)
        assert (shown.phase, shown.performed) == ("waits:_deferred", None)
        assert (shown.error or "").startswith("room: ")
        GATES["a"].set()
        await here.ended(node, first)
        ((code, *_),) = await here.ended(node, second)
        assert code == "coordination.room"


async def test_what_the_world_does_not_speak_of_passes_untouched() -> None:
    here = stage(world(tools={}))
    async with here.node() as node:
        task = await begun(here, node, ("grow", {"name": "a", "by": 99}))
        assert await here.ended(node, task) == ["a by 99"]
        assert of(await here.bodies(task), Intent)[0].touched is None


async def test_a_call_in_a_scope_that_says_nothing_is_recorded_or_refused() -> None:
    kinds = msgspec.to_builtins(world().kinds)
    kinds["service"]["scope"] = ["gr*"]
    here = stage(world(tools={}, kinds=kinds))
    async with here.node() as node:
        task = await begun(here, node, ("grow", {"name": "a", "by": 1}))
        await here.ended(node, task)
        assert of(await here.bodies(task), Intent)[0].touched.is_undeclared
    kinds["service"]["declared_only"] = True
    here = stage(world(tools={}, kinds=kinds))
    async with here.node() as node:
        task = await begun(here, node, ("grow", {"name": "a", "by": 1}))
        ((code, *_),) = await here.ended(node, task)
        assert code == "coordination.undeclared"


async def test_a_claim_of_a_person_holds_an_agent_back_until_it_ends() -> None:
    here = stage()
    async with here.node() as node:
        desk = WorldDesk(here.store, here.clock, "ann")
        now_us = here.clock.wall_us()
        claim = Claim("c1", "service/a", "leave-as-is", "person:ann", now_us, now_us + 60_000_000, "person", "secret")
        await desk.claim(claim)
        task = await begun(here, node, ("grow", {"name": "a", "by": 1}), ("grow", {"name": "b", "by": 1}))
        (code, reason, hint), other = await here.ended(node, task)
        assert code == "coordination.claim"
        assert "secret" not in reason + hint
        assert other == "b by 1"
        await desk.end_claim("c1")
        task = await begun(here, node, ("grow", {"name": "a", "by": 1}))
        assert await here.ended(node, task) == ["a by 1"]


async def test_an_intent_that_was_judged_before_a_claim_is_not_written_after_it() -> None:
    here = stage()
    async with here.node() as node:
        desk = WorldDesk(here.store, here.clock, "ann")
        commit = here.store.commit
        claimed = []

        async def claim_first(units: Any) -> Any:
            if not claimed and any(isinstance(item.read(), Intent) for unit in units for item in unit.entries):
                claimed.append(True)
                now_us = here.clock.wall_us()
                await desk.claim(
                    Claim("c1", "service/a", "hands-off", "person:ann", now_us, now_us + 60_000_000, "person")
                )
            return await commit(units)

        here.store.commit = claim_first  # type: ignore[method-assign]
        task = await begun(here, node, ("grow", {"name": "a", "by": 1}))
        ((code, *_),) = await here.ended(node, task)
        assert claimed
        assert code == "coordination.claim"
        assert not picture(node).flights


async def test_a_world_that_changes_under_a_call_on_its_way_judges_it_anew() -> None:
    here = stage()
    async with here.node() as node:
        commit = here.store.commit
        changed = []
        tight = world(
            invariants={
                "room": {"let": {"all": {"sum": "service/*.instances"}}, "holds": "all <= 4", "mode": "enforce"}
            }
        )

        async def change_first(units: Any) -> Any:
            if not changed and any(isinstance(item.read(), Intent) for unit in units for item in unit.entries):
                changed.append(True)
                await WorldDesk(here.store, here.clock, "ann").apply(tight)
            return await commit(units)

        here.store.commit = change_first  # type: ignore[method-assign]
        task = await begun(here, node, ("grow", {"name": "a", "by": 1}))
        ((code, *_),) = await here.ended(node, task)
        assert changed
        assert code == "coordination.room"


async def test_an_invariant_that_escalates_asks_a_person_and_does_what_they_say() -> None:
    escalating = world(
        invariants={
            "room": {
                "let": {"all": {"sum": "service/*.instances"}},
                "holds": "all <= 8",
                "mode": "enforce",
                "severity": "escalate",
            }
        }
    )
    here = stage(escalating)
    async with here.node() as node:
        desk = WorldDesk(here.store, here.clock, "ann")
        for allow, expected in ((True, "a by 5"), (False, "coordination.refused_by_person")):
            task = await begun(here, node, ("grow", {"name": "a", "by": 5}))
            await here.until(node, task, State.WAITING)
            ((key, asked),) = await desk.escalations()
            assert asked.rule == "room"
            assert asked.task == task
            await desk.answer(key, allow=allow)
            (came,) = await here.ended(node, task)
            assert (came if allow else came[0]) == expected


async def test_a_rule_that_observes_lets_pass_and_writes_down_what_it_would_have_said() -> None:
    lax = world(invariants={"room": {"let": {"all": {"sum": "service/*.instances"}}, "holds": "all <= 8"}})
    here = stage(lax)
    async with here.node() as node:
        task = await begun(here, node, ("grow", {"name": "a", "by": 7}))
        assert await here.ended(node, task) == ["a by 7"]
        assert of(await here.bodies(task), Intent)[0].touched.would == ("room: reject",)


async def test_a_read_tool_shows_the_world_and_what_is_done_later_rests_on_it() -> None:
    here = stage()
    async with here.node() as node:
        task = await begun(here, node, ("look", {"name": "a"}), ("grow", {"name": "a", "by": 1}))
        await here.ended(node, task)
        state = picture(node).state("service/a.instances")
        assert not state.is_proposed
        (read,) = of(await here.bodies(task), Intent)[0].touched.reads
        assert read.field == "service/a.instances"
        assert (await here.store.state(rows.FIELD, "service/a.instances")) is not None


async def test_an_observation_of_somebody_unnamed_is_only_proposed() -> None:
    here = stage()
    async with here.node() as node:
        coordinator = node.coordination.coordinator
        seen = Observation("service/a.instances", 7, here.clock.wall_us(), "agent:actor")
        assert not coordinator.may_observe(seen.field, seen.by)
        await coordinator.observe(seen, may_observe=False)
        state = picture(node).state("service/a.instances")
        assert (state.value, state.proposed) == (2, 7)


async def test_a_tool_that_says_it_reads_and_declares_touches_is_refused() -> None:
    here = stage(world(tools={"look": {"touches": [{"field": "service/{name}.instances", "value": "1"}]}}))
    async with here.node() as node:
        task = await begun(here, node, ("look", {"name": "a"}))
        ((code, *_),) = await here.ended(node, task)
        assert code == "misdeclared"


async def test_the_same_set_again_is_redundant_once_it_was_seen() -> None:
    here = stage()
    async with here.node() as node:
        coordinator = node.coordination.coordinator
        await coordinator.observe(Observation("service/a.instances", 3, here.clock.wall_us(), "operator"))
        task = await begun(here, node, ("resize", {"name": "a", "to": 3}))
        assert await here.ended(node, task) == [{"reason": "it is so already", "redundant": True}]
        (outcome,) = of(await here.bodies(task), Outcome)
        assert outcome.same_as
