"""The model URL: what a program is told, what is journaled, and what happens when either side goes away."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from comity.core.errors import ComityError, UsageError
from comity.journal.call import Status
from comity.journal.entry import Intent, Outcome, Progressed
from comity.journal.ports import ModelRequest
from comity.journal.spec import Outside
from comity.journal.task import State
from comity.journal.wire import Answer, read_answer
from comity.kernel.fork import Changes
from comity.runtime.account import read_account
from comity.testing.waiting import wait_until
from gate_stage import GateStage, asking, chat, streamed


async def hello(request: ModelRequest) -> Answer:
    return chat(f"answer to {len(request.messages)}")


async def test_a_request_is_answered_with_the_upstreams_bytes_and_journaled() -> None:
    stage = GateStage()
    stage.model.play = hello
    task = await stage.create()
    async with stage.node() as gate:
        token = await gate.adopt(task)
        client = gate.post(token, asking("hi", temperature=0.5))
        assert (await client.whole())["choices"][0]["message"]["content"] == "answer to 1"
        bodies = await gate.bodies(task)
    (intent,) = [body for body in bodies if isinstance(body, Intent)]
    (outcome,) = [body for body in bodies if isinstance(body, Outcome)]
    assert intent.asked.name == "m"
    assert read_answer(outcome.result.inline).status == 200
    (request,) = stage.model.asked
    assert (request.wire, request.messages) == ("chat", (b'{"role": "user", "content": "hi"}',))
    assert json.loads(request.rest) == {"temperature": 0.5}


async def test_a_longer_conversation_journals_what_is_new_in_it() -> None:
    stage = GateStage()
    stage.model.play = hello
    task = await stage.create()
    async with stage.node() as gate:
        token = await gate.adopt(task)
        await gate.post(token, asking("one")).whole()
        await gate.post(token, asking("one", "two")).whole()
        intents = [body for body in await gate.bodies(task) if isinstance(body, Intent)]
    assert [len(intent.context.new) for intent in intents if intent.context] == [1, 1]
    assert [len(request.messages) for request in stage.model.asked] == [1, 2]


async def test_a_restarted_program_pays_for_no_recorded_thought_twice() -> None:
    stage = GateStage()
    stage.model.play = hello
    task = await stage.create()
    async with stage.node() as gate:
        first = await gate.adopt(task)
        said = await gate.post(first, asking("one")).whole()
        second = await gate.adopt(task, renew=True)
        assert await gate.post(second, asking("one")).whole() == said
        await gate.post(second, asking("one", "two")).whole()
    assert [len(request.messages) for request in stage.model.asked] == [1, 2]


async def test_the_old_token_of_a_replaced_program_opens_nothing() -> None:
    stage = GateStage()
    stage.model.play = hello
    task = await stage.create()
    async with stage.node() as gate:
        first = await gate.adopt(task)
        await gate.post(first, asking("one")).whole()
        second = await gate.adopt(task, renew=True)
        await gate.post(second, asking("one")).whole()
        late = gate.post(first, asking("one", "two"))
        told = await late.whole()
    assert (late.status, told["error"]["code"], late.headers["x-should-retry"]) == (401, "old_incarnation", "false")
    assert len(stage.model.asked) == 1


async def test_a_node_restart_does_not_refuse_a_program_that_lives() -> None:
    stage = GateStage()
    stage.model.play = hello
    task = await stage.create()
    async with stage.node() as gate:
        token = await gate.adopt(task)
        said = await gate.post(token, asking("one")).whole()
    async with stage.node() as gate:
        assert await gate.post(token, asking("one"), **{"x-stainless-retry-count": "1"}).whole() == said
        await gate.post(token, asking("one", "two")).whole()
    assert [len(request.messages) for request in stage.model.asked] == [1, 2]


async def test_a_stream_goes_out_live_but_its_end_only_once_it_is_durable() -> None:
    stage = GateStage()
    stage.model.held = asyncio.Event()

    async def play(_request: ModelRequest) -> list[bytes]:
        return streamed("a", "b")

    stage.model.play = play
    task = await stage.create()
    async with stage.node() as gate:
        token = await gate.adopt(task)
        client = gate.post(token, asking("hi", stream=True))
        await client.until(b'"b"')
        assert b"finish_reason" not in client.body
        assert not [body for body in await gate.bodies(task) if isinstance(body, Outcome)]
        stage.model.held.set()
        assert await client.whole() == b"".join(streamed("a", "b"))
        again = gate.post(await gate.adopt(task, renew=True), asking("hi", stream=True))
        assert await again.whole() == b"".join(streamed("a", "b"))
    assert len(stage.model.asked) == 1


async def test_a_client_that_gave_up_finds_its_answer_when_it_asks_again() -> None:
    stage = GateStage()
    stage.model.held = asyncio.Event()

    async def play(_request: ModelRequest) -> list[bytes]:
        return streamed("a", "b")

    stage.model.play = play
    task = await stage.create()
    async with stage.node() as gate:
        token = await gate.adopt(task)
        client = gate.post(token, asking("hi", stream=True))
        await client.until(b'"a"')
        client.leave()
        await asyncio.wait_for(client.task, 5)
        retry = gate.post(token, asking("hi", stream=True))
        await retry.until(b'"a"')
        stage.model.held.set()
        assert await retry.whole() == b"".join(streamed("a", "b"))
    assert len(stage.model.asked) == 1


async def test_a_program_restarted_in_the_middle_of_a_stream_gets_the_whole_of_it() -> None:
    stage = GateStage()
    stage.model.held, stage.model.held_at = asyncio.Event(), 1

    async def play(_request: ModelRequest) -> list[bytes]:
        return streamed("a", "b")

    stage.model.play = play
    task = await stage.create()
    async with stage.node() as gate:
        client = gate.post(await gate.adopt(task), asking("hi", stream=True))
        await client.until(b'"a"')
        client.leave()
        again = gate.post(await gate.adopt(task, renew=True), asking("hi", stream=True))
        await wait_until(lambda: gate.door._visits[task].incarnation == 2 and gate.door._visits[task].waiting)
        stage.model.held.set()
        assert await gate.told(again) == b"".join(streamed("a", "b"))
    assert len(stage.model.asked) == 1


async def test_an_upstream_that_is_busy_is_told_as_such_and_asked_anew() -> None:
    stage = GateStage()
    came: list[Any] = [ComityError("model_busy", "upstream `u` answered 503", retry="redo"), chat("now")]

    async def play(_request: ModelRequest) -> Any:
        return came.pop(0)

    stage.model.play = play
    task = await stage.create()
    async with stage.node() as gate:
        token = await gate.adopt(task)
        refused = gate.post(token, asking("hi"))
        told = await refused.whole()
        assert (refused.status, told["error"]["code"]) == (503, "model_busy")
        assert refused.headers["x-should-retry"] == "true"
        retry = gate.post(token, asking("hi"), **{"x-stainless-retry-count": "1"})
        assert (await retry.whole())["choices"][0]["message"]["content"] == "now"
        statuses = [body.status for body in await gate.bodies(task) if isinstance(body, Outcome)]
    assert statuses == [Status.FAILED, Status.DONE]


async def test_a_request_that_the_upstream_refuses_is_an_answer_that_is_recalled() -> None:
    stage = GateStage()

    async def play(_request: ModelRequest) -> Answer:
        return Answer('{"error":{"message":"too long"}}', status=400)

    stage.model.play = play
    task = await stage.create()
    async with stage.node() as gate:
        client = gate.post(await gate.adopt(task), asking("hi"))
        assert (await client.whole(), client.status) == ({"error": {"message": "too long"}}, 400)
        again = gate.post(await gate.adopt(task, renew=True), asking("hi", stream=True))
        await again.whole()
        assert again.status == 400
    assert len(stage.model.asked) == 1  # whether it is streamed is masked


async def test_a_program_that_goes_another_way_is_parked() -> None:
    stage = GateStage()
    stage.model.play = hello
    task = await stage.create()
    async with stage.node() as gate:
        await gate.post(await gate.adopt(task), asking("one")).whole()
        second = await gate.adopt(task, renew=True)
        client = gate.post(second, asking("other words"))
        row = await gate.until(task, State.PARKED)
        told = await gate.told(client)
    assert (row.reason, client.status, told["error"]["code"]) == ("diverged", 403, "task_parked")
    assert len(stage.model.asked) == 1


async def test_a_program_may_think_again_where_its_policy_says_so() -> None:
    stage = GateStage(on_divergence="rethink")
    stage.model.play = hello
    task = await stage.create()
    async with stage.node() as gate:
        await gate.post(await gate.adopt(task), asking("one")).whole()
        second = await gate.adopt(task, renew=True)
        client = gate.post(second, asking("other words"))
        assert (await gate.told(client))["choices"][0]["message"]["content"] == "answer to 1"
    assert len(stage.model.asked) == 2


async def test_a_silent_program_is_stalled_and_its_next_request_wakes_it() -> None:
    stage = GateStage()
    stage.model.play = hello
    task = await stage.create()
    async with stage.node() as gate:
        token = await gate.adopt(task)
        await gate.post(token, asking("one")).whole()
        await stage.clock.advance(601)
        row = await gate.until(task, State.PARKED)
        assert row.reason == "stalled"
        client = gate.post(token, asking("one", "two"))
        await gate.until(task, State.RUNNING)
        assert (await client.whole())["choices"][0]["message"]["content"] == "answer to 2"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "not_json"),
        (b'{"model":"m","model":"n","messages":[{"role":"user"}]}', 400, "not_json"),
        (asking("hi", model="gpt-9"), 404, "unknown_model"),
        (asking(), 400, "no_messages"),
        (b" " * 1_000_001, 413, "body_too_large"),
    ],
)
async def test_bad_input_is_told_in_the_formats_own_shape(body: Any, status: int, code: str) -> None:
    stage = GateStage()
    task = await stage.create()
    async with stage.node() as gate:
        client = gate.post(await gate.adopt(task), {**body, "model": "gpt-9"} if code == "unknown_model" else body)
        told = await client.whole()
    assert (client.status, told["error"]["code"]) == (status, code)
    assert told["error"]["message"]


async def test_a_key_that_is_no_task_token_is_refused() -> None:
    stage = GateStage()
    async with stage.node() as gate:
        client = gate.post("sk-my-provider-key", asking("hi"))
        told = await client.whole()
    assert (client.status, told["error"]["code"]) == (401, "unknown_token")


async def test_three_programs_in_a_row_that_leave_nothing_stall_the_task() -> None:
    stage = GateStage()
    task = await stage.create()
    async with stage.node() as gate:
        await gate.adopt(task)
        for _ in range(3):
            await gate.adopt(task, renew=True)
        row = await gate.until(task, State.PARKED)
    assert row.reason == "stalled"


async def test_a_program_that_ended_well_ends_its_task() -> None:
    stage = GateStage()
    stage.model.play = hello
    task = await stage.create()
    async with stage.node() as gate:
        token = await gate.adopt(task)
        await gate.post(token, asking("one")).whole()
        await stage.orders.finish(task, {"total": 3})
        gate.kernel.poke(task)
        await gate.until(task, State.SUCCEEDED)
        late = gate.post(token, asking("one", "two"))
        told = await late.whole()
    assert (late.status, told["error"]["code"]) == (410, "task_ended")


async def test_a_function_that_runs_in_the_program_is_shown_as_unprotected() -> None:
    stage = GateStage()
    stage.model.play = hello
    task = await stage.create()
    functions = [{"type": "function", "function": {"name": name}} for name in ("delete_file", "hotel__book")]
    request = asking("one", tools=functions)
    result = {"role": "tool", "tool_call_id": "c0", "content": "gone"}
    called = {"id": "c0", "type": "function", "function": {"name": "delete_file", "arguments": "{}"}}
    later = [*request["messages"], {"role": "assistant", "tool_calls": [called]}, result]
    async with stage.node() as gate:
        token = await gate.adopt(task)
        await gate.post(token, request).whole()
        await gate.post(token, {**request, "messages": later}).whole()
        account = await read_account(stage.store, await stage.orders.row(task))
        said = [body.text for body in await gate.bodies(task) if isinstance(body, Progressed)]
    assert account.unprotected == ("delete_file",)
    assert len(said) == 1
    assert "`delete_file` ran inside the program" in said[0]


async def test_a_provider_s_own_tool_is_refused_unless_the_agent_may_have_it() -> None:
    request = asking("one", tools=[{"type": "web_search"}])
    refused, allowed = GateStage(), GateStage(Outside(hosted_tools=("web_search",)))
    for stage, status in ((refused, 400), (allowed, 200)):
        stage.model.play = hello
        async with stage.node() as gate:
            client = gate.post(await gate.adopt(await stage.create()), request)
            told = await client.whole()
        assert client.status == status, told
    assert not refused.model.asked


async def test_paths_that_are_not_served_say_which_are() -> None:
    stage = GateStage()
    async with stage.node() as gate:
        client = gate.post("ct_", asking("hi"), "/v1/embeddings")
        told = await client.whole()
    assert (client.status, told["error"]["code"]) == (404, "not_served")
    assert "`/v1/chat/completions`" in told["error"]["message"]


async def test_the_list_of_models_is_for_programs() -> None:
    stage = GateStage()
    task = await stage.create()
    async with stage.node() as gate:
        token = await gate.adopt(task)
        listed = gate.post(token, b"", "/v1/models", method="GET")
        refused = gate.post("sk-other", b"", "/v1/models", method="GET")
        assert [item["id"] for item in (await listed.whole())["data"]] == ["m"]
        await refused.whole()
    assert refused.status == 401


async def test_a_fork_s_program_recalls_what_its_origin_s_program_did() -> None:
    stage = GateStage()
    stage.model.play = hello
    task = await stage.create()
    async with stage.node() as gate:
        token = await gate.adopt(task)
        said = await gate.post(token, asking("one")).whole()
        await gate.post(token, asking("one", "two")).whole()
        last = (await stage.orders.row(task)).last_seq
        forked, _ = await stage.orders.fork(task, last, Changes())
        gate.kernel.poke()
        other = await gate.adopt(forked)
        assert await gate.told(gate.post(other, asking("one"))) == said
        await gate.told(gate.post(other, asking("one", "two")))
        await gate.told(gate.post(other, asking("one", "two", "three")))
    assert [len(request.messages) for request in stage.model.asked] == [1, 2, 3]


async def test_a_program_that_was_replaced_cannot_end_the_task_of_its_successor() -> None:
    stage = GateStage()
    stage.model.play = hello
    task = await stage.create()
    async with stage.node() as gate:
        await gate.adopt(task)
        second = await gate.adopt(task, renew=True)
        with pytest.raises(UsageError, match="incarnation 1 of task"):
            await stage.orders.finish(task, error="it was told to go", incarnation=1)
        await gate.post(second, asking("one")).whole()
        await stage.orders.finish(task, incarnation=2)
        gate.kernel.poke(task)
        await gate.until(task, State.SUCCEEDED)
