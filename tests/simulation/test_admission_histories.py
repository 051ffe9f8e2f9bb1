"""Whole histories of admission: whatever is told, in whatever order, no real world that may be breaks an invariant."""

from __future__ import annotations

import pytest

from simulation.admission_lives import STEPS, Life


def live(seed: int, kind: str = "", steps: int = STEPS) -> Life:
    """Live one life, looking after each step."""
    life = Life(seed, kind)
    done: list[str] = []
    for _ in range(steps if life.small.acts else 0):
        done.append(life.step())
        if life.is_sound:
            law = life.law_at_stake()
            assert law is None, f"seed {seed}, after {done}: {law} may break, in {life.truth}, with {life.errands}"
        assert life.picture.flights.keys() == life.held(), f"seed {seed}, after {done}: reservations"
        assert life.is_believed(), f"seed {seed}, after {done}: {life.truth} is not among what is believed"
        assert life.differs() == [], f"seed {seed}, after {done}: {life.differs()} in {life.truth}"
    return life


def ended(seed: int, kind: str = "", steps: int = STEPS) -> None:
    life = live(seed, kind, steps)
    life.end()
    assert life.picture.flights == {}, f"seed {seed}: in flight at the end"
    assert not life.picture.half_seen
    assert life.differs() == [], f"seed {seed}: {life.differs()}"


def test_no_history_leads_to_a_world_that_breaks_an_invariant() -> None:
    for seed in range(500):
        ended(seed)


def test_no_history_lets_what_leaves_a_window_break_an_invariant() -> None:
    for seed in range(150):
        ended(seed, "windows", 2 * STEPS)


@pytest.mark.slow
def test_no_history_of_many_leads_to_a_world_that_breaks_an_invariant() -> None:
    for seed in range(10_000, 20_000):
        ended(seed)


@pytest.mark.slow
def test_no_history_of_many_lets_what_leaves_a_window_break_an_invariant() -> None:
    for seed in range(10_000, 14_000):
        ended(seed, "windows", 2 * STEPS)
