"""Zombies: who was frozen past its lease or its permit can do no harm when it is thawed (promise P1)."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from comity.core.ids import Id
from comity.journal.entry import Attempted, Entry, Evidence, Intent, Outcome, Resolved
from comity.journal.task import ParkReason, State
from crash.nodes import Cluster, NodeProcess
from crash.staging import STORES, url_of

ON_EVERY_STORE = pytest.mark.parametrize("kind", STORES[1:])
SHORT = {"node.lease_s": 2.0, "node.lease_margin_s": 0.4}


async def parked_in_doubt(cluster: Cluster, task: Id) -> bool:
    """Tell whether a task waits for a person."""
    row = await cluster.operator.orders.row(task)
    return row.state is State.PARKED and row.reason == ParkReason.IN_DOUBT


async def bodies(cluster: Cluster, task: Id, kind: type) -> list[Any]:
    """Return the entries of one kind in a task's journal."""
    return [body for entry in await cluster.store.load(task) if isinstance(body := entry.read(), kind)]


async def is_up_again(cluster: Cluster, node: NodeProcess) -> bool:
    """Tell whether a thawed node has let go of its old lease, and has one again."""
    alive = {row.pid for row in await cluster.store.nodes() if row.alive}
    return node.pid in alive and "the lease was lost" in node.log()


@ON_EVERY_STORE
async def test_a_node_frozen_before_it_acts_appends_and_starts_nothing_once_thawed(kind: str, tmp_path: Path) -> None:
    """P1: its permit ran out, its lease is another's, so neither effect nor entry of it follows."""
    async with Cluster(tmp_path, url_of(kind, tmp_path), flags=SHORT) as cluster:
        task = await cluster.create("doer", {"ref": "r", "tools": ["announce"]})
        first = cluster.node(kills={task.hex(): ("freeze", "before announce")})
        await cluster.wait(lambda: first.is_frozen, 15, "the first node to freeze")
        second = cluster.node()
        await cluster.wait(lambda: parked_in_doubt(cluster, task), 20, "the second node to take over")
        await cluster.wait(cluster.operator.look_around, 20, "the task to end on the second node")
        before: list[Entry] = await cluster.store.load(task)
        first.send(signal.SIGCONT)
        await cluster.wait(lambda: is_up_again(cluster, first), 20, "the first node to begin anew")
        assert await cluster.store.load(task) == before
        assert len(cluster.tally.book().effects) == 1
        assert await cluster.result(task) == ["announced r"]
        second.kill()
        another = await cluster.create("doer", {"ref": "again", "tools": ["tag"]})
        await cluster.wait(cluster.operator.look_around, 20, "the thawed node to be of use")
        assert await cluster.result(another) == ["tagged again"]


@ON_EVERY_STORE
async def test_a_late_result_of_a_frozen_node_is_evidence_that_settles_the_doubt(kind: str, tmp_path: Path) -> None:
    """P1: no append of the former owner lands, but what it knows is kept, and no person is needed."""
    async with Cluster(tmp_path, url_of(kind, tmp_path), flags=SHORT) as cluster:
        gate = "after announce r"
        cluster.tally.hold(gate)
        first = cluster.node()
        task = await cluster.create("doer", {"ref": "r", "tools": ["announce"]})
        await cluster.wait(lambda: cluster.tally.waiting(gate), 15, "the effect to happen")
        first.send(signal.SIGSTOP)
        cluster.tally.open(gate)
        cluster.node()
        await cluster.wait(lambda: parked_in_doubt(cluster, task), 20, "the second node to take over")
        first.send(signal.SIGCONT)

        async def ended() -> bool:
            return (await cluster.operator.orders.row(task)).state.ended

        await cluster.wait(ended, 20, "the evidence to settle the doubt")
        assert await cluster.result(task) == ["announced r"]
        assert len(await bodies(cluster, task, Evidence)) == 1
        (resolved,) = await bodies(cluster, task, Resolved)
        assert resolved.by.startswith("evidence of epoch")
        assert len(cluster.tally.book().effects) == 1


@ON_EVERY_STORE
async def test_a_hand_frozen_past_its_permit_starts_nothing_under_it(kind: str, tmp_path: Path) -> None:
    """P1, P10: the order that it finds when it is thawed has run out; the next attempt has a permit of its own."""
    async with Cluster(tmp_path, url_of(kind, tmp_path), flags={"node.permit_s": 0.5, "node.lease_s": 10.0}) as cluster:
        gate = "before book_slot r"
        cluster.tally.hold(gate)
        node = cluster.node()
        task = await cluster.create("twin", "r")
        await cluster.wait(lambda: cluster.tally.waiting(gate), 15, "the first tool to run")
        hand = node.pid_of("hand", task)
        os.kill(hand, signal.SIGSTOP)
        await cluster.operator.orders.signal(task, "now")

        async def meant() -> float:
            times = [entry.at_us for entry in await cluster.store.load(task) if isinstance(entry.read(), Intent)]
            return times[1] if len(times) == 2 else 0

        at_us = await cluster.wait(meant, 10, "the second tool to be meant")

        async def is_past() -> bool:
            return await cluster.store.now_us() > at_us + 700_000

        await cluster.wait(is_past, 10, "the permit to run out")
        assert not cluster.tally.book().effects
        os.kill(hand, signal.SIGCONT)
        cluster.tally.open(gate)
        await cluster.wait(cluster.operator.look_around, 15, "the task to end")
        assert await cluster.result(task) == ["booked r", "announced r"]
        announced = max(entry.seq for entry in await cluster.store.load(task) if isinstance(entry.read(), Intent))
        again = [item for item in await bodies(cluster, task, Attempted) if item.call == announced]
        assert again
        assert "permit ran out" in again[0].why
        assert len(cluster.tally.book().effects) == 2


@ON_EVERY_STORE
async def test_a_tool_that_is_slower_than_three_leases_runs_to_its_end_once(kind: str, tmp_path: Path) -> None:
    """P10: nothing is ended for being slow."""
    flags = {"node.lease_s": 1.0, "node.lease_margin_s": 0.3, "node.permit_s": 0.5}
    async with Cluster(tmp_path, url_of(kind, tmp_path), flags=flags) as cluster:
        gate = "before announce r"
        cluster.tally.hold(gate)
        node = cluster.node()
        task = await cluster.create("doer", {"ref": "r", "tools": ["announce"]})
        await cluster.wait(lambda: cluster.tally.waiting(gate), 15, "the tool to run")
        until_us = (await cluster.store.nodes())[0].lease_until_us + 3_000_000

        async def is_long() -> bool:
            return (await cluster.store.nodes())[0].lease_until_us > until_us

        await cluster.wait(is_long, 15, "three leases to pass")
        cluster.tally.open(gate)
        await cluster.wait(cluster.operator.look_around, 15, "the task to end")
        assert await cluster.result(task) == ["announced r"]
        assert (len(await bodies(cluster, task, Intent)), len(await bodies(cluster, task, Outcome))) == (1, 1)
        assert not await bodies(cluster, task, Attempted)
        assert (node.lives, len(cluster.tally.book().effects)) == (1, 1)
