"""Effects: doubt by class, business keys, compensation on cancel, verification, what a person says."""

from __future__ import annotations

from typing import Any

import pytest

from comity import Context, DidNotHappen, Happened, NotHappened, Unknown, agent, tool
from comity.core.errors import ComityError, UsageError
from comity.journal.call import Attempt, AttemptEnd, Call, Permit
from comity.journal.entry import Attempted, Ended, Intent, Outcome, Resolved
from comity.journal.ports import OnProgress
from comity.journal.spec import ToolSpec
from comity.journal.task import State
from stage import Stage, of

DONE: list[str] = []
"""The world that the tools act on; each test empties it."""
TROUBLE: dict[str, list[str]] = {}
"""What a tool's next calls do: raise `before` they act or `after`, or say that it did `not` happen."""


@pytest.fixture(autouse=True)
def an_empty_world() -> None:
    DONE.clear()
    TROUBLE.clear()


def act(name: str) -> None:
    trouble = TROUBLE.get(name, [])
    what = trouble.pop(0) if trouble else ""
    if what == "not":
        raise NotHappened("the slot is taken")
    if what == "before":
        raise RuntimeError("broken before it acted")
    DONE.append(name)
    if what == "after":
        raise RuntimeError("broken after it acted")


@tool(effect="idempotent")
async def put(n: int) -> str:
    act("put")
    return f"put {n}"


@tool(effect="read")
async def find(n: int) -> Happened | DidNotHappen | Unknown:
    trouble = TROUBLE.get("find", [])
    if trouble and trouble.pop(0) == "unknown":
        return Unknown("cannot tell")
    return Happened(f"found {n}") if "tag" in DONE else DidNotHappen("no tag")


@tool(effect="reconcilable", reconcile=find)
async def tag(n: int) -> str:
    act("tag")
    return f"tag {n}"


@tool(effect="idempotent")
async def unbranch(args: dict[str, Any], result: Any) -> None:
    act("unbranch")
    DONE.append(f"un{args['n']}")


@tool(effect="reversible", compensate=unbranch)
async def branch(n: int) -> str:
    act("branch")
    return f"branch {n}"


@tool(effect="irreversible")
async def announce(n: int) -> str:
    act("announce")
    return f"announced {n}"


@tool(effect="irreversible", once=["order.id"], once_per="tenant")
async def pay(order: dict[str, Any]) -> str:
    act("pay")
    return f"paid {order['id']}"


@tool(effect="read")
async def check(args: dict[str, Any], result: Any) -> dict[str, Any]:
    return {"passed": result != "sent 13", "reason": "thirteen is unlucky"}


@tool(effect="idempotent", verify=check)
async def send(n: int) -> str:
    act("send")
    return f"sent {n}"


@agent
async def worker(ctx: Context) -> Any:
    name, args = ctx.goal
    try:
        return await ctx.act(name, **args)
    except NotHappened as error:
        return f"not happened: {error.message}"


@agent
async def twice(ctx: Context) -> Any:
    found = []
    for args in ctx.goal:
        try:
            found.append(await ctx.act(pay, **args))
        except ComityError as error:
            found.append(type(error).__name__)
    return found


@agent
async def builder(ctx: Context) -> str:
    for n in range(3):
        await ctx.act(branch, n=n)
    await ctx.sleep(1_000_000)
    return "never"


async def run(name: str, **trouble: list[str]) -> tuple[Stage, bytes, Any]:
    TROUBLE.update(trouble)
    stage = Stage(worker)
    async with stage.node() as node:
        task = await node.create("worker", [name, {"n": 1}])
        return stage, task, await stage.ended(node, task)


@pytest.mark.parametrize("what", ["before", "after"])
async def test_an_idempotent_call_in_doubt_is_made_again_with_the_same_key(what: str) -> None:
    stage, task, result = await run("put", put=[what])
    assert result == "put 1"
    assert len(of(await stage.bodies(task), Attempted)) == 1
    assert (["put"] if what == "before" else ["put", "put"]) == DONE


async def test_a_reconcilable_call_that_happened_is_answered_with_what_was_found() -> None:
    stage, task, result = await run("tag", tag=["after"])
    assert (result, DONE) == ("found 1", ["tag"])
    (resolved,) = of(await stage.bodies(task), Resolved)
    assert (resolved.verdict, resolved.by) == ("happened", "find")


async def test_a_reconcilable_call_that_did_not_happen_is_performed() -> None:
    stage, task, result = await run("tag", tag=["before"])
    assert (result, DONE) == ("tag 1", ["tag"])
    (resolved,) = of(await stage.bodies(task), Resolved)
    assert (resolved.verdict, resolved.generation) == ("again", 1)


async def test_a_reversible_call_in_doubt_is_undone_and_then_performed() -> None:
    _, _, result = await run("branch", branch=["after"])
    assert (result, DONE) == ("branch 1", ["branch", "unbranch", "un1", "branch"])


async def test_what_a_tool_says_did_not_happen_is_told_to_the_agent() -> None:
    _, _, result = await run("announce", announce=["not"])
    assert (result, DONE) == ("not happened: the slot is taken", [])


@pytest.mark.parametrize(
    ("verdict", "said", "result", "done"),
    [
        ("happened", {"result": "it did"}, "it did", ["announce"]),
        ("not_happened", {"note": "nothing arrived"}, "not happened: nothing arrived", ["announce"]),
        ("again", {}, "announced 1", ["announce", "announce"]),
    ],
)
async def test_an_irreversible_call_in_doubt_waits_for_what_a_person_says(
    verdict: Any, said: dict[str, Any], result: str, done: list[str]
) -> None:
    TROUBLE["announce"] = ["after"]
    stage = Stage(worker)
    async with stage.node() as node:
        task = await node.create("worker", ["announce", {"n": 1}])
        row = await stage.until(node, task, State.PARKED)
        assert row.reason == "in_doubt"
    async with stage.node() as node:
        (doubt,) = await node.orders.in_doubt(task)
        with pytest.raises(UsageError, match="not in doubt"):
            await node.orders.resolve(task, 1, "happened")
        await node.orders.resolve(task, doubt.seq, verdict, **said)
        assert await stage.ended(node, task) == result
        assert done == DONE
        with pytest.raises(UsageError):
            await node.orders.resolve(task, doubt.seq, "happened")


async def test_a_doubt_that_reconcile_cannot_settle_waits_for_a_person() -> None:
    TROUBLE.update(tag=["after"], find=["unknown"])
    stage = Stage(worker)
    async with stage.node() as node:
        task = await node.create("worker", ["tag", {"n": 1}])
        row = await stage.until(node, task, State.PARKED)
        assert row.reason == "in_doubt"
        await node.orders.resume(task)
        assert await stage.ended(node, task) == "found 1"


async def test_the_same_act_is_answered_with_the_first_outcome_and_other_arguments_are_refused() -> None:
    stage = Stage(twice)
    same, other = {"order": {"id": 7, "usd": 10}}, {"order": {"id": 7, "usd": 11}}
    async with stage.node() as node:
        task = await node.create("twice", [same, same, other])
        assert await stage.ended(node, task) == ["paid 7", "paid 7", "Refused"]
        second = await node.create("twice", [same])
        assert await stage.ended(node, second) == ["paid 7"]
    assert DONE == ["pay"]
    assert len(of(await stage.bodies(second), Intent)) == 0


async def test_an_act_that_did_not_happen_frees_its_business_key() -> None:
    TROUBLE["pay"] = ["not"]
    stage = Stage(twice)
    same = {"order": {"id": 7, "usd": 10}}
    async with stage.node() as node:
        task = await node.create("twice", [same, same])
        assert await stage.ended(node, task) == ["NotHappened", "paid 7"]


async def test_an_act_in_doubt_holds_its_business_key_until_a_person_says_what_happened() -> None:
    TROUBLE["pay"] = ["after"]
    stage = Stage(twice)
    same = {"order": {"id": 7, "usd": 10}}
    async with stage.node() as node:
        first = await node.create("twice", [same])
        await stage.until(node, first, State.PARKED)
        second = await node.create("twice", [same])
        row = await stage.until(node, second, State.WAITING)
        assert row.reason == "deferred"
        (doubt,) = await node.orders.in_doubt(first)
        await node.orders.resolve(first, doubt.seq, "happened", result="paid by bank")
        assert await stage.ended(node, first) == ["paid by bank"]
        assert await stage.ended(node, second) == ["paid by bank"]
    assert DONE == ["pay"]


async def test_a_missing_business_key_is_refused() -> None:
    stage = Stage(twice)
    async with stage.node() as node:
        task = await node.create("twice", [{"order": {"usd": 1}}])
        assert await stage.ended(node, task) == ["Refused"]
    assert DONE == []


async def test_cancelling_undoes_what_is_reversible_in_reverse_order() -> None:
    stage = Stage(builder)
    async with stage.node() as node:
        task = await node.create("builder", None)
        await stage.until(node, task, State.WAITING)
        await node.orders.cancel(task)
        await stage.until(node, task, State.CANCELLED)
    assert DONE[3:] == ["unbranch", "un2", "unbranch", "un1", "unbranch", "un0"]


async def test_a_compensation_that_fails_parks_the_task_and_goes_on_when_it_is_resumed() -> None:
    stage = Stage(builder)
    async with stage.node() as node:
        task = await node.create("builder", None)
        await stage.until(node, task, State.WAITING)
        TROUBLE["unbranch"] = ["", "not"]
        await node.orders.cancel(task)
        row = await stage.until(node, task, State.PARKED)
        assert row.reason == "compensation_blocked"
        await node.orders.resume(task)
        await stage.until(node, task, State.CANCELLED)
    assert [item for item in DONE if item.startswith("un") and item != "unbranch"] == ["un2", "un1", "un0"]


async def test_a_result_that_its_verifier_does_not_pass_is_a_failure() -> None:
    stage = Stage(worker)
    async with stage.node() as node:
        good = await node.create("worker", ["send", {"n": 1}])
        assert await stage.ended(node, good) == "sent 1"
        bad = await node.create("worker", ["send", {"n": 13}])
        row = await stage.until(node, bad, State.FAILED)
    assert row.reason == "verification_failed"
    assert DONE == ["send", "send"]


async def test_a_read_that_fails_is_told_and_leaves_no_doubt() -> None:
    stage = Stage(worker)
    async with stage.node() as node:
        task = await node.create("worker", ["find", {"wrong": 1}])
        await stage.until(node, task, State.FAILED)
    (outcome,) = of(await stage.bodies(task), Outcome)
    assert outcome.problem.code == "failed"


async def test_a_cancelled_task_rests_until_it_is_known_how_the_act_ended_whose_key_it_holds() -> None:
    """Promise P2: in doubt holds the key, and a person can settle it."""
    TROUBLE["pay"] = ["after"]
    stage = Stage(twice)
    same = {"order": {"id": 7, "usd": 10}}
    async with stage.node() as node:
        first = await node.create("twice", [same])
        await stage.until(node, first, State.PARKED)
        second = await node.create("twice", [same])
        await stage.until(node, second, State.WAITING)
        await node.orders.cancel(first)
        await stage.clock.advance(5)
        row = await stage.until(node, first, State.PARKED)
        assert row.reason == "in_doubt"
        (doubt,) = await node.orders.in_doubt(first)
        await node.orders.resolve(first, doubt.seq, "again")
        await stage.until(node, first, State.CANCELLED)
        assert await stage.ended(node, second) == ["paid 7"]
    assert DONE == ["pay", "pay"]


class Scripted:
    """A hand whose attempts end as the test says, and do not start once that is used up."""

    def __init__(self, *ends: AttemptEnd) -> None:
        self.ends = list(ends)
        self.attempts: list[int] = []

    async def perform(self, permit: Permit, call: Call, tool: ToolSpec, on_progress: OnProgress) -> Attempt:
        self.attempts.append(permit.attempt)
        return Attempt(self.ends.pop(0) if self.ends else "expired", error="no luck")

    async def cancel(self, permit: Permit) -> None:
        return

    def release(self, task: bytes) -> None:
        return


async def test_an_attempt_that_never_started_does_not_end_the_doubt_of_an_earlier_one() -> None:
    stage = Stage(worker)
    async with stage.node() as node:
        node.kernel.hand = hand = Scripted("unknown", "expired", "unknown")
        task = await node.create("worker", ["put", {"n": 1}])
        await stage.clock.settle()
        while len(hand.attempts) < 2:
            await stage.clock.advance(0.1)
        await node.orders.cancel(task)
        row = await stage.until(node, task, State.CANCELLED)
        assert row.state is State.CANCELLED
        bodies = await stage.bodies(task)
        assert of(bodies, Resolved) == []
        (ended,) = of(bodies, Ended)
        (intent,) = [item.seq for item in await stage.store.load(task) if isinstance(item.read(), Intent)]
        assert ended.in_doubt == (intent,)


async def test_an_idempotent_call_that_stays_in_doubt_is_not_made_again_at_full_speed() -> None:
    stage = Stage(worker)
    async with stage.node() as node:
        node.kernel.hand = hand = Scripted(*["unknown"] * 100)
        await node.create("worker", ["put", {"n": 1}])
        for _ in range(100):
            await stage.clock.advance(0.1)
        assert len(hand.attempts) == 6, "at once, then after half a second, one, two, four …"
