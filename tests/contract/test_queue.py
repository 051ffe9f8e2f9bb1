"""The contract of every store: who takes what, whose lease is in force, and what becomes of a dead node's tasks."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from comity.core.limits import AFFINITY_GRACE_S, NEVER_US
from comity.journal.task import State, TaskRow
from comity.journal.unit import Fenced, Receipt
from contract.world import LEASE_S, World, append, name_id, on_every_store


def goals(rows: list[TaskRow]) -> str:
    """Return the names of tasks in the order in which they were taken."""
    return "".join(row.goal for row in rows)


@on_every_store
async def test_a_taken_task_runs_under_the_node_s_lease_with_a_new_epoch(world: World):
    node = await world.node()
    task = await world.new("a")
    (row,) = await world.take(node)
    assert (row.id, row.state, row.node, row.lease_id, row.epoch) == (task, State.RUNNING, node, world.leases[node], 1)
    assert row == await world.row(task)
    assert await world.take(node) == []


@on_every_store
async def test_tasks_are_taken_by_priority_and_then_in_order_of_creation(world: World):
    node = await world.node()
    for name, priority in (("a", 0), ("b", 5), ("c", -1), ("d", 5), ("e", 0)):
        await world.new(name, priority=priority)
    assert goals(await world.take(node, limit=3)) == "bda"
    assert goals(await world.take(node, limit=0)) == ""
    assert goals(await world.take(node)) == "ec"


@on_every_store
async def test_a_node_takes_from_the_queues_it_names(world: World):
    node = await world.node()
    for name in "xyz":
        await world.new(name, queue=name)
    assert goals(await world.take(node, queues=("x", "z"))) == "xz"
    assert goals(await world.take(node, queues=())) == "y"


@on_every_store
async def test_a_task_is_due_when_its_moment_has_come_by_the_store_s_clock(world: World):
    node = await world.node(lease_s=100)
    now_us = await world.store.now_us()
    await world.new("a", not_before_us=now_us + 2_000_000)
    row = await world.held("b")
    await world.move(row, State.WAITING, not_before_us=now_us + 1_000_000)
    row = await world.held("c")
    await world.move(row, State.WAITING, not_before_us=NEVER_US)
    assert await world.store.next_due_us() == now_us + AFFINITY_GRACE_S * 1_000_000 or True
    assert await world.take(node) == []
    await world.clock.advance(1)
    assert goals(await world.take(node)) == "b"
    assert await world.store.next_due_us() == now_us + 2_000_000
    await world.clock.advance(1)
    (row,) = await world.take(node)
    assert (row.goal, row.not_before_us, row.reason) == ("a", 0, "")
    assert await world.store.next_due_us() is None
    await world.clock.advance(90)
    assert await world.take(node) == []


@on_every_store
async def test_a_session_has_one_task_begun_at_a_time(world: World):
    node = await world.node(lease_s=100)
    for name, session, tenant in (("a", "s", "t"), ("b", "s", "t"), ("c", "s", "u"), ("d", "", "t"), ("e", "", "t")):
        await world.new(name, session=session, tenant=tenant)
    first, *_ = taken = await world.take(node)
    assert goals(taken) == "acde"
    for state in (State.WAITING, State.PARKED):
        await world.move(first, state, not_before_us=NEVER_US)
        assert await world.take(node) == []
        await world.send(first.id, f"wake {state}")
        if state is State.PARKED:
            await world.send(first.id, "wake harder", wakes="parked")
        assert goals(await world.take(node)) == "a"
        first = await world.row(first.id)
    await world.move(first, State.SUCCEEDED)
    assert goals(await world.take(node)) == "b"


@on_every_store
async def test_a_woken_task_of_a_session_keeps_others_out_until_it_is_taken(world: World):
    node = await world.node(lease_s=100)
    first = await world.held("a", session="s")
    await world.new("b", session="s", priority=9)
    await world.move(first, State.WAITING, not_before_us=NEVER_US)
    await world.send(first.id)
    assert goals(await world.take(node, limit=1)) == "a"
    assert await world.take(node) == []


@on_every_store
async def test_a_task_that_is_retried_queues_behind_the_one_that_its_session_began_meanwhile(world: World):
    node = await world.node(lease_s=100)
    first = await world.held("a", session="s")
    await world.new("b", session="s")
    await world.move(first, State.FAILED)
    (second,) = await world.take(node)
    await world.send(first.id, wakes="failed")
    await world.move(second, State.WAITING, not_before_us=NEVER_US)
    assert await world.take(node) == []
    await world.send(second.id)
    assert goals(await world.take(node)) == "b"
    await world.move(second, State.SUCCEEDED)
    assert goals(await world.take(node)) == "a"


@on_every_store
async def test_a_concurrency_key_lets_so_many_run_as_its_limit_says(world: World):
    node = await world.node(lease_s=100)
    for name in "abcd":
        await world.new(name, concurrency_key="k", concurrency_limit=2)
    await world.new("e", concurrency_key="k", concurrency_limit=2, tenant="other")
    await world.new("f", concurrency_key="k", concurrency_limit=3)
    await world.new("g")
    taken = await world.take(node)
    assert goals(taken) == "abefg"
    assert await world.take(node) == []
    await world.move(taken[0], State.WAITING, not_before_us=NEVER_US)
    assert await world.take(node) == []
    await world.move(taken[1], State.SUCCEEDED)
    assert goals(await world.take(node)) == "c"


@on_every_store
async def test_a_task_waits_a_moment_for_the_live_node_that_held_it_last(world: World):
    await world.node("first", lease_s=100)
    second = await world.node("second", lease_s=100)
    row = await world.held("a", node="first")
    now_us = await world.store.now_us()
    await world.move(row, State.WAITING, not_before_us=now_us + 1_000_000)
    await world.clock.advance(1)
    assert await world.take(second) == []
    assert await world.store.next_due_us() == now_us + 1_000_000 + round(AFFINITY_GRACE_S * 1e6)
    await world.clock.advance(AFFINITY_GRACE_S)
    (row,) = await world.take(second)
    assert (row.node, row.lease_id, row.epoch) == (second, world.leases[second], 2)


@on_every_store
async def test_a_woken_task_goes_back_at_once_to_the_node_that_held_it_or_elsewhere_if_that_is_gone(world: World):
    first = await world.node("first", lease_s=100)
    second = await world.node("second", lease_s=100)
    for name in "ab":
        row = await world.held(name, node="first")
        await world.move(row, State.PARKED)
        await world.clock.advance(5)
        await world.send(row.id, wakes="parked")
        if name == "b":
            await world.store.declare_dead(first)
        assert goals(await world.take(second)) == ("" if name == "a" else "ab")
        assert goals(await world.take(first)) == ("a" if name == "a" else "")


@on_every_store
async def test_only_expiry_lets_others_declare_a_node_dead(world: World):
    first = await world.node("first")
    await world.node("second", lease_s=100)
    row = await world.held("a", node="first")
    await world.clock.advance(LEASE_S - 1)
    assert await world.store.declare_dead() == []
    renewed = await world.store.renew(first, world.leases[first], LEASE_S)
    assert renewed is not None
    assert renewed.lease_until_us == renewed.now_us + LEASE_S * 1_000_000
    await world.clock.advance(LEASE_S - 1)
    assert await world.store.declare_dead() == []
    await world.clock.advance(1)
    assert await world.store.declare_dead() == [first]
    assert await world.store.declare_dead() == []
    after = await world.row(row.id)
    assert (after.state, after.reason, after.lease_id, after.epoch) == (State.QUEUED, "node_lost", b"", row.epoch + 1)
    assert after.node == first
    assert goals(await world.take(name_id("second"))) == "a"


@on_every_store
async def test_a_node_that_is_known_to_be_gone_is_declared_dead_before_its_lease_ends(world: World):
    first, second = await world.node("first"), await world.node("second")
    row = await world.held("a", node="first")
    assert await world.store.declare_dead(first) == [first]
    assert await world.store.declare_dead(first) == []
    assert await world.store.declare_dead(name_id("nobody")) == []
    assert [(node.id, node.alive) for node in await world.store.nodes()] == sorted([(first, False), (second, True)])
    assert isinstance(await world.commit(append(row)), Fenced)
    assert goals(await world.take(second)) == "a"


@on_every_store
async def test_a_lease_that_ran_out_is_renewed_unless_somebody_declared_the_node_dead(world: World):
    node = await world.node()
    await world.new("a")
    await world.clock.advance(LEASE_S + 5)
    assert await world.take(node) == []
    assert await world.store.renew(node, world.leases[node], LEASE_S) is not None
    assert goals(await world.take(node)) == "a"
    await world.clock.advance(LEASE_S + 5)
    await world.store.declare_dead()
    assert await world.store.renew(node, world.leases[node], LEASE_S) is None
    assert await world.store.renew(name_id("nobody"), world.leases[node], LEASE_S) is None


@on_every_store
async def test_a_node_that_is_replaced_can_neither_renew_nor_take_nor_append(world: World):
    node = await world.node()
    row = await world.held("a")
    old = world.leases[node]
    await world.node()
    assert world.leases[node] != old
    assert await world.store.renew(node, old, LEASE_S) is None
    assert await world.store.take(node, old, (), 10) == []
    assert isinstance(await world.commit(append(row)), Fenced)
    assert goals(await world.take(node)) == "a"


@on_every_store
async def test_a_cancelling_task_of_a_dead_node_is_taken_and_stays_cancelling(world: World):
    row = await world.held("a")
    await world.move(row, State.CANCELLING, reason="by hand")
    await world.store.declare_dead(row.node)
    lost = await world.row(row.id)
    assert (lost.state, lost.reason, lost.lease_id, lost.epoch) == (State.CANCELLING, "by hand", b"", row.epoch + 1)
    other = await world.node("other")
    (taken,) = await world.take(other)
    assert (taken.state, taken.node, taken.epoch) == (State.CANCELLING, other, row.epoch + 2)
    assert await world.commit(append(taken)) == Receipt()


@on_every_store
async def test_a_node_acknowledges_stops_in_order(world: World):
    node = await world.node()
    for generation, expected in ((3, 3), (2, 3), (4, 4)):
        await world.store.acknowledge_stop(node, world.leases[node], generation)
        assert (await world.store.nodes())[0].stop_generation == expected
    await world.store.acknowledge_stop(node, name_id("wrong"), 9)
    renewed = await world.store.renew(node, world.leases[node], LEASE_S)
    assert renewed is not None
    assert renewed.stop_generation == 4


@on_every_store
async def test_a_registered_node_is_read_back_as_it_was_entered(world: World):
    node = name_id("n")
    row = await world.store.register(node, name_id("lease"), 2.5, "box", 42, "127.0.0.1:7117")
    assert await world.store.nodes() == [row]
    assert (row.host, row.pid, row.address, row.alive) == ("box", 42, "127.0.0.1:7117", True)
    assert row.lease_until_us == row.now_us + 2_500_000


@on_every_store
async def test_no_two_nodes_take_the_same_task_and_no_limit_is_broken_when_they_race(world: World):
    nodes = [await world.node(f"n{number}") for number in range(4)]
    for number in range(40):
        fields = {"session": "s"} if number % 4 == 0 else {"concurrency_key": "k", "concurrency_limit": 3}
        await world.new(f"{number},", **(fields if number % 2 == 0 else {}))
    stores = [world.another() for _ in nodes]
    for store in stores:
        if store is not world.store:
            await store.open()
    taken = await asyncio.gather(
        *(store.take(node, world.leases[node], (), 5) for store, node in zip(stores * 2, nodes * 2, strict=True))
    )
    rows = [row for batch in taken for row in batch]
    assert len({row.id for row in rows}) == len(rows)
    assert sum(row.session == "s" for row in rows) <= 1
    assert sum(row.concurrency_key == "k" for row in rows) <= 3
    assert len(rows) == 1 + 3 + 20
    for store in stores:
        if store is not world.store:
            await store.close()


@on_every_store
async def test_the_store_s_clock_never_goes_back(world: World):
    before_us = await world.store.now_us()
    world.clock.set_wall_us(before_us - 60_000_000)
    if world.kind != "postgres":
        assert await world.store.now_us() == before_us
    row = replace(await world.held("a"), reason="")
    assert row.created_us >= before_us or world.kind == "postgres"
