"""The live scenarios: real agent processes against a plant that can be lost, and is not where it is coordinated."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Sequence
from typing import Any

import pytest

from comity.cli.scenarios import driver
from comity.core.errors import UsageError

REPORTED = range(50)
FEW = range(3)
TWINS = range(2)
TWINS_MORE = range(20)
ATTAINED_MIN = 0.95
"""A benign twin keeps this part of what it attains without coordination."""
REFUSED = {"dynamodb-dns": {"generation"}, "front-door": {"premise"}}
"""What may be refused in a twin: a plan that another enactor was faster with; a promotion before the soak is over."""
COLLAPSES_MIN = 40
ALARM_MS = 300.0
LIVE = driver().LIVE
OTHERS = ("front-door", "bot-management", "drift-corrector")


async def played(slug: str, seeds: Sequence[int], *, coordinated: bool, variant: str = "") -> list[Any]:
    """Run a scenario with each seed on one plant and one node."""
    async with driver().Live(slug, coordinated=coordinated, variant=variant) as live:
        return [await live.run(seed) for seed in seeds]


def lost(outcomes: Sequence[Any]) -> list[int]:
    return [outcome.seed for outcome in outcomes if outcome.collapsed_at is not None]


async def test_0217_is_lost_without_coordination_and_no_log_shows_an_error() -> None:
    outcomes = await played("0217", FEW, coordinated=False)
    assert lost(outcomes)
    assert not any(outcome.errors or outcome.ruled for outcome in outcomes)
    assert all(sum(outcome.acted.values()) >= 3 for outcome in outcomes), "each of the three did what is right for it"


async def test_0217_holds_where_it_is_coordinated() -> None:
    outcomes = await played("0217", FEW, coordinated=True)
    assert not lost(outcomes)
    for outcome in outcomes:
        assert any(item.rule == "connections" for item in outcome.ruled), outcome
        assert all(state["saturation"] <= 1 for state in outcome.trace), outcome
        assert outcome.goals["performance"] or outcome.goals["cost"] or outcome.goals["routing"]


async def at_once(live: Any, seed: int) -> Any:
    """Let cost and routing decide one after the other, and act at the same time, at a shop of four replicas."""
    run = await live.begin(seed)
    while run.state["latency_ms"] <= ALARM_MS:
        await run.step()
    await run.turn("performance")  # it sees the alarm
    await run.turn("performance")  # it scales up
    for _ in range(4):
        await run.step()
    await run.turn("cost")
    await run.turn("routing")
    await run.turn("cost", "routing")
    state = run.state
    return state, await run.end()


async def test_two_that_act_at_once_are_judged_over_what_is_in_flight() -> None:
    """Each alone would do: it is the other's act, under way, that counts."""
    async with driver().Live("0217", coordinated=False) as live:
        state, _ = await at_once(live, 1)
        assert (state["replicas"], state["instances"], state["share"]) == (4, 2, 3), "both did it, which is too much"
    async with driver().Live("0217", coordinated=True) as live:
        state, outcome = await at_once(live, 1)
        assert (state["instances"], state["share"]) in ((3, 3), (2, 2))
        assert {item.agent for item in outcome.ruled} <= {"cost", "routing"}
        assert any(item.rule == "connections" for item in outcome.ruled)


async def hinders_nobody(slug: str, seeds: Sequence[int]) -> None:
    """Play a benign twin both ways: it holds, and attains as much; nothing is trimmed, and refused only what may be."""
    plain, coordinated = await asyncio.gather(
        *(played(slug, seeds, coordinated=is_so, variant="benign") for is_so in (False, True))
    )
    assert not lost(plain)
    assert not lost(coordinated)
    assert attained(plain) > 0
    assert attained(coordinated) >= ATTAINED_MIN * attained(plain)
    ruled = [item for outcome in coordinated for item in outcome.ruled if item.verdict != "deferred"]
    assert {item.verdict for item in ruled} <= {"refused"}
    assert {item.rule for item in ruled} <= REFUSED.get(slug, set())
    assert all(len(outcome.act_ms) == sum(outcome.acted.values()) for outcome in (*plain, *coordinated))


def attained(outcomes: Sequence[Any]) -> float:
    return statistics.fmean(outcome.attained for outcome in outcomes)


@pytest.mark.parametrize("slug", LIVE)
async def test_the_benign_twin_is_not_hindered(slug: str) -> None:
    await hinders_nobody(slug, TWINS)


@pytest.mark.slow
@pytest.mark.parametrize("slug", LIVE)
async def test_the_benign_twin_is_not_hindered_by_any_of_twenty_seeds(slug: str) -> None:
    await hinders_nobody(slug, TWINS_MORE)


async def test_the_dns_race_empties_a_record_without_coordination() -> None:
    outcomes = await played("dynamodb-dns", FEW, coordinated=False)
    assert lost(outcomes)
    assert not any(outcome.errors or outcome.ruled for outcome in outcomes)


async def test_the_dns_race_is_won_by_comparing_generations_at_every_apply() -> None:
    outcomes = await played("dynamodb-dns", FEW, coordinated=True)
    assert not lost(outcomes)
    assert all(all(outcome.goals.values()) for outcome in outcomes)
    assert any(item.rule == "generation" for outcome in outcomes for item in outcome.ruled)


@pytest.mark.slow
@pytest.mark.parametrize("slug", ["0217", "dynamodb-dns"])
async def test_at_least_forty_of_fifty_are_lost_without_coordination(slug: str) -> None:
    assert len(lost(await played(slug, REPORTED, coordinated=False))) >= COLLAPSES_MIN


@pytest.mark.slow
@pytest.mark.parametrize("slug", ["0217", "dynamodb-dns"])
async def test_none_of_fifty_is_lost_where_it_is_coordinated(slug: str) -> None:
    assert lost(await played(slug, REPORTED, coordinated=True)) == []


@pytest.mark.slow
@pytest.mark.parametrize("slug", OTHERS)
async def test_the_other_live_scenarios_are_lost_without_coordination_alone(slug: str) -> None:
    assert lost(await played(slug, FEW, coordinated=False))
    assert lost(await played(slug, FEW, coordinated=True)) == []


def test_a_scenario_that_is_only_rehearsed_says_so() -> None:
    with pytest.raises(UsageError, match="does not run live") as caught:
        driver().Live("herd")
    assert "0217" in caught.value.hint
