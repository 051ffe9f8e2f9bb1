"""What holds a task back: grants, budgets, stops, pauses; and what lets it go on."""

from __future__ import annotations

from typing import Any

import pytest

from comity import Budget, Context, Refused, agent, tool
from comity.core.errors import ComityError, UsageError
from comity.core.ids import parse_id, show_id
from comity.journal.budget import Grant, Usage
from comity.journal.call import Attempt, Call
from comity.journal.entry import Created, Intent
from comity.journal.ports import View
from comity.journal.task import State
from comity.journal.verdict import Verdict
from comity.kernel.budget import carve
from comity.kernel.children import read_budget
from comity.testing import ScriptedModel
from stage import Stage, of

DONE: list[str] = []

echo = ScriptedModel(lambda messages: f"you said: {messages[-1]['content']}")


@pytest.fixture(autouse=True)
def an_empty_world() -> None:
    DONE.clear()


@tool(effect="idempotent")
async def put(n: int) -> int:
    DONE.append(f"put {n}")
    return n


@tool(effect="read")
async def look() -> int:
    return len(DONE)


@agent(tools=[put, look])
async def worker(ctx: Context) -> Any:
    found = []
    for n in range(int(ctx.goal)):
        try:
            found.append(await ctx.act(put, n=n))
        except Refused as error:
            found.append(f"{error.code}: {error.hint}")
        await ctx.sleep(1)
    return found


@agent(tools=[put])
async def hasty(ctx: Context) -> Any:
    return await ctx.gather(*(ctx.act(put, n=n) for n in range(int(ctx.goal))))


@agent(model=echo)
async def thinker(ctx: Context) -> str:
    return (await ctx.think("x" * 400)).text


@agent
async def stranger(ctx: Context) -> str:
    try:
        await ctx.act("rm_rf")
    except Refused as error:
        return f"{error.code}: {error.message}"
    return "?"


@agent(tools=[put], agents=[worker])
async def boss(ctx: Context) -> Any:
    child = await ctx.spawn(worker, 3, budget=Budget(calls={"idempotent": 2}), tools=[put, look])
    try:
        return await child.result()
    except ComityError as error:
        return error.code


class BrokenGate:
    """A gate that cannot judge."""

    async def judge(self, call: Call, view: View, now_us: int) -> Verdict:
        raise RuntimeError("policy store is gone")

    def settle(self, call: Call, attempt: Attempt, view: View) -> tuple[()]:
        return ()


async def test_a_tool_that_the_grant_does_not_name_is_refused_with_a_way_out() -> None:
    stage = Stage(worker)
    async with stage.node() as node:
        task = await node.create("worker", 1, grant=Grant(tools=("look",)))
        (said,) = await stage.ended(node, task)
        assert said == "not_granted: granted are: look"
    assert of(await stage.bodies(task), Intent) == []


async def test_a_tool_that_is_not_registered_is_refused() -> None:
    stage = Stage(stranger)
    async with stage.node() as node:
        task = await node.create("stranger", None)
        assert await stage.ended(node, task) == "not_registered: tool `rm_rf` is not registered"


async def test_a_gate_that_cannot_judge_refuses() -> None:
    """Promise P4."""
    stage = Stage(worker)
    async with stage.node() as node:
        node.kernel.admit = BrokenGate()
        task = await node.create("worker", 1)
        row = await stage.until(node, task, State.FAILED)
    assert row.reason == "gate_failed"
    assert DONE == []


async def test_a_task_over_its_budget_is_parked_and_goes_on_with_a_larger_one() -> None:
    stage = Stage(worker)
    async with stage.node() as node:
        task = await node.create("worker", 3, budget=Budget(calls={"idempotent": 2}))
        row = await stage.until(node, task, State.PARKED)
        assert row.reason == "over_budget"
        assert DONE == ["put 0", "put 1"]
        with pytest.raises(UsageError, match="`-1`"):
            read_budget({"calls": {"idempotent": -1}})
        await node.orders.resume(task, {"calls": {"idempotent": 5}})
        assert await stage.ended(node, task) == [0, 1, 2]
        with pytest.raises(UsageError, match="not parked"):
            await node.orders.resume(task)


async def test_a_model_call_reserves_its_worst_case_and_settles_what_it_used() -> None:
    stage = Stage(thinker)
    async with stage.node() as node:
        poor = await node.create("thinker", None, budget=Budget(tokens=1_000))
        assert (await stage.until(node, poor, State.PARKED)).reason == "over_budget"
        rich = await node.create("thinker", None, budget=Budget(tokens=100_000))
        assert await stage.ended(node, rich) == "you said: " + "x" * 400
        ledger = await node.orders.ledger(rich)
    assert ledger.reserved.tokens_in == ledger.reserved.tokens_out == 0
    assert 0 < ledger.used.tokens_in < 200
    (intent,) = of(await stage.bodies(rich), Intent)
    assert intent.reserve.tokens_in >= 400
    assert intent.reserve.tokens_out > 0


async def test_a_context_over_its_limit_parks_the_task() -> None:
    stage = Stage(thinker)
    async with stage.node() as node:
        task = await node.create("thinker", None, budget=Budget(context_tokens=300))
        assert (await stage.until(node, task, State.PARKED)).reason == "over_context"


async def test_wall_seconds_are_counted_from_the_tasks_creation() -> None:
    stage = Stage(worker)
    async with stage.node() as node:
        task = await node.create("worker", 10, budget=Budget(wall_s=3.5))
        assert (await stage.until(node, task, State.PARKED)).reason == "over_budget"
    assert 3 <= len(DONE) <= 4


async def test_a_childs_grant_is_the_intersection_and_its_budget_is_carved_out() -> None:
    stage = Stage(boss)
    async with stage.node() as node:
        task = await node.create("boss", None, budget=Budget(calls={"idempotent": 5}))
        await stage.until(node, task, State.WAITING)
        (child,) = (await node.orders.ledger(task)).children
        task_id = parse_id(child)
        (created,) = of(await stage.bodies(task_id), Created)
        assert created.grant.tools == ("put",)
        row = await stage.until(node, task_id, State.PARKED)
        assert row.reason == "over_budget"
        assert (await node.orders.ledger(task)).usage.calls["idempotent"] == 2
        await node.orders.cancel(task_id)
        assert await stage.ended(node, task) == "child_cancelled"


def test_a_child_gets_half_of_what_is_left_unless_it_asks() -> None:
    assert carve(Budget(tokens=100, calls={"read": 9}), Usage(), None) == Budget(tokens=50, calls={"read": 4})
    assert carve(Budget(tokens=100), Usage(), Budget(tokens=80)) == Budget(tokens=80)
    assert getattr(carve(Budget(tokens=100), Usage(), Budget(tokens=101)), "reason", "") == "over_budget"


@pytest.mark.parametrize("scope", ["task", "agent:worker", "tenant:default", "fleet"])
async def test_after_a_stop_is_quiesced_nothing_starts_until_it_is_lifted(scope: str) -> None:
    """Promise P9."""
    stage = Stage(worker)
    async with stage.node() as node:
        task = await node.create("worker", 4)
        await stage.clock.advance(1.5)
        name = f"task:{show_id(task)}" if scope == "task" else scope
        generation = await node.orders.stop(name)
        while not await node.orders.is_quiesced(generation):
            await stage.clock.advance(0.1)
        done = list(DONE)
        row = await stage.until(node, task, State.PARKED)
        assert row.reason == "stopped"
        second = await node.create("worker", 1) if scope != "task" else b""
        await stage.clock.advance(20)
        assert done == DONE
        assert [name for name, _ in await node.orders.stopped()] == [name]
        await node.orders.lift(name)
        assert await stage.ended(node, task) == [0, 1, 2, 3]
        if second:
            assert await stage.ended(node, second) == [0]
        with pytest.raises(UsageError, match="not stopped"):
            await node.orders.lift(name)


async def test_a_paused_task_rests_across_a_restart_and_goes_on_when_resumed() -> None:
    stage = Stage(worker)
    async with stage.node() as node:
        task = await node.create("worker", 3)
        await stage.clock.advance(0.5)
        await node.orders.pause(task)
        assert (await stage.until(node, task, State.PARKED)).reason == "paused"
    done = list(DONE)
    async with stage.node() as node:
        await stage.clock.advance(30)
        assert done == DONE
        await node.orders.resume(task)
        assert await stage.ended(node, task) == [0, 1, 2]
    assert DONE == ["put 0", "put 1", "put 2"]


async def test_a_stop_between_an_intent_and_its_attempt_waits_for_the_permit_and_starts_nothing() -> None:
    """Promise P9: the intent is durable, its call not yet under way, and somebody stops the fleet."""
    stage = Stage(worker)
    seen: list[bool] = []
    commit = stage.store.commit
    async with stage.node() as node:

        async def commit_then_stop(units: Any) -> Any:
            answers = await commit(units)
            if not seen and any(entry.phase == "intent" for unit in units for entry in unit.entries):
                seen.append(False)
                generation = await node.orders.stop("fleet")
                await node.kernel.refresh_stops()
                await stage.clock.settle()
                seen[0] = await node.orders.is_quiesced(generation)
            return answers

        stage.store.commit = commit_then_stop  # type: ignore[method-assign]
        task = await node.create("worker", 1)
        await stage.until(node, task, State.PARKED)
        assert seen == [False]
        assert DONE == []
        await node.orders.lift("fleet")
        assert await stage.ended(node, task) == [0]
    assert DONE == ["put 0"]


async def test_calls_made_at_once_do_not_overshoot_the_budget_together() -> None:
    stage = Stage(hasty)
    async with stage.node() as node:
        task = await node.create("hasty", 6, budget=Budget(calls={"idempotent": 2}))
        assert (await stage.until(node, task, State.PARKED)).reason == "over_budget"
        assert len(DONE) == 2
        await node.orders.resume(task, {"calls": {"idempotent": 6}})
        assert await stage.ended(node, task) == [0, 1, 2, 3, 4, 5]
    assert sorted(DONE) == [f"put {n}" for n in range(6)]
