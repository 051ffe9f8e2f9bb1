"""The crash matrix, simulated: a node dies at every commit and at every step of the call path, and another goes on.

Effects are counted by a book that no crash touches. Promises P2 (no effect twice) and P3 (no thought lost).
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from comity.core.clock import SystemClock
from comity.core.codec import decode
from comity.stores.open import open_store
from comity.testing import MemoryStore
from crash.fleet import CLERK, WAITER, World
from crash.lives import Lives
from crash.staging import STORES, url_of

EXPECTED = {"clerk": CLERK, "waiter": WAITER}
ONCE = {
    "clerk": {"book_slot": 1, "tag": 1, "branch": 1, "announce": 1},
    "waiter": {"announce": 1, "tag": 1, "book_slot": 1},
}


async def survive(store: Any, agent: str, crashes: Any = (), how: str = "") -> Lives:
    """Run one task of `agent` through crashes, and hold what is promised."""
    world = World(how)
    lives = Lives(store, world, crashes)
    task = await lives.create(agent)
    try:
        await lives.live()
        ledger = await lives.operator.orders.ledger(task)
        assert ledger.ended is not None
        assert ledger.ended.state == "succeeded", f"{ledger.ended.code}: {ledger.ended.error}"
        assert decode(ledger.ended.result.inline) == EXPECTED[agent]
        assert not world.book.doubled()
        assert {name: len(world.book.standing(name)) for name in ONCE[agent]} == ONCE[agent]
        assert not ledger.reserved.tokens_in
    except AssertionError as error:
        error.add_note(f"crashes: {lives.places}")
        raise
    return lives


AGENTS = pytest.mark.parametrize("agent", ["clerk", "waiter"])
MISBEHAVING = pytest.mark.parametrize("how", ["raises", "hangs"])
HOW = pytest.mark.parametrize("how", ["", "raises", "hangs"])


@AGENTS
async def test_a_task_that_is_never_interrupted_does_everything_once(agent: str) -> None:
    lives = await survive(MemoryStore(SystemClock()), agent)
    assert len(lives.places) == 1


async def sweep(kind: str, folder: Path, agent: str, how: str = "", step: int = 1) -> None:
    """Die once at every `step`-th point, beginning anywhere; each task on the same store as the one before."""
    store = MemoryStore(SystemClock()) if kind == "memory" else open_store(url_of(kind, folder))
    await store.open()
    try:
        at = random.SystemRandom().randrange(step)
        while (await survive(store, agent, {at}, how)).count > at:
            at += step
    finally:
        await store.close()
    assert at > 60


@AGENTS
@pytest.mark.parametrize("kind", STORES)
async def test_a_node_that_dies_at_any_point_leaves_no_effect_undone_or_done_twice(
    kind: str, agent: str, tmp_path: Path
) -> None:
    """P2, P3."""
    await sweep(kind, tmp_path, agent)


@MISBEHAVING
@AGENTS
async def test_a_tool_that_acts_and_then_raises_or_hangs_acts_once_wherever_its_node_dies(
    agent: str, how: str, tmp_path: Path
) -> None:
    """P2: an attempt that ended unknown is in doubt as much as one that a crash cut off."""
    await sweep("memory", tmp_path, agent, how)


@MISBEHAVING
@AGENTS
@pytest.mark.parametrize("kind", STORES[1:])
async def test_a_tool_that_acts_and_then_raises_or_hangs_acts_once_on_every_store(
    kind: str, agent: str, how: str, tmp_path: Path
) -> None:
    """P2."""
    await sweep(kind, tmp_path, agent, how, step=6 if kind == "sqlite" else 15)


@pytest.mark.slow
@MISBEHAVING
@AGENTS
@pytest.mark.parametrize("kind", STORES[1:])
async def test_a_tool_that_acts_and_then_raises_or_hangs_acts_once_at_every_point_of_every_store(
    kind: str, agent: str, how: str, tmp_path: Path
) -> None:
    """P2."""
    await sweep(kind, tmp_path, agent, how)


@HOW
@AGENTS
async def test_nodes_that_die_again_and_again_leave_no_effect_undone_or_done_twice(agent: str, how: str) -> None:
    """P2, P3: several crashes of one task, at random points."""
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    for _ in range(30):
        crashes = {chance.randrange(200) for _ in range(chance.randrange(2, 20))}
        try:
            await survive(MemoryStore(SystemClock()), agent, crashes, how)
        except AssertionError as error:
            error.add_note(f"seed {seed}, crashes {sorted(crashes)}")
            raise
