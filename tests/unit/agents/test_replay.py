"""A brain that is killed anywhere and started again asks the same calls in the same order, however its strands race."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comity import CallFailed, Context, agent
from comity.core.errors import JournalError
from comity.journal.call import Call
from comity.journal.protocol import Deliver
from comity.testing.agent import FakeKernel, done, failed

sleep = vars(asyncio)["sleep"]  # on an agent's loop it is a durable call, and waits for nothing


async def first_completed(ctx: Context):
    """Race three strands; each winner decides what is asked next."""
    order = []
    pending = {asyncio.create_task(ctx.act(name), name=name) for name in ("a", "b", "c")}
    while pending:
        ended, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for strand in ended:
            order.append(strand.get_name())
            await ctx.act(f"after-{strand.get_name()}", order=list(order))
    return order


async def as_completed(ctx: Context):
    order = []
    for item in asyncio.as_completed([ctx.act(str(n)) for n in range(6)]):
        order.append(await item)
        await ctx.act("note", order=list(order))
    return order


async def queues(ctx: Context):
    queue: asyncio.Queue[str] = asyncio.Queue(maxsize=2)
    seen = []

    async def produce(name: str):
        for n in range(3):
            await queue.put(f"{name}{await ctx.act(name, n=n)}")

    async def consume():
        while True:
            item = await queue.get()
            seen.append(item)
            await ctx.act("store", item=item, seen=len(seen))
            queue.task_done()

    consumers = [asyncio.create_task(consume()) for _ in range(2)]
    async with asyncio.TaskGroup() as group:
        for name in ("x", "y", "z"):
            group.create_task(produce(name))
    await queue.join()
    for strand in consumers:
        strand.cancel()
    return seen


async def locks(ctx: Context):
    lock, turns = asyncio.Lock(), []

    async def work(name: str):
        await ctx.act("prepare", name=name)
        async with lock:
            turns.append(name)
            await ctx.act("exclusive", turns=list(turns))
        await ctx.sleep(1)

    await asyncio.gather(*(work(str(n)) for n in range(4)))
    return turns


async def timeouts(ctx: Context):
    """Give up on slow calls and go on in the same strand, with calls still open behind it."""
    results = []
    for n in range(3):
        try:
            async with asyncio.timeout(2):
                results.append(await ctx.act("look", n=n))
        except TimeoutError:
            results.append(await ctx.act("fallback", n=n))
        await ctx.act("look", n=f"after {n}")
    try:
        await asyncio.wait_for(ctx.act("look", n="last"), 3)
    except TimeoutError:
        results.append("late")
    return results


async def cancelling(ctx: Context):
    """Cancel the losers of a race, which clean up with calls of their own."""
    cleaned = []

    async def work(name: str):
        try:
            await ctx.act("work", name=name)
            await ctx.act("more", name=name)
        except asyncio.CancelledError:
            await ctx.act("clean", name=name, after=list(cleaned))
            cleaned.append(name)
            raise
        return name

    strands = [asyncio.create_task(work(name)) for name in "abcd"]
    ended, pending = await asyncio.wait(strands, return_when=asyncio.FIRST_COMPLETED)
    for strand in pending:
        strand.cancel()
    await asyncio.wait(pending)
    return [sorted(strand.result() for strand in ended), cleaned]


async def failing(ctx: Context):
    """A group whose members fail cancels the others."""
    try:
        async with asyncio.TaskGroup() as group:
            for n in range(4):
                group.create_task(ctx.act("risky" if n == 2 else "safe", n=n))
    except* CallFailed as errors:
        await ctx.act("report", count=len(errors.exceptions))
    condition = asyncio.Condition()
    ready = []

    async def wait_turn(n: int):
        async with condition:
            await condition.wait_for(lambda: len(ready) >= n)
            await ctx.act("turn", n=n, ready=len(ready))

    async def make_ready():
        for n in range(3):
            await ctx.act("ready", n=n)
            async with condition:
                ready.append(n)
                condition.notify_all()

    await ctx.gather(*(wait_turn(n) for n in range(4)), make_ready())
    return ready


async def devices(ctx: Context):
    """Every kind of call."""
    chance = (await ctx.random()).random()
    moment = await ctx.now()
    answer = await ctx.think("hello", model="m", temperature=0)
    child = await ctx.spawn("helper", "goal")
    signal, human, result = await ctx.gather(ctx.wait_signal("go"), ctx.ask_human("ok?"), child)
    await ctx.decide("which?", ["a", "b"], "a", assumptions=["x > 0"])
    return [chance, moment.isoformat(), answer.text, signal, human, result]


AGENTS = [
    agent(item) for item in (first_completed, as_completed, queues, locks, timeouts, cancelling, failing, devices)
]


def answer(call: Call):
    if call.name == "risky":
        return failed("broken")
    by_kind = {
        "random": done("00" * 16),
        "now": done(1_700_000_000_000_000),
        "model": done({"role": "assistant", "content": "hi"}),
        "spawn": done({"task": "1" * 36}),
        "signal": done({"value": "go!"}),
    }
    return by_kind.get(call.kind) or done(f"{call.branch}/{call.name}#{call.occurrence}")


def is_read(call: Call) -> bool:
    """Reads and the like have one entry, written when they end: a crash loses those in flight."""
    return call.name in {"look", "a", "b", "prepare", "now", "random"}


def live(function, seed: int, *, lag: float = 0.3) -> FakeKernel:
    """Run an agent without a crash: calls end in random order, and some before their agent is told of earlier ones."""
    chance = random.Random(seed)
    kernel = FakeKernel(function, answer=answer, is_one_entry=is_read)
    kernel.begin()
    go_on(kernel, chance, lag)
    return kernel


def go_on(kernel: FakeKernel, chance: random.Random, lag: float = 0.3) -> None:
    while kernel.finished is None:
        assert kernel.diverged is None, kernel.diverged
        if (kernel.open and chance.random() < lag) or kernel.deliver() is None:
            kernel.settle(chance.choice(kernel.open))


@pytest.mark.parametrize("function", AGENTS, ids=lambda item: item.__name__)
@settings(max_examples=40)
@given(seed=st.integers(0, 2**32))
def test_a_brain_killed_anywhere_asks_the_same_calls_in_the_same_order(function, seed):
    first = live(function, seed)
    journal = list(first.journal)
    for upto in range(len(journal) + 1):
        again = FakeKernel(function, answer=answer, is_one_entry=is_read)
        again.journal = list(journal)
        step = again.begin(upto)
        assert step.diverged is None, step.diverged
        known = {line.call.key for line in journal[:upto]}
        told = max((seq for seq, line in enumerate(journal[:upto], start=1) if line.delivered), default=0)
        assert step.consumed == told or step.finished
        expected = [call for call in first.asked if call.key not in known and call.consumed <= told]
        assert comparable(step.calls) == comparable(expected[: len(step.calls)])
        assert step.finished or len(step.calls) == len(expected)
        again.close()


def comparable(calls) -> list:
    """Calls as they are asked; what the agent had consumed may differ where outcomes had waited to be told."""
    return [(call.key, call.args) for call in calls]


@pytest.mark.parametrize("function", AGENTS, ids=lambda item: item.__name__)
@settings(max_examples=40)
@given(seed=st.integers(0, 2**32))
def test_a_task_killed_again_and_again_ends_as_its_journal_says(function, seed):
    chance = random.Random(seed)
    kernel = FakeKernel(function, answer=answer, is_one_entry=is_read)
    kernel.begin()
    for _ in range(6):
        for _ in range(chance.randrange(8)):
            if kernel.finished is None and kernel.deliver() is None:
                kernel.settle(chance.choice(kernel.open))
        kernel.begin(len(kernel.journal))
        assert kernel.diverged is None, kernel.diverged
    go_on(kernel, chance)
    result = kernel.finished
    kernel.begin(len(kernel.journal))
    assert kernel.finished == result


def test_recorded_outcomes_are_given_one_at_a_time_in_their_order():
    kernel = FakeKernel(AGENTS[0], answer=answer)
    kernel.begin()
    for name in ("c", "a", "b"):
        kernel.settle(next(call for call in kernel.open if call.name == name))
    step = kernel.begin()
    assert [call.args for call in step.calls] == [b'{"order":["c"]}']
    assert step.consumed == 6
    kernel.close()


def test_an_open_recorded_call_is_not_asked_again_and_gets_its_live_outcome():
    async def root(ctx: Context):
        return await ctx.act("a")

    kernel = FakeKernel(agent(root), answer=answer)
    kernel.begin()
    assert kernel.begin().calls == ()
    kernel.end(kernel.open[0], done("late"))
    assert kernel.result == "late"


def test_progress_is_said_once_the_history_is_used_up():
    async def root(ctx: Context):
        ctx.progress("before a")
        await ctx.act("a")
        ctx.progress("after a", 0.5)
        await ctx.act("b")

    kernel = FakeKernel(agent(root), answer=answer)
    assert [said.text for said in kernel.begin().said] == ["before a"]
    assert [said.text for said in kernel.end(kernel.open[0]).said] == ["after a"]
    kernel.end(kernel.open[0])
    assert kernel.begin(3).said == ()
    assert [said.text for said in kernel.begin(2).said] == ["after a"]
    assert kernel.begin(1).said == ()
    kernel.close()


# ---- divergence ------------------------------------------------------------------------------------------


def changed(before, after) -> FakeKernel:
    """Run `before` until it waits or ends, then start `after` in its place."""
    kernel = FakeKernel(agent(name="x")(before), answer=answer)
    kernel.begin()
    while kernel.open and kernel.finished is None:
        kernel.end(kernel.open[0])
    kernel.close()
    kernel._agents = {"x": agent(name="x")(after)}
    kernel.begin()
    return kernel


def told(kernel: FakeKernel) -> tuple[int, str, str]:
    found = kernel.diverged
    assert found is not None
    assert kernel.finished is None
    return found.seq, found.recorded[: found.recorded.index(" with")], found.asked


async def two(ctx: Context):
    await ctx.act("a", n=1)
    await ctx.act("b")


def test_other_arguments_diverge_with_the_exact_difference():
    async def other(ctx: Context):
        await ctx.act("a", n=2)

    seq, recorded, asked = told(changed(two, other))
    assert (seq, recorded) == (1, "tool `a` #0")
    assert asked.startswith("tool `a` #0 with arguments")
    assert asked.endswith('{"n":2}')


def test_another_order_within_a_branch_diverges():
    async def other(ctx: Context):
        await ctx.act("b")
        await ctx.act("a", n=1)

    assert told(changed(two, other))[:2] == (1, "tool `a` #0")


def test_a_new_call_while_the_branch_has_recorded_ones_diverges_and_nothing_is_asked():
    async def other(ctx: Context):
        await ctx.act("a", n=1)
        await ctx.gather(ctx.act("in another branch"))
        await ctx.act("b")

    kernel = changed(two, other)
    seq, recorded, asked = told(kernel)
    assert (seq, recorded) == (3, "tool `b` #0")
    assert asked == "nothing there, while it waits for tool `in another branch` #0 in branch `1`"
    assert [call.name for call in kernel.asked] == ["a", "b"]


def test_an_end_before_the_recorded_calls_are_asked_diverges():
    async def other(ctx: Context):
        await ctx.act("a", n=1)

    assert told(changed(two, other)) == (3, "tool `b` #0", "nothing")


def test_an_error_before_the_recorded_calls_are_asked_diverges():
    async def other(ctx: Context):
        raise ValueError

    assert told(changed(two, other)) == (1, "tool `a` #0", "nothing")


def test_a_wait_for_something_else_diverges():
    async def other(ctx: Context):
        await ctx.act("a", n=1)
        await sleep(3)

    assert told(changed(two, other))[2] == "nothing there, while it waits for timer `sleep` #0 in branch `t1`"


def test_an_open_recorded_call_that_is_not_asked_diverges():
    async def forgetful(ctx: Context):
        await ctx.gather(ctx.act("new"))

    kernel = FakeKernel(agent(name="x")(two), answer=answer)
    kernel.begin()
    kernel._agents = {"x": agent(name="x")(forgetful)}
    assert kernel.begin().calls == ()
    assert told(kernel)[:2] == (1, "tool `a` #0")


def test_after_a_divergence_nothing_is_heard():
    async def other(ctx: Context):
        await ctx.act("c")

    kernel = FakeKernel(agent(name="x")(two), answer=answer)
    kernel.begin()
    kernel._agents = {"x": agent(name="x")(other)}
    kernel.begin()
    assert kernel.diverged is not None
    assert kernel.end(kernel.open[0]).calls == ()


# ---- what a kernel may not do ----------------------------------------------------------------------------


def test_an_outcome_out_of_order_or_without_a_question_is_refused():
    async def root(ctx: Context):
        await ctx.gather(ctx.act("a"), ctx.act("b"))

    kernel = FakeKernel(agent(root), answer=answer)
    first, second = kernel.begin().calls
    stepper = kernel._stepper
    assert stepper is not None
    stepper.deliver(Deliver(9, *second.key, done(1)))
    with pytest.raises(JournalError, match="came after"):
        stepper.deliver(Deliver(8, *first.key, done(1)))
    assert stepper.deliver(Deliver(9, *second.key, done(1))).consumed == 9
    with pytest.raises(JournalError, match="nobody asked"):
        stepper.deliver(Deliver(10, "7", "tool", "a", 0, done(1)))
    kernel.close()
