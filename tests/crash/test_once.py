"""Business keys: the same act is done once, across retries, rethinks, tasks and crashes (promise P2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from comity.agents.context import Context
from comity.agents.tool import agent, tool
from comity.core.clock import SystemClock
from comity.core.codec import decode
from comity.core.errors import NotHappened, Refused
from comity.core.ids import Id
from comity.journal.call import CallContext
from comity.journal.program import Loaded, collect
from comity.journal.task import ParkReason, State
from comity.testing import MemoryStore
from comity.testing.waiting import wait_until
from crash.fleet import World
from crash.injection import Injector
from crash.lives import Lives


def paying(world: World) -> Loaded:
    """Return agents that pay for orders: `pay` is irreversible and once for an order within the tenant."""

    @tool(effect="irreversible", once=["order"], once_per="tenant")
    async def pay(order: str, amount: int, call: CallContext) -> str:
        if "refuses" in world.waiting:
            await world.reach("the bank is asked")
            world.waiting.discard("refuses")
            raise NotHappened("the bank refuses")
        await world.act("pay", call)
        return f"paid {order}: {amount}"

    @agent(tools=[pay])
    async def payer(context: Context) -> Any:
        told = [await context.act(pay, order=context.goal, amount=5)]
        told.append(await context.act(pay, order=context.goal, amount=5))
        try:
            await context.act(pay, order=context.goal, amount=6)
        except Refused as error:
            told.append(error.code)
        return told

    @agent(tools=[pay])
    async def once_only(context: Context) -> Any:
        try:
            return await context.act(pay, order="shared", amount=5)
        except NotHappened as error:
            return f"not: {error.message}"

    @agent(tools=[pay])
    async def failing(context: Context) -> Any:
        paid = await context.act(pay, order=context.goal, amount=5)
        if not world.misbehaved["mended"]:
            message = "a fault after the payment"
            raise ValueError(message)
        return paid

    namespace = {"pay": pay, "payer": payer, "once_only": once_only, "failing": failing}
    return collect(namespace, "<once>", "0" * 64)


class Paying(Lives):
    """Lives whose operator finds payments in the book."""

    def __init__(self, crashes: set[int] | None = None) -> None:
        world = World()
        super().__init__(MemoryStore(SystemClock()), world, crashes or set(), paying(world))
        self.operator.done["pay"] = "paid {order}: {amount}"

    async def result(self, task: Id) -> Any:
        """Return a task's result."""
        ledger = await self.operator.orders.ledger(task)
        assert ledger.ended is not None
        assert ledger.ended.state == "succeeded", ledger.ended
        return decode(ledger.ended.result.inline or b"null")


async def sweep(run: Callable[[set[int]], Any]) -> int:
    """Die at each point in turn; return how many there were."""
    at = 0
    while (await run({at})).count > at:
        at += 1
    return at


async def test_the_same_act_is_answered_with_its_first_outcome_and_other_arguments_are_refused() -> None:
    """P2: within a task, its node dying at any point."""

    async def run(crashes: set[int]) -> Lives:
        lives = Paying(crashes)
        task = await lives.create("payer", "o1")
        await lives.live()
        assert await lives.result(task) == ["paid o1: 5", "paid o1: 5", "other_arguments"], lives.places
        assert len(lives.world.book.effects) == 1, lives.places
        return lives

    assert await sweep(run) > 20


async def test_two_tasks_that_race_for_one_act_do_it_once_and_both_are_answered() -> None:
    """P2: across tasks, their node dying at any point."""

    async def run(crashes: set[int]) -> Lives:
        lives = Paying(crashes)
        tasks = [await lives.create("once_only"), await lives.create("once_only")]
        await lives.live()
        assert [await lives.result(task) for task in tasks] == ["paid shared: 5"] * 2, lives.places
        assert len(lives.world.book.effects) == 1, lives.places
        return lives

    assert await sweep(run) > 20


async def test_a_retried_task_is_answered_by_its_own_key_though_it_thinks_again() -> None:
    """P2: across a failure, a rethink and crashes."""

    async def run(crashes: set[int]) -> Lives:
        lives = Paying(crashes)
        task = await lives.create("failing", "o2")
        await lives.live()
        assert (await lives.operator.orders.row(task)).state is State.FAILED
        lives.world.misbehaved["mended"] = 1
        await lives.operator.orders.retry(task, "rethink")
        await lives.live()
        assert await lives.result(task) == "paid o2: 5", lives.places
        assert len(lives.world.book.effects) == 1, lives.places
        return lives

    assert await sweep(run) > 15


async def race(lives: Lives) -> tuple[Any, list[Id]]:
    """Start a node with two tasks that want the same act, the first of them begun."""
    lives.world.injector = Injector()
    kernel = lives.kernel(lives.world.injector)
    await kernel.start("here", 1)
    first = await lives.create("once_only")
    await wait_until(lambda: lives.world.waiting - {"refuses"}, 10, "the first act to begin")
    second = await lives.create("once_only")
    orders = lives.operator.orders

    async def waits() -> bool:
        row = await orders.row(second)
        return row.state is State.WAITING and row.reason == "deferred"

    await wait_until(waits, 10, "the second task to wait for the key")
    return kernel, [first, second]


async def test_an_act_in_doubt_holds_its_key_until_a_person_says_what_happened() -> None:
    """P2: nobody acts under a key of which nobody knows whether it was used."""
    lives = Paying()
    lives.world.how = "raises"
    lives.operator.left_alone.add(ParkReason.IN_DOUBT)
    lives.world.hold("after pay acted")
    kernel, tasks = await race(lives)
    lives.world.open("after pay acted")
    orders = lives.operator.orders

    async def in_doubt() -> bool:
        return (await orders.row(tasks[0])).reason == ParkReason.IN_DOUBT

    await wait_until(in_doubt, 10, "the first task to park")
    assert (await orders.row(tasks[1])).state is State.WAITING
    lives.operator.left_alone.clear()
    await wait_until(lives.operator.look_around, 10, "both tasks to end")
    assert [await lives.result(task) for task in tasks] == ["paid shared: 5"] * 2
    assert len(lives.world.book.effects) == 1
    await kernel.stop()


async def test_an_act_that_did_not_happen_frees_its_key_for_whoever_waits() -> None:
    """P2: `NotHappened` is an outcome, and no use of the key."""
    lives = Paying()
    lives.world.waiting.add("refuses")
    lives.world.hold("the bank is asked")
    kernel, tasks = await race(lives)
    lives.world.open("the bank is asked")
    await wait_until(lives.operator.look_around, 10, "both tasks to end")
    assert [await lives.result(task) for task in tasks] == ["not: the bank refuses", "paid shared: 5"]
    assert len(lives.world.book.effects) == 1
    await kernel.stop()
