"""Killed in the middle of an effect: at a gate of the tally, right before it or right after it, never by the clock."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from comity.core.ids import Id
from comity.journal.entry import Intent, Outcome
from crash.nodes import Cluster
from crash.staging import STORES, url_of

TOOLS = ("book_slot", "tag", "branch", "announce")
PLACES = ("before", "after")
DONE = {"book_slot": "booked", "tag": "tagged", "branch": "branched", "announce": "announced"}


class Middle:
    """A `doer` for each tool and place, all of them held in the middle of their effect."""

    def __init__(self, cluster: Cluster, victim: str) -> None:
        self.cluster = cluster
        self.victim = victim
        self.tasks: dict[tuple[str, str], Id] = {}
        self.gates = [f"{place} {tool} {self.ref(place)}" for place in PLACES for tool in TOOLS]

    def ref(self, place: str) -> str:
        """Return what the effects of a place are about."""
        return f"{self.victim} {place}"

    async def begin(self) -> None:
        """Create the tasks, and wait until each stands at its gate."""
        for gate in self.gates:
            self.cluster.tally.hold(gate)
        for place in PLACES:
            for tool in TOOLS:
                goal = {"ref": self.ref(place), "tools": [tool]}
                self.tasks[place, tool] = await self.cluster.create("doer", goal)
        tally = self.cluster.tally
        await self.cluster.wait(
            lambda: all(tally.waiting(gate) == 1 for gate in self.gates), 30, "all tasks to be in the middle"
        )

    def open(self) -> None:
        """Open the gates."""
        for gate in self.gates:
            self.cluster.tally.open(gate)

    async def check(self) -> None:
        """Hold that each effect happened once."""
        book = self.cluster.tally.book()
        for (place, tool), task in self.tasks.items():
            assert await self.cluster.result(task) == [f"{DONE[tool]} {self.ref(place)}"]
            assert len(book.standing(tool, {"ref": self.ref(place)})) == 1, (place, tool)


@pytest.mark.parametrize("kind", STORES[1:])
async def test_a_kill_in_the_middle_of_an_effect_leaves_it_done_once(kind: str, tmp_path: Path) -> None:
    """P2: brain, hand and node, each effect class, right before and right after the effect."""
    async with Cluster(tmp_path, url_of(kind, tmp_path), flags={"node.workers": 40}) as cluster:
        node = cluster.node()
        for victim in ("brain", "hand"):
            middle = Middle(cluster, victim)
            await middle.begin()
            for task in middle.tasks.values():
                os.kill(node.pid_of(victim, task), signal.SIGKILL)
            middle.open()
            await cluster.until_all_ended(30)
            await middle.check()
            assert node.lives == 1
        middle = Middle(cluster, "node")
        await middle.begin()
        node.kill()
        middle.open()
        await cluster.until_all_ended(30)
        await middle.check()
        parked = {(name, why) for name, why in cluster.operator.parked}
        assert {name for name, _ in parked} == {"announce"}


@pytest.mark.parametrize("kind", STORES[1:])
async def test_a_hand_that_answers_twice_is_heard_once(kind: str, tmp_path: Path) -> None:
    """P2: the second answer settles nothing, and no other call."""
    async with Cluster(tmp_path, url_of(kind, tmp_path)) as cluster:
        cluster.node()
        task = await cluster.create("doer", {"ref": "r", "tools": ["echo", "announce", "echo"]})
        await cluster.until_all_ended(30)
        assert await cluster.result(task) == ["echoed", "announced r", "echoed"]
        settled = [entry.read() for entry in await cluster.store.load(task)]
        assert sorted(body.call for body in settled if isinstance(body, Outcome)) == [
            entry.seq for entry in await cluster.store.load(task) if isinstance(entry.read(), Intent)
        ]
        assert len(cluster.tally.book().effects) == 3
