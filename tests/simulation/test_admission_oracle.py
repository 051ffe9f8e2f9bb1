"""Admission against an oracle that tries everything, over random small worlds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from comity.coordination.admission import Admission
from comity.coordination.believed import FieldRow, WindowStep
from comity.coordination.picture import Picture
from comity.coordination.ruling import Proposal, Ruling
from simulation.admission_oracle import Act, harms
from simulation.admission_worlds import KINDS, NOW_US, Small, small

FIGURES = Path(__file__).with_name("admission_figures.json")


def proposal(place: int) -> Proposal:
    return Proposal(call=f"task/{place}", ticket=f"ticket-{place}", task="task", actor="a", tool=f"act{place}", args={})


def seen(world: Small, picture: Picture) -> None:
    """Give a picture the steps of the world's windows."""
    for field, value in world.truth.values:
        steps = tuple(WindowStep(at_us, float(by)) for at_us, name, by in world.truth.steps if name == field)
        picture.restore(field, FieldRow(value, steps=steps))


def judged(world: Small) -> tuple[list[int], Ruling]:
    """Hold all acts but the last, and judge that; return which are in flight, and the ruling."""
    lenient = Picture(world.world("observe"))
    if world.low is not None:
        lenient = Picture(small_without_bounds(world).world("observe"))
    strict = Picture(world.world("enforce"))
    seen(world, lenient)
    seen(world, strict)
    admission, flying = Admission(lenient.world, lenient), []
    for place in range(len(world.acts) - 1):
        ruling = admission.judge(proposal(place), NOW_US)
        assert ruling is not None
        if ruling.flight is not None:
            strict.hold(ruling.flight)
            if place % 2:
                strict.move(ruling.flight.ticket, "done", NOW_US)
            flying.append(place)
    ruling = Admission(strict.world, strict).judge(proposal(len(world.acts) - 1), NOW_US)
    assert ruling is not None
    return flying, ruling


def small_without_bounds(world: Small) -> Small:
    return Small(world.laws, world.links, world.truth, world.acts)


def sort_of(world: Small, ruling: Ruling) -> str:
    """Return under which figure a needless refusal counts."""
    law = world.laws[0].kind
    sort = "unknown" if world.has_unknown else "order" if ruling.rule == "order" else law
    return f"{sort}, with set" if world.has_set else sort


def compare(seeds: Iterable[int]) -> Counter[str]:
    """Judge the worlds of these seeds; return how many needless refusals there were, by kind.

    Raises:
        AssertionError: something was admitted that could break an invariant.
    """
    needless: Counter[str] = Counter()
    for seed in seeds:
        world = small(seed)
        flying, ruling = judged(world)
        acts = [Act(world.acts[place]) for place in flying]
        law = harms(world.laws, world.links, world.truth, acts, Act(world.acts[-1]), NOW_US)
        if ruling.word == "admit":
            assert law is None, f"seed {seed}: {ruling} may break {law}, with {acts} in flight, in {world}"
        elif law is None:
            needless[sort_of(world, ruling)] += 1
    return needless


def test_nothing_is_admitted_that_could_break_an_invariant_and_little_is_refused_in_vain() -> None:
    needless = compare(range(2_000))
    stored = json.loads(FIGURES.read_text())["2000"]
    assert {name: count for name, count in needless.items() if count > stored.get(name, 0)} == {}


@pytest.mark.slow
def test_nothing_is_admitted_that_could_break_an_invariant_in_many_worlds() -> None:
    needless = compare(range(10_000, 20_000))
    stored = json.loads(FIGURES.read_text())["10000"]
    assert {name: count for name, count in needless.items() if count > stored.get(name, 0)} == {}


def test_linear_invariants_without_set_refuse_nothing_in_vain() -> None:
    for figures in json.loads(FIGURES.read_text()).values():
        assert not figures.keys() & {"linear", "bounds", "dependent"}


def test_every_kind_of_invariant_is_among_the_worlds() -> None:
    assert {law.kind for seed in range(200) for law in small(seed).laws} == set(KINDS)
