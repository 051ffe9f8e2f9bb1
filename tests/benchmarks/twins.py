"""What coordination costs the benign where they really run: goals attained and milliseconds an act, live.

Each live scenario's twin (real agent processes on a plant whose clock is stepped) is played plain and coordinated, in
turns. An act takes from the outcome that its agent acted upon to its own: judged, meant, performed.
"""

from __future__ import annotations

import asyncio
import statistics
from dataclasses import dataclass, field
from typing import Any

from comity.cli.scenarios import driver

SEEDS_FULL, SEEDS_QUICK = 10, 2


def _both_ways() -> dict[str, list[float]]:
    return {"plain": [], "coordinated": []}


@dataclass
class TwinFigures:
    """What was seen of a twin: for each run the part of its goals that was attained; how long each act took."""

    slug: str
    attained: dict[str, list[float]] = field(default_factory=_both_ways)
    act_ms: dict[str, list[float]] = field(default_factory=_both_ways)
    refused: int = 0

    def line(self) -> str:
        """Return the figures as text."""
        goals = {name: statistics.fmean(found) for name, found in self.attained.items()}
        took = {name: statistics.median(found) for name, found in self.act_ms.items()}
        added = took["coordinated"] - took["plain"]
        seeds, acts = len(self.attained["plain"]), [len(found) for found in self.act_ms.values()]
        return (
            f"{self.slug}: goals {goals['plain']:.2f} plain, {goals['coordinated']:.2f} coordinated "
            f"({seeds} seeds, {self.refused} calls refused); an act {took['plain']:.2f} ms plain, "
            f"{added:+.2f} ms coordinated (medians of {acts[0]}, {acts[1]})"
        )


def played_twins(*, is_quick: bool) -> list[TwinFigures]:
    """Play all live twins, plain and coordinated."""
    seeds = range(SEEDS_QUICK if is_quick else SEEDS_FULL)
    return [asyncio.run(_played(slug, seeds)) for slug in driver().LIVE]


async def _played(slug: str, seeds: range) -> TwinFigures:
    live: Any = driver().Live
    figures = TwinFigures(slug)
    async with live(slug, variant="benign") as plain, live(slug, variant="benign", coordinated=True) as coordinated:
        for seed in seeds:
            for name, played in (("plain", plain), ("coordinated", coordinated)):
                outcome = await played.run(seed)
                figures.attained[name].append(outcome.attained)
                figures.act_ms[name] += outcome.act_ms
                figures.refused += sum(item.verdict == "refused" for item in outcome.ruled)
    return figures
