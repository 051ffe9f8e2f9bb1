"""The context: what each method asks, and what its agent is given back."""

from __future__ import annotations

import asyncio
import datetime

import msgspec
import pytest

from comity import Budget, CallFailed, Context, NotHappened, Refused, TimedOut, ToolFailed, agent, tool
from comity.core.codec import decode
from comity.core.errors import UsageError
from comity.core.ids import show_id
from comity.journal.call import Delivered, Status
from comity.journal.protocol import Finished, Start
from comity.testing.agent import FakeKernel, done, failed, refused

START = Start(bytes(range(16)), "root", b'{"do":"it"}', 1)


@tool(effect="read", name="look_up")
def look(n: int) -> int:
    return n


def ran(function, answer=None, start: Start = START) -> FakeKernel:
    return FakeKernel(agent(name="root")(function), answer=answer, start=start).run()


def asked(kernel: FakeKernel) -> list[tuple]:
    return [(call.kind, call.name, decode(call.args)) for call in kernel.asked]


def ended(kernel: FakeKernel) -> Finished:
    assert kernel.finished is not None
    return kernel.finished


# ---- what is asked: the table of call kinds --------------------------------------------------------------


def test_every_call_has_the_arguments_that_the_kernel_expects():
    async def root(ctx: Context):
        await ctx.act(look, n=1)
        await ctx.act("other", a=[1, None])
        await ctx.sleep(2.5)
        await ctx.wait_signal("go", timeout_s=3)
        await ctx.ask_human("ok?", ["yes", "no"])
        child = await ctx.spawn("helper", {"find": 1}, session="s", budget=Budget(tokens=5), tools=[look, "other"])
        await child.result()
        await ctx.spawn("helper", "again")
        await ctx.now()
        await ctx.random()

    def answer(call):
        values = {"signal": {"value": 1}, "spawn": {"task": "t1"}, "now": 0, "random": "00" * 16}
        return done(values.get(call.kind))

    kernel = ran(root, answer)
    assert ended(kernel).error == ""
    assert asked(kernel) == [
        ("tool", "look_up", {"n": 1}),
        ("tool", "other", {"a": [1, None]}),
        ("timer", "sleep", {"seconds": 2.5}),
        ("signal", "go", {"timeout_s": 3}),
        ("human", "ask", {"question": "ok?", "options": ["yes", "no"], "timeout_s": None}),
        (
            "spawn",
            "helper",
            {
                "agent": "helper",
                "goal": {"find": 1},
                "session": "s",
                "budget": {"tokens": 5},
                "tools": ["look_up", "other"],
            },
        ),
        ("child", "helper", {"task": "t1"}),
        ("spawn", "helper", {"agent": "helper", "goal": "again", "session": "", "budget": None, "tools": None}),
        ("now", "now", None),
        ("random", "random", None),
    ]


def test_a_task_knows_its_goal_its_state_its_session_and_its_model():
    async def root(ctx: Context):
        ctx.session.append({"role": "user", "content": "new"})
        return [ctx.task_id, ctx.goal, ctx.state, ctx.session.id, ctx.session.messages, ctx.model]

    start = msgspec.structs.replace(
        START, state=b'{"page":2}', session_id="s1", session=(b'{"content":"old","role":"user"}',), model="m"
    )
    kernel = ran(root, start=start)
    messages = [{"role": "user", "content": "old"}, {"role": "user", "content": "new"}]
    assert kernel.result == [show_id(START.task), {"do": "it"}, {"page": 2}, "s1", messages, "m"]
    assert ended(kernel).session == (b'{"content":"new","role":"user"}',)


def test_time_and_chance_come_from_the_journal():
    async def root(ctx: Context):
        chance = await ctx.random()
        return [(await ctx.now()).isoformat(), chance.randrange(10**9), chance.random()]

    def answer(call):
        return done(1_700_000_000_123_456 if call.kind == "now" else "ab" * 16)

    first, second = ran(root, answer).result, ran(root, answer).result
    assert first == second
    assert first[0] == datetime.datetime(2023, 11, 14, 22, 13, 20, 123456, datetime.UTC).isoformat()


def test_gather_takes_children_and_awaitables_and_keeps_their_order():
    async def root(ctx: Context):
        child = await ctx.spawn("helper", "x")
        return await ctx.gather(ctx.act("a"), child, ctx.act("b"))

    kernel = ran(root, lambda call: done({"task": "t"} if call.kind == "spawn" else call.kind + call.name))
    assert kernel.result == ["toola", "childhelper", "toolb"]


def test_continue_with_asks_and_never_returns():
    async def root(ctx: Context):
        await ctx.continue_with({"n": ctx.goal})
        raise AssertionError

    kernel = FakeKernel(agent(root), 7)
    (call,) = kernel.begin().calls
    assert (call.kind, call.name, call.args) == ("continue", "continue_with", b'{"n":7}')
    kernel.end(call)
    assert ended(kernel).code == "agent_stuck"  # a real kernel starts a new brain instead of delivering


# ---- what is given back ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "kind", "code", "retry"),
    [
        (refused("policy", "not at night", "wait for the morning"), Refused, "policy", "rethink"),
        (
            Delivered(Status.FAILED, b"null", "not_happened", "sold out", "", "redo"),
            NotHappened,
            "not_happened",
            "redo",
        ),
        (failed("verification_failed"), ToolFailed, "verification_failed", "never"),
        (Delivered(Status.UNKNOWN), ToolFailed, "unknown", "never"),
    ],
)
def test_an_outcome_without_a_value_is_an_error_that_says_what_may_be_tried(outcome, kind, code, retry):
    seen = []

    async def root(ctx: Context):
        try:
            await ctx.act(look, n=1)
        except kind as error:
            seen.append(error)

    ran(root, lambda _call: outcome)
    (error,) = seen
    assert (error.code, error.retry, error.hint) == (code, retry, outcome.hint)


def test_a_refusal_tells_reason_and_remedy():
    seen = []

    async def root(ctx: Context):
        try:
            await ctx.think("x", model="m")
        except Refused as error:
            seen.append((error.reason, error.hint))

    ran(root, lambda _call: refused("budget", "too expensive", "use a smaller model"))
    assert seen == [("too expensive", "use a smaller model")]


def test_a_wait_that_timed_out_is_a_timeout_error():
    async def root(ctx: Context):
        try:
            await ctx.wait_signal("go", 1)
        except TimeoutError as error:
            return isinstance(error, TimedOut)

    assert ran(root, lambda _call: failed("timeout")).result is True


def test_a_child_that_failed_raises_its_error():
    async def root(ctx: Context):
        child = await ctx.spawn("helper", "x")
        try:
            await child.result()
        except CallFailed as error:
            return [child.id, error.code, error.message]

    kernel = ran(root, lambda call: done({"task": "t1"}) if call.kind == "spawn" else failed("agent_error", "boom"))
    assert kernel.result == ["t1", "agent_error", "boom"]


# ---- how an agent ends -----------------------------------------------------------------------------------


def test_an_error_ends_the_task_with_the_users_lines_only():
    def helper():
        return {}["missing"]

    async def root(ctx: Context):
        await ctx.act("a")
        await ctx.gather(inner(ctx))

    async def inner(ctx: Context):
        await ctx.act("b")
        helper()

    finished = ended(ran(root))
    assert (finished.code, finished.error) == ("agent_error", "KeyError: 'missing'")
    frames = [line for line in finished.traceback.splitlines() if line.startswith('  File "')]
    assert len(frames) == 3
    assert all(__file__ in line for line in frames)


def test_an_error_of_comity_keeps_its_code_and_hint():
    async def root(ctx: Context):
        await ctx.act("a")

    finished = ended(ran(root, lambda _call: refused("policy", "not at night", "wait")))
    assert (finished.code, finished.error) == ("policy", "not at night; wait")


def test_a_group_of_errors_is_told_with_its_members():
    async def broken():
        raise ValueError("inside")

    async def root(ctx: Context):
        async with asyncio.TaskGroup() as group:
            group.create_task(broken())

    finished = ended(ran(root))
    assert finished.error.startswith("ExceptionGroup: unhandled errors in a TaskGroup")
    assert "ValueError: inside" in finished.traceback


def test_an_exit_ends_the_task_and_not_the_process():
    async def root(ctx: Context):
        raise SystemExit(3)

    assert ended(ran(root)).error == "SystemExit: 3"


def test_an_agent_that_cancels_itself_ends_with_an_error():
    async def root(ctx: Context):
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await ctx.act("a")

    assert ended(ran(root)).code == "cancelled_itself"


def test_a_result_that_is_no_json_is_an_error_that_names_its_place():
    async def root(ctx: Context):
        return {"deep": [object()]}

    finished = ended(ran(root))
    assert finished.code == "not_json"
    assert "`result.deep[0]`" in finished.error


def test_an_unknown_agent_is_named_with_those_that_are_there():
    kernel = FakeKernel(agent(name="other")(_nothing), start=START).run()
    assert ended(kernel).error == "there is no agent `root` here; there are: `other`"


async def _nothing(ctx: Context):
    return None


# ---- bad input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda ctx: ctx.act(print), "not_declared"),
        (lambda ctx: ctx.act("a", x=float("nan")), "not_json"),
        (lambda ctx: ctx.act("a" * 201), "name_too_long"),
        (lambda ctx: ctx.act("a", x="y" * (17 * 1024 * 1024)), "arguments_too_large"),
        (lambda ctx: ctx.think("x"), "no_model"),
        (lambda ctx: ctx.think([], model="m"), "no_messages"),
        (lambda ctx: ctx.think([{"content": "x"}], model="m"), "not_a_message"),
        (lambda ctx: ctx.spawn(print, "x"), "not_declared"),
        (lambda ctx: ctx.decide("?", []), "no_options"),
        (lambda ctx: ctx.decide("?", ["a", "a"], "a"), "no_options"),
        (lambda ctx: ctx.decide("?", ["a"], "b"), "not_an_option"),
    ],
)
def test_bad_input_is_refused_before_anything_is_asked(ask, code):
    async def root(ctx: Context):
        try:
            await ask(ctx)
        except UsageError as error:
            return error.code

    kernel = ran(root)
    assert kernel.result == code
    assert kernel.asked == []
