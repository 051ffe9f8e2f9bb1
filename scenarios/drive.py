"""Drive a live scenario: real agent processes against a simulated plant, uncoordinated or coordinated.

`play(slug, seed, coordinated=…)` runs it once. The plant's clock is stepped from here, and whose turn it is comes from
the seed, so the same seed meets the same course of events.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import msgspec
from casts import CASTS, Pace
from processes import HERE, NodeProcess, PlantProcess
from rulings import Ruled, acts, ruled

from comity.core.entropy import generator
from comity.core.errors import HandsError, UsageError
from comity.server.world_documents import MapDocument

LIVE = tuple(CASTS)
"""The scenarios that run live."""


class Outcome(msgspec.Struct, frozen=True):
    """What came of a run. `collapsed_at` is the step at which the plant was lost, None where it held.

    `goals` says who has what it wants in the end; `acted` counts what was done by agent; `ruled` is what coordination
    trimmed, deferred and refused; `errors` are lines of the node's log. `trace` has the plant's state after each step.
    """

    slug: str
    seed: int
    is_coordinated: bool
    collapsed_at: int | None
    steps: int
    goals: dict[str, bool]
    acted: dict[str, int]
    ruled: tuple[Ruled, ...]
    errors: tuple[str, ...]
    trace: tuple[dict[str, Any], ...]


def world_of(slug: str, variant: str = "") -> Path:
    """Return the world file that coordinates a live scenario."""
    return HERE / slug / (f"live-{variant}.yaml" if variant else "live.yaml")


def play(
    slug: str, seed: int = 0, *, coordinated: bool = False, variant: str = "", only: Sequence[str] = ()
) -> Outcome:
    """Run a scenario once, blocking; see `Live` and `Live.run`."""
    return asyncio.run(play_async(slug, seed, coordinated=coordinated, variant=variant, only=only))


async def play_async(
    slug: str, seed: int = 0, *, coordinated: bool = False, variant: str = "", only: Sequence[str] = ()
) -> Outcome:
    """Run a scenario once; see `Live` and `Live.run`."""
    async with Live(slug, coordinated=coordinated, variant=variant) as live:
        return await live.run(seed, only)


class Live:
    """A plant and a node, for one run or many: `async with Live(slug, coordinated=True) as live: await live.run(0)`."""

    def __init__(self, slug: str, *, coordinated: bool = False, variant: str = "") -> None:
        """Prepare a scenario; where it is `coordinated` its world file is in force, `variant` is `benign` or empty.

        Raises:
            UsageError: there is no such live scenario.
        """
        if slug not in CASTS:
            raise UsageError("no_such_scenario", f"`{slug}` does not run live", hint=f"there are {', '.join(LIVE)}")
        self.slug, self.is_coordinated, self.variant = slug, coordinated, variant
        self.cast = CASTS[slug]
        self._opened = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start plant and node.

        Raises:
            HandsError: one of them did not come up.
        """
        async with AsyncExitStack() as opened:
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="comity-live-")))
            self._plant = PlantProcess(f"{self.slug}-{self.variant}" if self.variant else self.slug, "0")
            opened.push_async_callback(self._plant.close)
            world = world_of(self.slug, self.variant) if self.is_coordinated else None
            self._node = NodeProcess(folder, HERE / self.slug / "agents.py", self._plant.port, world)
            opened.push_async_callback(self._node.close)
            await self._node.ready()
            self._opened = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End them."""
        await self._opened.aclose()

    async def map(self) -> MapDocument:
        """Return the causal map of what has happened so far."""
        return await self._node.api.request("GET", "/map?format=json&window_s=3600", MapDocument)

    async def run(self, seed: int, only: Sequence[str] = ()) -> Outcome:
        """Let the plant begin anew, and new tasks pursue their goals until it is lost or the rounds are over.

        Args:
            seed: What happens in the plant, and whose turn it is.
            only: The agents that take part; all by default.

        Raises:
            HandsError: somebody did not come back from a turn; the node's log is in the notes.
        """
        plant, node = self._plant, self._node
        present = [name for name in self.cast.names if not only or name in only]
        try:
            await plant.order("reset", seed=seed)
            for name in present:
                if name in self.cast.programs:
                    await node.begin_program(name, HERE / self.slug / f"{name}.py")
                else:
                    await node.begin(name)
            told = await plant.order("ready", agents=present)
            trace = await _paced(plant, Pace(self.cast, generator(f"turns {seed}".encode()), present), told)
            over = await plant.order("over")
            journals = {name: await node.journal(name) for name in present}
        except HandsError as error:
            error.add_note(node.said())
            raise
        return Outcome(
            self.slug,
            seed,
            self.is_coordinated,
            len(trace) if over["lost"] else None,
            len(trace),
            over["goals"],
            {name: acts(entries) for name, entries in journals.items()},
            tuple(item for name, entries in journals.items() for item in ruled(name, entries)),
            tuple(line for line in node.said().splitlines() if "error" in line.lower()),
            tuple(trace),
        )


async def _paced(plant: PlantProcess, pace: Pace, told: dict[str, Any]) -> list[dict[str, Any]]:
    """Give turns and step the plant until it is lost or the rounds are over; return its states."""
    trace: list[dict[str, Any]] = []
    for _ in range(pace.rounds):
        for name in pace.turns():
            before, told = told, await plant.order("grant", agent=name)
            pace.saw(name, before["state"], told["state"])
        told = await plant.order("step")
        trace.append(told["state"])
        if told["lost"]:
            break
    return trace
