"""Attacks on the promises: orders, crashes and jumps of the clock in odd moments, each of which once broke one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from comity import Context, NotHappened, agent, tool
from comity.core.codec import canonical
from comity.core.errors import UsageError
from comity.journal.entry import Intent, Resolved
from comity.journal.task import State
from comity.journal.unit import Message, OperatorSubject, StateWrite, Unit, Wakes
from comity.kernel.fork import Changes
from stage import Stage, of

DONE: list[str] = []
"""What was done to the world; each test empties it."""
GATES: dict[str, asyncio.Event] = {}
"""Tools wait here, once they have acted, until a test opens the gate."""
MOOD: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def an_empty_world() -> None:
    DONE.clear()
    GATES.clear()
    MOOD.clear()


async def act(name: str, key: str = "") -> None:
    DONE.append(f"{name} {key}".rstrip())
    gate = GATES.get(name)
    if gate is not None:
        await gate.wait()
    trouble = MOOD.get(name, [])
    what = trouble.pop(0) if trouble else ""
    if what == "not":
        raise NotHappened("it did not happen")
    if what == "broken":
        raise RuntimeError("nobody knows")


@tool(effect="idempotent")
async def put(n: int) -> str:
    await act("put", str(n))
    return f"put {n}"


@tool(effect="irreversible")
async def announce(n: int) -> str:
    await act("announce", str(n))
    return f"announced {n}"


@tool(effect="irreversible", once=["order"], once_per="tenant")
async def pay(order: str, who: str) -> str:
    await act(f"pay by {who}")
    return f"paid {order}"


@tool(effect="irreversible", once=["order"], once_per="task")
async def settle_order(order: str) -> str:
    await act("settle_order", order)
    return f"settled {order}"


@tool(effect="idempotent")
async def unbranch(args: dict[str, Any], result: Any) -> None:
    await act("unbranch", str(args["n"]))


@tool(effect="reversible", compensate=unbranch)
async def branch(n: int) -> str:
    await act("branch", str(n))
    return f"branch {n}"


@tool(effect="read")
async def check(args: dict[str, Any], result: Any) -> dict[str, Any]:
    return {"passed": MOOD.get("passes", True), "reason": "the checker says so"}


@tool(effect="irreversible", verify=check)
async def send(n: int) -> str:
    await act("send", str(n))
    return f"sent {n}"


@agent
async def worker(ctx: Context) -> Any:
    name, args = ctx.goal
    try:
        return await ctx.act(name, **args)
    except NotHappened as error:
        return f"not happened: {error.message}"


@agent
async def builder_and_payer(ctx: Context) -> Any:
    await ctx.act(branch, n=1)
    return await ctx.act(pay, order="o", who="second")


@agent
async def continuing(ctx: Context) -> Any:
    if ctx.state is None:
        slow = asyncio.create_task(ctx.act(put, n=1))
        await ctx.sleep(1)
        await ctx.continue_with({"round": 1})
        await slow
    return [await asyncio.create_task(ctx.act(put, n=1))]


@agent
async def asking_and_continuing(ctx: Context) -> Any:
    if ctx.state is None:
        asked = asyncio.create_task(ctx.ask_human("still there?"))
        await ctx.sleep(1)
        await ctx.continue_with({"round": 1})
        await asked
    await ctx.sleep(1_000_000)
    return None


@agent
async def asking_and_failing(ctx: Context) -> Any:
    asked = asyncio.create_task(ctx.ask_human("go on?"))
    await ctx.sleep(1)
    if MOOD.get("fails"):
        raise ValueError("a bug")
    return await asked


@agent
async def sending(ctx: Context) -> Any:
    return await ctx.act(send, n=1)


@agent
async def put_and_listen(ctx: Context) -> Any:
    first = await ctx.act(put, n=1)
    await ctx.wait_signal("go")
    return first


@agent
async def branch_and_listen(ctx: Context) -> Any:
    await ctx.act(branch, n=1)
    await ctx.wait_signal("go")
    return None


@agent
async def settling(ctx: Context) -> Any:
    await ctx.now()
    return await ctx.act(settle_order, order="o")


@agent
async def napping(ctx: Context) -> str:
    await ctx.sleep(0.15)
    return "rested"


@agent
async def two_listeners(ctx: Context) -> Any:
    async def listen() -> Any:
        return await ctx.wait_signal("go")

    async def busy() -> Any:
        await ctx.act(put, n=1)
        return await ctx.wait_signal("go")

    return sorted(await ctx.gather(listen(), busy(), busy()))


async def test_a_word_on_a_doubt_that_comes_as_the_task_is_parked_is_heard() -> None:
    """Promise P2."""
    MOOD["announce"] = ["broken"]
    stage = Stage(worker)
    async with stage.node() as node:
        told: list[Any] = []

        def before(unit: Unit) -> None:
            moves = unit.transition is not None and unit.transition.state is State.PARKED
            if moves and not told:
                told.append(unit)
                value = canonical({"call": 3, "verdict": "happened", "result": "it did", "by": "somebody"})
                task = unit.subject.task  # type: ignore[union-attr]
                message = Message(task, "early", "order", "resolve", value, Wakes.PARKED)
                stage.store._commit(Unit(OperatorSubject("somebody"), sends=(message,)))

        stage.store.before_commit = before
        task = await node.create("worker", ["announce", {"n": 1}])
        assert await stage.ended(node, task) == "it did"
        assert told


async def test_a_cancelled_task_begins_nothing_that_it_waited_to_begin() -> None:
    """A call that waits for a business key is not performed once the task is cancelled."""
    GATES.update({"pay by first": asyncio.Event(), "unbranch": asyncio.Event()})
    MOOD["pay by first"] = ["not"]
    stage = Stage(worker, builder_and_payer)
    async with stage.node() as node:
        first = await node.create("worker", ["pay", {"order": "o", "who": "second"}])
        MOOD["pay by second"] = ["not"]
        GATES["pay by second"] = asyncio.Event()
        await stage.clock.advance(0.5)
        second = await node.create("builder_and_payer", None)
        await stage.clock.advance(0.1)
        await node.orders.cancel(second)
        await stage.clock.advance(1)
        assert DONE[-1] == "unbranch 1"
        GATES["pay by second"].set()
        await stage.ended(node, first)
        await stage.clock.advance(5)
        GATES["unbranch"].set()
        await stage.until(node, second, State.CANCELLED)
    assert DONE == ["pay by second", "branch 1", "unbranch 1"]


@pytest.mark.parametrize("name", ["put", "announce"])
async def test_a_task_is_cancelled_though_its_tool_hangs(name: str) -> None:
    GATES[name] = asyncio.Event()
    stage = Stage(worker)
    async with stage.node() as node:
        task = await node.create("worker", [name, {"n": 1}])
        await stage.clock.advance(1)
        await node.orders.cancel(task)
        await stage.until(node, task, State.CANCELLED)
    assert [f"{name} 1"] == DONE


async def test_a_continued_agent_gets_outcomes_of_its_own_calls_only() -> None:
    GATES["put"] = asyncio.Event()
    stage = Stage(continuing)
    async with stage.node() as node:
        task = await node.create("continuing", None)
        await stage.clock.advance(3)
        GATES["put"].set()
        assert await stage.ended(node, task) == ["put 1"]
    assert DONE == ["put 1", "put 1"]


async def test_a_question_of_a_closed_history_is_withdrawn() -> None:
    stage = Stage(asking_and_continuing)
    async with stage.node() as node:
        task = await node.create("asking_and_continuing", None)
        await stage.until(node, task, State.WAITING)
        await stage.clock.advance(5)
        assert await node.orders.questions() == []


async def test_a_question_can_be_answered_after_its_failed_task_is_retried() -> None:
    MOOD["fails"] = True
    stage = Stage(asking_and_failing)
    async with stage.node() as node:
        task = await node.create("asking_and_failing", None)
        await stage.until(node, task, State.FAILED)
        assert await node.orders.questions() == []
        MOOD["fails"] = False
        await node.orders.retry(task, "redo")
        await stage.until(node, task, State.WAITING)
        (question,) = await node.orders.questions()
        await node.orders.answer(task, question.call, "yes")
        assert await stage.ended(node, task) == "yes"


async def test_a_word_on_one_attempt_says_nothing_about_the_next() -> None:
    """Promise P2: two people say *again* at once; the second word is not for the attempt that the first one caused."""
    MOOD["announce"] = ["broken", "broken"]
    stage = Stage(worker)
    async with stage.node() as node:
        task = await node.create("worker", ["announce", {"n": 1}])
        await stage.until(node, task, State.PARKED)
        (doubt,) = await node.orders.in_doubt(task)
        GATES["announce"] = asyncio.Event()
        sent = node.orders._send
        held: list[Message] = []

        async def late(message: Message) -> None:
            held.append(message)

        node.orders._send = late  # type: ignore[method-assign]
        await node.orders.resolve(task, doubt.seq, "again")
        node.orders._send = sent  # type: ignore[method-assign]
        await node.orders.resolve(task, doubt.seq, "again")
        await stage.clock.advance(2)
        await sent(held[0])
        await stage.clock.advance(2)
        GATES["announce"].set()
        row = await stage.until(node, task, State.PARKED, State.SUCCEEDED)
        assert row.reason == "in_doubt"
    assert DONE == ["announce 1", "announce 1"]


async def test_nobody_can_say_how_a_call_ended_while_it_runs() -> None:
    """Promise P2."""
    GATES["announce"] = asyncio.Event()
    stage = Stage(worker)
    async with stage.node() as node:
        task = await node.create("worker", ["announce", {"n": 1}])
        await stage.clock.advance(1)
        (running,) = await node.orders.in_doubt(task)
        with pytest.raises(UsageError, match="may still run"):
            await node.orders.resolve(task, running.seq, "again")


async def test_a_restarted_fork_makes_no_call_again_that_its_origin_had_under_way() -> None:
    """Promise P2."""
    GATES["put"] = asyncio.Event()
    stage = Stage(put_and_listen)
    async with stage.node() as node:
        origin = await node.create("put_and_listen", None)
        await stage.clock.advance(1)
        fork, _ = await node.orders.fork(origin, len(await stage.store.load(origin)), Changes(live=True))
        await stage.clock.advance(1)
        GATES["put"].set()
        await stage.until(node, fork, State.WAITING)
    assert DONE == ["put 1", "put 1"]
    async with stage.node() as node:
        await node.orders.signal(fork, "go")
        assert await stage.ended(node, fork) == "put 1"
    assert DONE == ["put 1", "put 1"]


@pytest.mark.parametrize("live", [False, True])
async def test_a_cancelled_fork_leaves_alone_what_its_origin_did(live: bool) -> None:
    stage = Stage(branch_and_listen)
    async with stage.node() as node:
        origin = await node.create("branch_and_listen", None)
        await stage.until(node, origin, State.WAITING)
        fork, _ = await node.orders.fork(origin, len(await stage.store.load(origin)), Changes(live=live))
        await stage.until(node, fork, State.WAITING)
        await node.orders.cancel(fork)
        await stage.until(node, fork, State.CANCELLED)
    assert DONE == ["branch 1"]


async def test_a_fork_of_a_fork_inherits_the_business_keys_of_the_first_of_them() -> None:
    """Promise P2."""
    stage = Stage(settling)
    async with stage.node() as node:
        origin = await node.create("settling", None)
        assert await stage.ended(node, origin) == "settled o"
        task = origin
        for _ in range(3):
            task, _ = await node.orders.fork(task, 2, Changes(live=True))
            assert await stage.ended(node, task) == "settled o"
    assert DONE == ["settle_order o"]


async def test_redo_performs_nothing_again_that_is_known_to_have_happened() -> None:
    """Promise P2: what fails a call whose effect happened is its verification."""
    MOOD["passes"] = False
    stage = Stage(sending)
    async with stage.node() as node:
        task = await node.create("sending", None)
        await stage.until(node, task, State.FAILED)
        await node.orders.retry(task, "redo")
        await stage.clock.advance(5)
        await stage.until(node, task, State.FAILED)
    assert DONE == ["send 1"]


async def test_a_stop_is_no_verdict_of_a_verifier() -> None:
    """Promise P9: the verification waits, as all else does, until the stop is lifted."""
    GATES["send"] = asyncio.Event()
    stage = Stage(sending)
    async with stage.node() as node:
        task = await node.create("sending", None)
        await stage.clock.advance(1)
        await node.orders.stop("fleet")
        await stage.clock.advance(1)
        GATES["send"].set()
        await stage.until(node, task, State.PARKED)
        await node.orders.lift("fleet")
        assert await stage.ended(node, task) == "sent 1"
    assert DONE == ["send 1"]


async def test_a_clock_that_goes_back_keeps_nobody_asleep_for_ever() -> None:
    stage = Stage(napping)
    async with stage.node() as node:
        task = await node.create("napping", None)
        await stage.clock.advance(0.05)
        stage.clock.set_wall_us(stage.clock.wall_us() - 10_000_000)
        assert await stage.ended(node, task) == "rested"


async def test_evidence_of_an_earlier_attempt_says_nothing_about_a_later_one() -> None:
    """Promise P2: `not happened` was true of the first attempt; the second one acted."""
    MOOD["announce"] = ["broken", "broken"]
    stage = Stage(worker)
    async with stage.node() as node:
        task = await node.create("worker", ["announce", {"n": 1}])
        await stage.until(node, task, State.PARKED)
        (doubt,) = await node.orders.in_doubt(task)
        GATES["announce"] = asyncio.Event()
        await node.orders.resolve(task, doubt.seq, "again")
        await stage.clock.advance(2)
        late = {"call": doubt.seq, "attempt": 1, "epoch": 1, "end": "failed", "result": None, "error": "no"}
        value = canonical({**late, "cost": [0, 0, 0]})
        message = Message(task, "evidence:1", "evidence", str(doubt.seq), value, Wakes.PARKED)
        await stage.store.commit([Unit(OperatorSubject("former owner"), sends=(message,))])
        await stage.clock.advance(2)
        GATES["announce"].set()
        row = await stage.until(node, task, State.PARKED, State.SUCCEEDED)
        assert row.reason == "in_doubt"
    assert of(await stage.bodies(task), Resolved)[-1].verdict == "again"


async def test_a_call_that_met_a_stop_of_others_is_judged_again() -> None:
    """Promise P9: the stop of another scope fails the guard of an intent that was on its way; the call goes on."""
    stage = Stage(worker)
    async with stage.node() as node:
        met: list[Unit] = []

        def before(unit: Unit) -> None:
            if not met and any(type(entry.read()) is Intent for entry in unit.entries):
                met.append(unit)
                for row in (StateWrite("stop", "agent:other", b"{}"), StateWrite("stop", "generation", b"null")):
                    stage.store._write_state(stage.store._state, row)

        stage.store.before_commit = before
        task = await node.create("worker", ["put", {"n": 1}])
        assert await stage.ended(node, task) == "put 1"
        assert met
