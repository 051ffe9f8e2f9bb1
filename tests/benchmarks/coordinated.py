"""What coordination costs through the whole path, and what it costs the benign: durable calls, latency, goals reached.

Agents of one process on SQLite (WAL, synchronous=FULL) act on resources of their own, without a world and with one in
which each act passes admission and reserves. Benign twins are rehearsed and, where they run live, played both ways.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.twins import TwinFigures, played_twins
from comity.agents.context import Context
from comity.agents.tool import agent, tool
from comity.coordination.document import WorldDocument
from comity.coordination.loading import load_world
from comity.journal.program import offered_by
from comity.kernel import Settings
from comity.rehearsal import Options, rehearse
from comity.runtime.embedded import Embedded
from comity.stores.open import open_store

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
ACTS = 5
AGENTS_FULL, AGENTS_QUICK = 400, 50
ALONE_FULL, ALONE_QUICK = 200, 40
ROUNDS_FULL, ROUNDS_QUICK = 3, 1
WORLD: dict[str, Any] = {
    "kinds": {"shop": {"id": "shop/{name}", "fields": {"stock": {"type": "integer", "low": 0, "initial": 1_000_000}}}},
    "invariants": {"some": {"let": {"n": "shop/{name}.stock"}, "holds": "n >= 10", "mode": "enforce"}},
    "tools": {"sell": {"touches": [{"field": "shop/{name}.stock", "op": "add", "value": "-1"}]}},
}


@tool(effect="idempotent")
def sell(name: str) -> str:
    """Sell one."""
    return "sold"


@agent
async def seller(context: Context) -> None:
    """Sell some."""
    name, count = context.goal
    for _ in range(count):
        await context.act(sell, name=name)


@dataclass
class CoordinatedFigures:
    """What a run showed: durable acts a second and milliseconds an act, plain and coordinated; twins' goals."""

    agents: int
    load: float
    acts_per_s: dict[str, list[float]] = field(default_factory=lambda: {"plain": [], "coordinated": []})
    act_ms: dict[str, list[float]] = field(default_factory=lambda: {"plain": [], "coordinated": []})
    twins: dict[str, tuple[str, str]] = field(default_factory=dict)
    live: list[TwinFigures] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Return the figures as text."""
        yield f"coordinated: {self.agents} agents x {ACTS} acts, one process, SQLite with fsync; load {self.load:.1f}"
        rate = {name: statistics.median(found) for name, found in self.acts_per_s.items()}
        alone = {name: statistics.median(found) for name, found in self.act_ms.items()}
        ratio = rate["coordinated"] / rate["plain"]
        yield f"  acts/s: plain {rate['plain']:,.0f}, coordinated {rate['coordinated']:,.0f} ({ratio:.2f} x)"
        added = alone["coordinated"] - alone["plain"]
        yield f"  one act after another: {alone['plain']:.2f} ms plain, {added:+.2f} ms coordinated (medians)"
        hindered = [slug for slug, (plain, coordinated) in self.twins.items() if plain != coordinated]
        told = f"; hindered: {', '.join(hindered)}" if hindered else ""
        same = len(self.twins) - len(hindered)
        yield f"  {len(self.twins)} benign twins, {same} with the same verdict either way{told}"
        yield "  benign twins that run live:"
        yield from (f"    {item.line()}" for item in self.live)


def observe(folder: Path, *, is_quick: bool) -> CoordinatedFigures:
    """Act plain and coordinated, in turns; rehearse the twins, and play those that run live."""
    figures = CoordinatedFigures(AGENTS_QUICK if is_quick else AGENTS_FULL, os.getloadavg()[0])
    world = msgspec.convert(WORLD, WorldDocument)
    for number in range(ROUNDS_QUICK if is_quick else ROUNDS_FULL):
        for name, document in (("plain", None), ("coordinated", world)):
            url = f"sqlite:///{folder}/{name}{number}.db"
            many, alone = asyncio.run(_sold(url, document, figures.agents, ALONE_QUICK if is_quick else ALONE_FULL))
            figures.acts_per_s[name].append(many)
            figures.act_ms[name].append(alone)
    for file in sorted(SCENARIOS.glob("*/benign.yaml")):
        document = load_world(file).document
        told = [
            rehearse(document, Options(folder=str(file.parent), coordinated=is_so, has_fixes=False)).outcome
            for is_so in (False, True)
        ]
        figures.twins[file.parent.name] = (told[0], told[1])
    figures.live = played_twins(is_quick=is_quick)
    return figures


async def _sold(url: str, world: WorldDocument | None, agents: int, alone: int) -> tuple[float, float]:
    """Return acts a second of many agents at once, and milliseconds an act of one agent alone."""
    store = open_store(url)
    await store.open()
    try:
        settings = Settings(tasks_max=1_000, linger_s=0.0)
        async with Embedded(offered_by(seller, sell), store, settings=settings, world=world) as node:
            began_s = time.perf_counter()
            tasks = [await node.create("seller", [f"s{number}", ACTS]) for number in range(agents)]
            for task in tasks:
                await node.result(task)
            many = agents * ACTS / (time.perf_counter() - began_s)
            began_s = time.perf_counter()
            await node.result(await node.create("seller", ["alone", alone]))
            return many, (time.perf_counter() - began_s) / alone * 1e3
    finally:
        await store.close()
