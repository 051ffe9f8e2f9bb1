"""The crash matrix of real processes: SIGKILL of brain, hand and node at every point of the call path, on every store.

One task for each point; the three ways of killing rotate. Effects are counted by the tally, a process of its own.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from comity.core.ids import Id
from crash.nodes import Cluster, NodeProcess
from crash.staging import STORES, url_of

POINTS = 100
"""More than the points of one `clerk`: the last tasks are never killed, which shows that all points were reached."""
SLACK = 5
"""By how much the number of points differs from run to run: a wait may be over before its task is suspended."""
VICTIMS = ("brain", "hand", "node")
EACH = {"book_slot": 1, "tag": 1, "branch": 1, "announce": 2}


def told_by(ref: str) -> list[Any]:
    """Return the result of a `clerk`."""
    return [
        f"saw {ref}",
        f"booked {ref}",
        "thought 1",
        f"tagged {ref}",
        f"branched {ref}",
        f"announced {ref}'s child",
        "went",
        "yes",
        f"announced {ref}",
    ]


class Matrix:
    """One `clerk` for each point, its brain, hand or node killed there."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.tasks: dict[str, Id] = {}
        self.killed: dict[int, str] = {}

    async def create(self, at: int) -> Id:
        """Create the task of point `at`."""
        ref = f"t{len(self.tasks)} at {at}"
        self.tasks[ref] = await self.cluster.create("clerk", ref, priority=-at)
        return self.tasks[ref]

    async def kill_brains_and_hands(self, points: list[int], first: int) -> None:
        """Kill brains and hands in turn, many tasks at a time: none of them is in another's way."""
        kills = {(await self.create(at)).hex(): (VICTIMS[(first + at) % 2], at) for at in points}
        node = self.cluster.node(kills=kills)
        await self.cluster.until_all_ended(60)
        self._note(node)
        node.kill()

    async def kill_nodes(self, points: list[int]) -> None:
        """Kill the node once for each task; the next begins with the life that goes on with the one before."""
        node = self.cluster.node(kills={})
        missed = 0
        for at in points:
            node.kill()
            task = await self.create(at)
            node.plan["kills"] = {task.hex(): ("node", at)}
            node.start()

            async def is_over(task: Id = task) -> bool:
                await self.cluster.operator.look_around()
                return not node.is_up or (await self.cluster.operator.orders.row(task)).state.ended

            await self.cluster.wait(is_over, 30, f"the node's death at point {at}")
            missed = missed + 1 if node.is_up else 0
            if missed > SLACK:
                break
        await self.cluster.until_all_ended(60)
        self._note(node)

    def _note(self, node: NodeProcess) -> None:
        for _, victim, at, label in node.killed():
            if victim != "nobody":
                self.killed[int(at)] = f"{victim} {label}"

    async def check(self) -> None:
        """Hold that each task did everything once."""
        book = self.cluster.tally.book()
        assert not book.doubled(), self.killed
        for ref, task in self.tasks.items():
            assert await self.cluster.result(task) == told_by(ref), self.killed.get(int(ref.split()[-1]))
        for name, number in EACH.items():
            assert len(book.standing(name)) == number * len(self.tasks), name


@pytest.mark.parametrize("kind", STORES[1:])
async def test_brain_hand_or_node_killed_at_any_point_leaves_no_effect_undone_or_done_twice(
    kind: str, tmp_path: Path
) -> None:
    """P2, P3, on real processes. Every third point is a node's, which costs a start; every fifth on PostgreSQL."""
    turn = 3 if kind == "sqlite" else 5
    first = random.SystemRandom().randrange(turn)
    async with Cluster(tmp_path, url_of(kind, tmp_path)) as cluster:
        matrix = Matrix(cluster)
        await matrix.kill_brains_and_hands([at for at in range(POINTS) if at % turn != first], first)
        await matrix.kill_nodes([at for at in range(POINTS) if at not in matrix.killed])
        await matrix.check()
        assert {"brain", "hand", "node"} == {told.split()[0] for told in matrix.killed.values()}
        last = max(matrix.killed)
        assert set(range(last - SLACK)) <= set(matrix.killed)
        assert 60 < last < POINTS - 1
