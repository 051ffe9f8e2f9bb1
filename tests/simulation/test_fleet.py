"""A fleet in a storm: 1,000 tasks on three nodes, random SIGKILLs, a restart of PostgreSQL (promises P1, P2, P10).

Every task ends, and every effect stands once; what is in doubt is settled by an operator who looks at the tally. The
storm is paced by what was done, not by the clock; its seed is fresh each time, and printed where something fails.
"""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest

from comity.core.ids import Id
from comity.journal.ports import TaskFilter
from comity.journal.task import State
from crash.nodes import Cluster
from postgres import postgres_url, server

TASKS = 1_000
NODES = 3
RESTART_AT = TASKS // 2
TOOLS = ("peek", "book_slot", "tag", "branch", "announce")
OPEN = (State.QUEUED, State.RUNNING, State.WAITING, State.PARKED, State.CANCELLING)
FLAGS = {"node.workers": 12, "node.lease_s": 4.0}


class Storm:
    """A fleet, and what befalls it."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.cluster = cluster
        self.chance = random.Random(seed)
        self.wanted: dict[Id, tuple[str, tuple[str, ...]]] = {}
        self.strikes: list[str] = []
        self._next_strike = 10
        self._is_restarted = False

    async def create(self) -> None:
        """Create the tasks, each with its own tools."""
        for number in range(TASKS):
            tools = tuple(self.chance.sample(TOOLS, self.chance.randrange(1, 4)))
            ref = f"r{number}"
            task = await self.cluster.operator.orders.create(
                self.cluster.program, "doer", {"ref": ref, "tools": list(tools)}
            )
            self.wanted[task] = (ref, tools)

    async def is_over(self) -> bool:
        """Strike as often as tasks have ended, be the operator, and tell whether all is over."""
        for node in self.cluster.nodes:
            if not node.is_up:
                node.start()
        left = len(await self.cluster.store.tasks(TaskFilter(states=OPEN, limit=TASKS + 1)))
        done = TASKS - left
        if done >= self._next_strike:
            self._next_strike = done + self.chance.randrange(5, 30)
            self._strike()
        if done >= RESTART_AT and not self._is_restarted:
            self._is_restarted = True
            self.strikes.append("the server")
            server()._stop()
            server().ensure_postgres_running()
        parked = await self.cluster.store.tasks(TaskFilter(states=(State.PARKED,), limit=50))
        await self.cluster.operator.settle_doubts(parked)
        return left == 0

    def _strike(self) -> None:
        node = self.chance.choice(self.cluster.nodes)
        workers = [child for zygote in children(node.pid) for child in children(zygote)]
        if not workers or self.chance.random() < 0.3:
            self.strikes.append(node.folder.name)
            node.kill()
        else:
            self.strikes.append("a worker")
            os.kill(self.chance.choice(workers), signal.SIGKILL)

    async def check(self) -> None:
        """Hold that all was done, and nothing twice."""
        book = self.cluster.tally.book()
        assert not book.doubled()
        standing = {(item.name, item.args["ref"]) for item in book.effects if item.number not in book.undone}
        wanted = {(tool, ref) for ref, tools in self.wanted.values() for tool in tools if tool != "peek"}
        assert standing == wanted
        for task in self.wanted:
            await self.cluster.result(task)


def children(pid: int) -> list[int]:
    """Return the processes that `pid` has started."""
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        found += map(int, file.read_text().split())
    return found


@pytest.mark.slow
async def test_a_fleet_in_a_storm_ends_every_task_and_does_nothing_twice(tmp_path: Path) -> None:
    """P1, P2, P10."""
    seed = random.SystemRandom().randrange(2**32)
    async with Cluster(tmp_path, postgres_url(), flags=FLAGS) as cluster:
        storm = Storm(cluster, seed)
        await storm.create()
        for _ in range(NODES):
            cluster.node()
        try:
            await cluster.wait(storm.is_over, 600, "the storm to be over")
            await storm.check()
        except AssertionError as error:
            error.add_note(f"seed {seed}, strikes {storm.strikes}")
            raise
    assert {"the server", "a worker"} < set(storm.strikes)
