"""Races and broken surroundings: slow appends, a store that is away, brains that die, gates that fail late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from comity import Budget, Context, agent, tool
from comity.core.errors import ComityError, StoreError
from comity.journal.call import Permit
from comity.journal.entry import Incarnated, Intent, Outcome
from comity.journal.ports import ModelLimits, ModelRequest
from comity.journal.protocol import Delta, Said, Start, Stepped
from comity.journal.task import State
from comity.journal.unit import Answer, StateWrite, Unit
from comity.kernel.stops import Stops
from comity.testing import ScriptedModel
from stage import Stage, of

DONE: list[str] = []
GATES: dict[str, asyncio.Event] = {}
MOOD: dict[str, Any] = {}

echo = ScriptedModel(lambda messages: "never asked")


@pytest.fixture(autouse=True)
def an_empty_world() -> None:
    DONE.clear()
    GATES.clear()
    MOOD.clear()


@tool(effect="idempotent")
async def put(n: int) -> int:
    DONE.append(f"put {n}")
    gate = GATES.get("put")
    if gate is not None:
        await gate.wait()
    return n


@tool(effect="read")
async def look(n: int) -> int:
    DONE.append(f"look {n}")
    await asyncio.sleep(0)
    return n


@tool(effect="read")
async def check(args: dict[str, Any], result: Any) -> bool:
    gate = GATES.get("check")
    if gate is not None:
        await gate.wait()
    return bool(MOOD.get("passes", True))


@tool(effect="irreversible", once=["order"], once_per="tenant", verify=check)
async def book(order: str) -> str:
    DONE.append(f"book {order}")
    return f"booked {order}"


@tool(effect="irreversible", once=["order"], once_per="tenant")
async def pay(order: str) -> str:
    DONE.append(f"pay {order}")
    gate = GATES.get("pay")
    if gate is not None:
        await gate.wait()
    if MOOD.get("broken"):
        raise RuntimeError("nobody knows")
    return f"paid {order}"


@agent
async def listeners(ctx: Context) -> Any:
    async def listen(n: int) -> Any:
        if n:
            await ctx.act(put, n=n)
        return await ctx.wait_signal("go")

    return sorted(await ctx.gather(*(listen(n) for n in range(4))))


@agent(model=echo)
async def thinker(ctx: Context) -> Any:
    return (await ctx.think("hello")).text


@agent(tools=[look])
async def looker(ctx: Context) -> Any:
    return await ctx.gather(*(ctx.act(look, n=n) for n in range(6)))


@agent
async def putter(ctx: Context) -> Any:
    return await ctx.act(put, n=1)


@agent
async def payer(ctx: Context) -> Any:
    return await ctx.act(pay, order="o")


@agent
async def booker(ctx: Context) -> Any:
    try:
        return await ctx.act(book, order="o")
    except ComityError as error:
        return error.code


def slow_commits(stage: Stage, seconds: float) -> None:
    commit = stage.store.commit

    async def slowly(units: Sequence[Unit]) -> Sequence[Answer]:
        await stage.clock.sleep(seconds)
        return await commit(units)

    stage.store.commit = slowly  # type: ignore[method-assign]


@pytest.mark.parametrize("at", range(12))
async def test_each_signal_is_given_once_however_slow_appends_are(at: int) -> None:
    stage = Stage(listeners)
    async with stage.node() as node:
        slow_commits(stage, 0.05)
        create = asyncio.ensure_future(node.create("listeners", None))
        await stage.clock.advance(0.06 + at * 0.03)
        task = await create
        for n in range(4):
            sending = asyncio.ensure_future(node.orders.signal(task, "go", n))
            await stage.clock.advance(0.06)
            await sending
        assert await stage.ended(node, task) == [0, 1, 2, 3]
    assert len(of(await stage.bodies(task), Outcome)) == 7
    assert len(of(await stage.bodies(task), Incarnated)) <= 3


class BrokenModel:
    """A model whose stream breaks each time."""

    def limits(self, model: str) -> ModelLimits:
        return ModelLimits(100)

    async def stream(self, permit: Permit, request: ModelRequest) -> AsyncIterator[Delta]:
        DONE.append("asked")
        raise ComityError("model_broken", "the connection was reset")
        yield Delta("")


async def test_a_model_that_breaks_is_not_asked_again_beyond_the_budget() -> None:
    stage = Stage(thinker)
    async with stage.node() as node:
        node.kernel.model = BrokenModel()
        task = await node.create("thinker", None, budget=Budget(tokens=250))
        row = await stage.until(node, task, State.PARKED, State.FAILED)
        ledger = await node.orders.ledger(task)
        held = ledger.used + ledger.reserved
        assert held.tokens_in + held.tokens_out <= 250
        assert row.reason == "over_budget"


async def test_reads_at_once_stay_within_their_budget() -> None:
    stage = Stage(looker)
    async with stage.node() as node:
        task = await node.create("looker", None, budget=Budget(calls={"read": 3}))
        row = await stage.until(node, task, State.PARKED, State.SUCCEEDED)
        assert row.reason == "over_budget"
    assert len(DONE) <= 3


class Dying:
    """Brains that say a word and die."""

    def __init__(self) -> None:
        self.born = 0

    async def start(self, row: Any, on_step: Any, on_gone: Any) -> Any:
        self.born += 1
        here = self

        class Brain:
            def send(self, message: Any) -> None:
                if isinstance(message, Start):
                    asyncio.get_running_loop().call_soon(self.die)

            def die(self) -> None:
                on_step(Stepped(0, said=(Said("", f"life {here.born}"),)))
                on_gone("it crashed")

            async def kill(self) -> None:
                return None

        return Brain()


async def test_a_brain_that_dies_with_words_on_its_lips_is_not_started_for_ever() -> None:
    """Promise P10: a task without progress is parked."""
    stage = Stage(putter)
    async with stage.node() as node:
        node.kernel.brains = brains = Dying()  # type: ignore[assignment]
        task = await node.create("putter", None)
        for _ in range(20):
            await stage.clock.advance(0.1)
        assert brains.born < 10
        row = await stage.until(node, task, State.PARKED)
        assert row.reason == "stalled"


def failing(times: int, inner: Any) -> Any:
    left = [times]

    async def fail(*args: Any, **kwargs: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise StoreError("away", "the store is away")
        return await inner(*args, **kwargs)

    return fail


async def test_a_stop_is_acknowledged_though_the_store_is_away_for_a_moment() -> None:
    """Promise P9."""
    stage = Stage(putter)
    async with stage.node() as node:
        stage.store.acknowledge_stop = failing(1, stage.store.acknowledge_stop)  # type: ignore[method-assign]
        generation = await node.orders.stop("fleet")
        await stage.clock.advance(5)
        assert await node.orders.is_quiesced(generation)


async def test_a_node_that_lost_its_lease_begins_anew_though_the_store_is_away_for_a_moment() -> None:
    """Promise P10."""
    stage = Stage(putter)
    async with stage.node() as node:
        await stage.store.declare_dead(node.kernel.lease.node)
        stage.store.register = failing(1, stage.store.register)  # type: ignore[method-assign]
        await stage.clock.advance(60)
        task = await node.create("putter", None)
        assert await stage.ended(node, task) == 1


async def test_news_of_a_stop_are_not_forgotten_for_older_ones() -> None:
    """Promise P9: two look at once, and the first to look is the last to hear."""
    stage = Stage(putter)
    async with stage.node() as node:
        stops = Stops(node.kernel.patient)
        await stops.refresh()
        await node.orders.stop("agent:first")
        states, gate = stage.store.states, asyncio.Event()

        async def late(namespace: str, prefix: str = "") -> Any:
            found = await states(namespace, prefix)
            await gate.wait()
            return found

        stage.store.states = late  # type: ignore[method-assign]
        first = asyncio.ensure_future(stops.refresh())
        await stage.clock.settle()
        stage.store.states = states  # type: ignore[method-assign]
        generation = await node.orders.stop("agent:second")
        await stops.refresh()
        assert stops.over(("agent:second",))
        gate.set()
        await first
        assert stops.over(("agent:second",))
        assert stops.generation == generation


async def test_whoever_begins_to_wait_while_a_key_is_being_settled_is_told() -> None:
    """No lost wake-up: the append that frees the key is slow, and the other task waits by then."""
    GATES["pay"] = asyncio.Event()
    stage = Stage(payer)
    async with stage.node() as node:
        first = await node.create("payer", None)
        await stage.clock.advance(1)
        commit, late = stage.store.commit, asyncio.Event()

        async def slow(units: Sequence[Unit]) -> Sequence[Answer]:
            settles = any(type(entry.read()) is Outcome for unit in units for entry in unit.entries)
            if settles and units[0].subject.task == first:  # type: ignore[union-attr]
                await late.wait()
            return await commit(units)

        stage.store.commit = slow  # type: ignore[method-assign]
        GATES["pay"].set()
        await stage.clock.advance(0.1)
        second = await node.create("payer", None)
        row = await stage.until(node, second, State.WAITING)
        assert row.reason == "deferred"
        late.set()
        assert await stage.ended(node, first) == "paid o"
        assert await stage.ended(node, second) == "paid o"
    assert DONE == ["pay o"]


@pytest.mark.parametrize("passes", [True, False])
async def test_a_result_that_is_not_verified_yet_answers_nobody_else(passes: bool) -> None:
    GATES["check"] = asyncio.Event()
    MOOD["passes"] = passes
    stage = Stage(booker)
    async with stage.node() as node:
        first = await node.create("booker", None)
        await stage.clock.advance(1)
        second = await node.create("booker", None)
        await stage.clock.advance(1)
        assert not (await node.orders.row(second)).state.ended
        GATES["check"].set()
        said = [await stage.ended(node, task) for task in (first, second)]
    assert said == (["booked o"] * 2 if passes else ["verification_failed"] * 2)
    assert DONE == ["book o"]


class LateGate:
    """A gate whose record of the outcome does not fit once."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.wrong = 1

    async def judge(self, *args: Any) -> Any:
        return await self.inner.judge(*args)

    def settle(self, *args: Any) -> tuple[StateWrite, ...]:
        self.wrong -= 1
        return (StateWrite("reservation", "x", b"null", 7 if self.wrong >= 0 else None),)


async def test_an_outcome_is_not_delivered_unless_it_is_durable() -> None:
    """Promise P6."""
    stage = Stage(putter)
    async with stage.node() as node:
        node.kernel.admit = LateGate(node.kernel.admit)
        task = await node.create("putter", None)
        row = await stage.until(node, task, State.SUCCEEDED, State.PARKED)
        intents, outcomes = of(await stage.bodies(task), Intent), of(await stage.bodies(task), Outcome)
        assert row.state is State.PARKED or len(intents) == len(outcomes)


async def test_a_task_that_broke_while_it_committed_is_set_aside_all_the_same() -> None:
    """Promise P10: no task is left running with nobody to run it."""
    stage = Stage(listeners)
    async with stage.node() as node:
        commit, gate = stage.store.commit, asyncio.Event()

        async def flush(units: Sequence[Unit]) -> Sequence[Answer]:
            """As a flusher does: what was handed over is written, though nobody waits any more."""

            async def write() -> Sequence[Answer]:
                if any(type(entry.read()) is Outcome for unit in units for entry in unit.entries):
                    await gate.wait()
                return await commit(units)

            return await asyncio.shield(asyncio.ensure_future(write()))

        stage.store.commit = flush  # type: ignore[method-assign]
        task = await node.create("listeners", None)
        await stage.clock.advance(0.1)
        run = node.kernel.runs[task]
        row, asked = stage.store.task, asyncio.Event()

        async def late(which: bytes) -> Any:
            found = await row(which)
            gate.set()
            await stage.clock.settle()
            return found

        stage.store.task = late  # type: ignore[method-assign]
        run._failure = RuntimeError("a fault of ours")
        run.wake()
        await stage.clock.settle()
        stage.store.task = row  # type: ignore[method-assign]
        await stage.clock.advance(3)
        found = await node.orders.row(task)
        assert (found.state, found.reason) == (State.PARKED, "stalled"), asked
