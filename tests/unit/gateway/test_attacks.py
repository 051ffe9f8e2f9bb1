"""The gateway against its adversary: programs that were replaced, clients that leave, requests made to break it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from starlette.applications import Starlette

from comity.core.ids import Id, parse_id
from comity.gateway.mcp_wire import BAD_PARAMS
from comity.gateway.reply import VisitOver
from comity.gateway.routes import gateway_routes
from comity.gateway.visit import Visit
from comity.journal.entry import Moved
from comity.journal.ports import TaskFilter
from comity.journal.segment import EMPTY_HEAD
from comity.journal.spec import Outside, Program
from comity.journal.task import State
from comity.journal.wire import Answer
from comity.runtime.programs import FixedPrograms
from gate_stage import TOOLS, Client, Gate, GateStage, asking, chat
from mcp_stage import tool_call


def tool(gate: Gate, token: str, name: str, args: Any) -> Client:
    gate.app = Starlette(routes=gateway_routes(gate.door, 1_000_000))
    return gate.post(token, tool_call(name, args), "/mcp", **{"content-type": "application/json"})


async def was_never_stalled(gate: Gate, task: Id) -> bool:
    return not [body for body in await gate.bodies(task) if isinstance(body, Moved)]


async def hello(request: Any) -> Answer:
    return chat(f"answer to {len(request.messages)}")


async def test_a_held_thought_whose_client_left_is_not_paid_for_beside_its_retry() -> None:
    stage = GateStage()
    stage.model.play = hello
    async with stage.node() as gate:
        task = await stage.create()
        await gate.told(gate.post(await gate.adopt(task), asking("the first one")))
        token = await gate.adopt(task, renew=True)
        gone = gate.post(token, asking("quite another thing"))  # stands in the place of the first one, and is held
        await stage.clock.advance(1)
        gone.leave()
        await stage.clock.advance(1)
        again = gate.post(token, asking("quite another thing"))
        await stage.clock.advance(1)
        await gate.told(gate.post(token, asking("the first one")))
        await gate.told(again)
        assert len(stage.model.asked) == 2


async def test_a_replaced_program_cannot_end_the_task_of_its_successor() -> None:
    stage = GateStage()
    stage.model.play = hello
    async with stage.node() as gate:
        task = await stage.create()
        old = await gate.adopt(task)
        await gate.told(gate.post(old, asking("one")))
        asked = tool(gate, old, "comity_finish", {"result": 1})
        incarnation = await stage.orders.adopt(task, renew=True)  # its node has not heard of it
        await gate.told(asked)
        new = gate.door.tokens.mint(task, incarnation)
        await gate.told(gate.post(new, asking("one")))
        assert (await stage.orders.row(task)).state is State.RUNNING


@pytest.mark.parametrize("seconds", [10**12, 10**400, 1e308], ids=["long", "longer", "longest"])
async def test_a_wait_for_ever_breaks_nothing(seconds: Any) -> None:
    stage = GateStage()
    stage.model.play = hello
    async with stage.node() as gate:
        task = await stage.create()
        token = await gate.adopt(task)
        for args in ({"seconds": seconds}, {"signal": "go", "timeout_s": seconds}):
            await gate.told(tool(gate, token, "comity_wait", args))
        await gate.told(gate.post(token, asking("one")))
        assert await was_never_stalled(gate, task)


@pytest.mark.parametrize("count", [10**12, 2**64, 10**400], ids=["large", "larger", "largest"])
async def test_no_number_of_tokens_breaks_a_task(count: int) -> None:
    stage = GateStage()
    stage.model.play = hello
    async with stage.node() as gate:
        task = await stage.create()
        token = await gate.adopt(task)
        client = gate.post(token, asking("one", max_tokens=count))
        await gate.told(client)
        assert client.status == (200 if count <= 10**12 else 400)
        await gate.told(gate.post(token, asking("two")))
        assert await was_never_stalled(gate, task)


async def test_a_budget_of_whole_numbers_with_a_point_gives_a_child_that_lives() -> None:
    stage = GateStage()
    stage.agent = msgspec.structs.replace(stage.agent, agents=("clerk",))
    stage.programs = FixedPrograms(Program("", "", (stage.agent,), TOOLS))
    async with stage.node() as gate:
        task = await stage.create(agents=("clerk",))
        token = await gate.adopt(task)
        budget = {"tokens": 5.0, "calls": {"model": 2.0}, "usd": 1e9, "wall_s": 7}
        given = {"agent": "clerk", "goal": "x", "budget": budget}
        answer = await gate.told(tool(gate, token, "comity_spawn", given))
        child = parse_id(answer["result"]["structuredContent"]["child"].partition("/")[2])
        await gate.until(child, State.RUNNING)
        given["budget"] = {"usd": 1e308}
        assert (await gate.told(tool(gate, token, "comity_spawn", given)))["error"]["code"] == BAD_PARAMS
        assert await was_never_stalled(gate, task)


async def test_a_replaced_program_starts_no_child() -> None:
    stage = GateStage()
    stage.agent = msgspec.structs.replace(stage.agent, agents=("clerk",))
    stage.programs = FixedPrograms(Program("", "", (stage.agent,), TOOLS))
    stage.model.play = hello
    async with stage.node() as gate:
        task = await stage.create(agents=("clerk",))
        old = await gate.adopt(task)
        await gate.told(gate.post(old, asking("one")))
        asked = tool(gate, old, "comity_spawn", {"agent": "clerk", "goal": "x"})
        await stage.orders.adopt(task, renew=True)  # its node has not heard of it
        answer = await gate.told(asked)
        assert answer["error"]["data"]["code"] == "old_incarnation"
        assert [row.id for row in await stage.store.tasks(TaskFilter(limit=9))] == [task]


async def test_a_void_token_does_not_wake_a_silent_task() -> None:
    stage = GateStage(Outside(stalled_after_s=20))
    stage.model.play = hello
    async with stage.node() as gate:
        task = await stage.create()
        old = await gate.adopt(task)
        new = await gate.adopt(task, renew=True)
        await gate.told(gate.post(new, asking("one")))
        await gate.until(task, State.PARKED)
        late = gate.post(old, asking("one"))
        await gate.told(late)
        assert late.status == 401
        assert (await stage.orders.row(task)).state is State.PARKED
        assert await gate.told(gate.post(new, asking("one")))
        assert (await stage.orders.row(task)).state is State.RUNNING


async def test_a_task_that_broke_is_not_resumed_by_its_programs_requests() -> None:
    stage = GateStage()
    stage.model.play = hello
    async with stage.node() as gate:
        task = await stage.create()
        token = await gate.adopt(task)
        await gate.told(gate.post(token, asking("one")))
        run = gate.kernel.runs[task]

        async def fail() -> None:
            raise RuntimeError("a fault of ours")

        run.spawn(fail())
        await gate.until(task, State.PARKED)
        late = gate.post(token, asking("one", "two"))
        await gate.told(late)
        assert (late.status, late.headers["x-should-retry"]) == (403, "false")
        assert (await stage.orders.row(task)).state is State.PARKED


async def test_a_visit_that_ends_while_its_request_is_read_is_followed_by_the_next() -> None:
    stage = GateStage()
    stage.model.play = hello
    async with stage.node() as gate:
        task = await stage.create()
        token = await gate.adopt(task)
        await gate.told(gate.post(token, asking("one")))
        visit_of, run = gate.door.visit_of, gate.kernel.runs[task]

        async def enter(task: Id, incarnation: int) -> Visit:
            visit = await visit_of(task, incarnation)
            if not client.changed.is_set():
                client.changed.set()
                await run.kill_brain()
                run.gone = "the test ends it"
                run.wake()
            return visit

        gate.door.visit_of = enter  # type: ignore[method-assign]
        calls = [{"id": "c", "type": "function", "function": {"name": "inside", "arguments": "{}"}}]
        body = asking("one", tools=[{"type": "function", "function": {"name": "inside"}}])
        body["messages"] += [
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "c", "content": "x"},  # of which a word is said, by the visit
        ]
        client = gate.post(token, body)
        await gate.told(client)
        assert client.status == 200
        with pytest.raises(VisitOver):
            await gate.door.messages(bytes(16), EMPTY_HEAD)  # a task that left the node meanwhile
