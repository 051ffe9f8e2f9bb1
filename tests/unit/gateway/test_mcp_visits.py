"""The tool URL in front of a real visit and kernel: what is journaled, what is joined, what a new start is told."""

from __future__ import annotations

import json
from typing import Any

from starlette.applications import Starlette

from comity.core.ids import Id
from comity.gateway.mcp import PATIENCE_S
from comity.gateway.routes import gateway_routes
from comity.journal.call import Call, Kind
from comity.journal.entry import Intent, Outcome, Waiting
from comity.journal.ports import View
from comity.journal.spec import Outside
from comity.journal.task import State
from comity.journal.unit import OperatorSubject, StateWrite, Unit
from comity.journal.verdict import Allow, Verdict, Wait
from comity.journal.wire import Answer
from comity.kernel.open_gate import PassGate
from gate_stage import Gate, GateStage, asking, chat
from mcp_stage import tool_call

WHY = {"issue": "which room?", "options": ["7", "9"], "chosen": "7"}


class Program:
    """A program that thinks and calls tools, of one incarnation."""

    def __init__(self, gate: Gate, token: str) -> None:
        gate.app = Starlette(routes=gateway_routes(gate.door, 1_000_000))
        self.gate = gate
        self.token = token

    async def call(self, name: str, args: dict[str, Any] | None = None) -> Any:
        """Call a tool, and return its result."""
        headers = {"content-type": "application/json"}
        client = self.gate.post(self.token, tool_call(name, args), "/mcp", **headers)
        answer = await self.gate.told(client)
        return answer.get("result", answer)

    async def think(self, *texts: str) -> Any:
        """Ask the model."""
        return await self.gate.told(self.gate.post(self.token, asking(*texts)))


async def test_a_call_is_performed_once_and_its_repeat_is_told_the_same() -> None:
    stage = GateStage()

    async def play(name: str, args: Any) -> Any:
        return {"booked": args["room"]}

    stage.hand.play = play
    async with stage.node() as gate:
        task = await stage.create()
        program = Program(gate, await gate.adopt(task))
        first = await program.call("book", {"room": 7})
        assert first["structuredContent"] == {"booked": 7}
        assert await program.call("book", {"room": 7}) == first  # no model proposed a second one
        assert stage.hand.done == [("book", {"room": 7})]


async def test_a_deliberation_is_in_the_journal_before_the_call_that_it_explains() -> None:
    stage = GateStage(Outside(deliberation="required"))

    async def play(name: str, args: Any) -> Any:
        return args

    async def propose(request: Any) -> Answer:
        return chat("I take 7.", calls=(("book", {"room": 7, "deliberation": WHY}),))

    stage.hand.play, stage.model.play = play, propose
    async with stage.node() as gate:
        task = await stage.create()
        program = Program(gate, await gate.adopt(task))
        await program.think("book a room")
        assert (await program.call("book", {"room": 7}))["structuredContent"]["code"] == "no_deliberation"
        for _ in range(2):  # the second one is the repeat of the first
            assert (await program.call("book", {"room": 7, "deliberation": WHY}))["structuredContent"] == {"room": 7}
        assert stage.hand.done == [("book", {"room": 7})]
        await program.call("comity_finish")
        await gate.until(task, State.SUCCEEDED)
        entries = await stage.store.load(task)
        kinds = [(entry.kind, entry.read()) for entry in entries if entry.kind in (Kind.DECISION, Kind.TOOL)]
        (kind, decision), (_, intent), (_, outcome) = kinds
        assert kind == Kind.DECISION
        assert isinstance(decision, Outcome)
        assert decision.asked is not None
        record = json.loads(decision.asked.args.inline or b"")
        assert (record["chosen"], record["provenance"]["text"]) == ("7", "I take 7.")
        assert isinstance(intent, Intent)
        assert isinstance(outcome, Outcome)


async def test_a_second_act_that_a_model_proposed_is_another_one_though_it_deliberated() -> None:
    stage = GateStage(Outside(deliberation="offered"))

    async def play(name: str, args: Any) -> Any:
        return args

    async def propose(request: Any) -> Answer:
        why = {**WHY, "why": f"thought {len(stage.model.asked)}"}
        return chat(calls=(("book", {"room": 7, "deliberation": why}),))

    stage.hand.play, stage.model.play = play, propose
    async with stage.node() as gate:
        program = Program(gate, await gate.adopt(await stage.create()))
        for number in (1, 2):
            await program.think(*(["book a room"] * number))
            why = {**WHY, "why": f"thought {number}"}
            assert (await program.call("book", {"room": 7, "deliberation": why}))["structuredContent"] == {"room": 7}
        assert stage.hand.done == [("book", {"room": 7})] * 2


async def test_a_wait_is_one_wait_however_often_it_is_asked_for_and_is_told_alike_after_a_restart() -> None:
    stage = GateStage()

    async def answer(request: Any) -> Answer:
        return chat(f"thought {len(request.messages)}", calls=(("comity_wait", {"seconds": 2 * PATIENCE_S}),))

    stage.model.play = answer
    async with stage.node() as gate:
        task = await stage.create()

        async def run(program: Program) -> list[Any]:
            told = [await program.think("go")]
            while "waited_s" not in (told[-1].get("structuredContent") or {}):
                told.append(await program.call("comity_wait", {"seconds": 2 * PATIENCE_S}))
                told.append(await program.think("go", json.dumps(told[-1])))
                if "waited_s" in told[-2]["structuredContent"]:
                    return told
            raise AssertionError

        first = await run(Program(gate, await gate.adopt(task)))
        assert first[1]["structuredContent"]["status"] == "pending"
        thoughts = len(stage.model.asked)
        waits = [body for body in await gate.bodies(task) if isinstance(body, Waiting)]
        assert len(waits) == 1
        second = await run(Program(gate, await gate.adopt(task, renew=True)))
        assert second == first
        assert len(stage.model.asked) == thoughts


async def test_a_program_ends_its_task() -> None:
    stage = GateStage()
    async with stage.node() as gate:
        task = await stage.create()
        program = Program(gate, await gate.adopt(task))
        assert (await program.call("comity_progress", {"text": "nearly"}))["structuredContent"] == {"said": True}
        assert (await program.call("comity_finish", {"result": {"rooms": 1}}))["structuredContent"]["finished"]
        await gate.until(task, State.SUCCEEDED)
        late = await program.call("look")
        assert late["error"]["data"]["code"] == "task_ended"


async def test_a_person_is_asked_once() -> None:
    stage = GateStage()
    async with stage.node() as gate:
        task = await stage.create()
        program = Program(gate, await gate.adopt(task))
        for _ in range(2):
            assert (await program.call("comity_ask_human", {"question": "may I?"}))["structuredContent"]["call_again"]
        (question,) = await stage.store.states("question")
        await stage.orders.answer(task, int(question.key.rpartition("/")[2]), "yes")
        gate.kernel.poke(task)
        assert (await program.call("comity_ask_human", {"question": "may I?"}))["structuredContent"] == {
            "answer": "yes"
        }


async def test_what_a_read_found_is_durable_before_the_program_hears_of_it() -> None:
    stage = GateStage()

    async def play(name: str, args: Any) -> Any:
        return {"free": 3}

    stage.hand.play = play
    async with stage.node() as gate:
        task = await stage.create()
        program = Program(gate, await gate.adopt(task))
        assert (await program.call("look"))["structuredContent"] == {"free": 3}
        outcomes = [body for body in await gate.bodies(task) if isinstance(body, Outcome)]
    assert [outcome.result.inline for outcome in outcomes] == [b'{"free":3}']


class Shut(PassGate):
    """A gate that has tools wait until it is opened."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        gate.kernel.admit = self

    async def judge(self, call: Call, view: View, now_us: int) -> Verdict:
        row = await self.gate.stage.store.state("door", "open")
        return Allow() if row is not None or call.kind != Kind.TOOL else Wait("it is shut", on="door/open")

    async def waits(self, task: Id) -> None:
        """Let time pass until a call is deferred, and its wait journaled."""
        while not any(isinstance(body, Waiting) for body in await self.gate.bodies(task)):
            await self.gate.stage.clock.advance(0.1)

    async def open(self) -> None:
        await self.gate.stage.store.commit([Unit(OperatorSubject("tester"), state=(StateWrite("door", "open", b""),))])
        self.gate.kernel.poke()


async def test_what_a_replaced_program_waited_for_is_not_done_unless_its_successor_asks_for_it() -> None:
    stage = GateStage()

    async def play(name: str, args: Any) -> Any:
        return args

    stage.hand.play = play
    async with stage.node() as gate:
        task, shut = await stage.create(), Shut(gate)
        first = Program(gate, await gate.adopt(task))
        gate.post(first.token, tool_call("book", {"room": 7}), "/mcp", **{"content-type": "application/json"})
        await shut.waits(task)
        second = Program(gate, await gate.adopt(task, renew=True))
        assert (await second.call("comity_progress", {"text": "I do something else"}))["structuredContent"]
        await shut.open()
        assert (await second.call("mail", {"to": "x"}))["structuredContent"] == {"to": "x"}
        assert stage.hand.done == [("mail", {"to": "x"})]
        assert (await second.call("book", {"room": 7}))["structuredContent"] == {"room": 7}
        assert stage.hand.done[1:] == [("book", {"room": 7})]


async def test_what_a_living_program_waits_for_is_done_once_though_its_node_begins_again() -> None:
    stage = GateStage()

    async def play(name: str, args: Any) -> Any:
        return args

    stage.hand.play = play
    async with stage.node() as gate:
        task = await stage.create()
        token = await gate.adopt(task)
        Program(gate, token)
        shut = Shut(gate)
        gate.post(token, tool_call("book", {"room": 7}), "/mcp", **{"content-type": "application/json"})
        await shut.waits(task)
    async with stage.node() as gate:
        await Shut(gate).open()
        assert (await Program(gate, token).call("book", {"room": 7}))["structuredContent"] == {"room": 7}
        assert stage.hand.done == [("book", {"room": 7})]


async def test_a_node_that_lost_a_task_keeps_nothing_of_its_visit() -> None:
    stage = GateStage()

    async def play(name: str, args: Any) -> Any:
        return args

    stage.hand.play = play
    async with stage.node() as gate:
        task = await stage.create()
        token = await gate.adopt(task)
        program = Program(gate, token)
        assert (await program.call("book", {"room": 7}))["structuredContent"] == {"room": 7}
        assert gate.door.known == {task}
        await stage.store.declare_dead(gate.kernel.lease.node)  # it was frozen for longer than its lease, say
        async with stage.node() as other:
            await gate.until(task, State.RUNNING)
            assert (await Program(other, token).call("mail", {"to": "x"}))["structuredContent"] == {"to": "x"}
            while gate.kernel.runs:
                await stage.clock.advance(0.1)
            assert gate.door.known == set()
            assert other.door.known == {task}
