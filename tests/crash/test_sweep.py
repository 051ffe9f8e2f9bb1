"""A seeded random sweep of crashes: as many rounds as `SWEEP` says, each seed fresh, printed where it fails."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from comity.core.clock import SystemClock
from comity.stores.open import open_store
from comity.testing import MemoryStore
from crash.nodes import Cluster
from crash.staging import STORES, url_of
from crash.test_processes import EACH, POINTS, VICTIMS, told_by
from crash.test_simulated import survive

ROUNDS = int(os.environ.get("SWEEP", "3"))


@pytest.mark.slow
@pytest.mark.parametrize("round", range(ROUNDS))
async def test_a_task_survives_any_number_of_simulated_crashes(round: int, tmp_path: Path) -> None:
    """P2, P3: up to a dozen crashes of one task, on a random store, with well and badly behaved tools."""
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    kind = chance.choice(STORES)
    store = MemoryStore(SystemClock()) if kind == "memory" else open_store(url_of(kind, tmp_path))
    await store.open()
    try:
        for _ in range(10):
            agent, how = chance.choice(["clerk", "waiter"]), chance.choice(["", "raises", "hangs"])
            await survive(store, agent, {chance.randrange(250) for _ in range(chance.randrange(1, 13))}, how)
    except AssertionError as error:
        error.add_note(f"seed {seed}, on {kind}")
        raise
    finally:
        await store.close()


@pytest.mark.slow
@pytest.mark.parametrize("round", range(ROUNDS))
async def test_two_nodes_survive_kills_anywhere(round: int, tmp_path: Path) -> None:
    """P1, P2, P3: brains, hands and two nodes killed at random points, on a random store of processes."""
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    async with Cluster(tmp_path, url_of(chance.choice(STORES[1:]), tmp_path)) as cluster:
        tasks = {f"t{number}": await cluster.create("clerk", f"t{number}") for number in range(20)}
        for _ in range(2):
            kills = {task.hex(): (chance.choice(VICTIMS), chance.randrange(POINTS)) for task in tasks.values()}
            cluster.node(kills=kills)
        try:
            await cluster.until_all_ended(120)
            book = cluster.tally.book()
            assert not book.doubled()
            for ref, task in tasks.items():
                assert await cluster.result(task) == told_by(ref)
            assert {name: len(book.standing(name)) for name in EACH} == {name: 20 * n for name, n in EACH.items()}
        except AssertionError as error:
            error.add_note(f"seed {seed}")
            raise
