"""The plants as pure physics: the same for the same seed; no single agent and no pair of 02:17 can take it down."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import pytest

from comity.cli.scenarios import scenarios_folder
from comity.core.entropy import generator

ACTS = {"performance": ("scale_app", 5), "cost": ("scale_database", 2), "routing": ("shift_traffic", 3)}
STEPS = 40


@pytest.fixture
def shop() -> Iterator[Any]:
    folder = str(scenarios_folder() / "plant")
    sys.path.insert(0, folder)
    try:
        import shop as found

        yield found
    finally:
        sys.path.remove(folder)


def driven(shop: Any, seed: int, who: Sequence[str]) -> Any:
    """Let agents go as far as their rules ever let them, one after the other."""
    plant = shop.Shop(generator(f"plant 0217 {seed}".encode()))
    for name in who:
        tool, value = ACTS[name]
        getattr(plant, tool)("shop", value)
        plant.step()
    for _ in range(STEPS):
        plant.step()
    return plant


@pytest.mark.parametrize("seed", range(5))
def test_no_single_agent_and_no_pair_takes_the_database_down(shop: Any, seed: int) -> None:
    for size in (0, 1, 2):
        for who in combinations(ACTS, size):
            assert not driven(shop, seed, who).is_lost, who


@pytest.mark.parametrize("seed", range(5))
def test_the_three_together_do_and_it_looks_idle_before(shop: Any, seed: int) -> None:
    plant = driven(shop, seed, tuple(ACTS))
    assert plant.is_lost
    assert plant.sensors()["utilisation"] == 0


def test_the_same_seed_meets_the_same_course_of_events(shop: Any) -> None:
    one, other = (driven(shop, 7, ("performance",)).state() for _ in range(2))
    assert one == other
    assert one != driven(shop, 8, ("performance",)).state()
