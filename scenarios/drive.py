"""Drive a live scenario: real agent processes against a simulated plant, uncoordinated or coordinated.

`play(slug, seed, coordinated=…)` runs it once. The plant's clock is stepped from here, and whose turn it is comes from
the seed, so the same seed meets the same course of events.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import msgspec
from casts import CASTS, TWINS, Pace, everybody
from processes import HERE, NodeProcess, PlantProcess
from rulings import Ruled, acts, ruled, took_ms

from comity.core.entropy import generator
from comity.core.errors import HandsError, UsageError
from comity.server.world_documents import MapDocument

LIVE = tuple(CASTS)
"""The scenarios that run live."""
Variant = Literal["", "benign"]
"""The harm, or its benign twin: the same system where nothing goes wrong."""


class Outcome(msgspec.Struct, frozen=True):
    """What came of a run. `collapsed_at` is the step at which the plant was lost, None where it held.

    `goals` says who of those present has what it wants in the end; `acted` counts what was done by agent, `act_ms` is
    how long each act took; `ruled` is what coordination trimmed, deferred and refused; `errors` are lines of the node's
    log. `trace` has the plant's state after each step.
    """

    slug: str
    seed: int
    is_coordinated: bool
    collapsed_at: int | None
    steps: int
    goals: dict[str, bool]
    acted: dict[str, int]
    act_ms: tuple[float, ...]
    ruled: tuple[Ruled, ...]
    errors: tuple[str, ...]
    trace: tuple[dict[str, Any], ...]

    @property
    def attained(self) -> float:
        """Return the part of the goals that were reached, 0 to 1."""
        return sum(self.goals.values()) / len(self.goals)


def world_of(slug: str, variant: Variant = "") -> Path:
    """Return the world file that coordinates a live scenario: the twin's is the same, unless it has one of its own."""
    file = HERE / slug / "live.yaml"
    own = file.with_stem(f"live-{variant}")
    return own if own.is_file() else file


def play(
    slug: str, seed: int = 0, *, coordinated: bool = False, variant: Variant = "", only: Sequence[str] = ()
) -> Outcome:
    """Run a scenario once, blocking; see `Live` and `Live.run`."""
    return asyncio.run(play_async(slug, seed, coordinated=coordinated, variant=variant, only=only))


async def play_async(
    slug: str, seed: int = 0, *, coordinated: bool = False, variant: Variant = "", only: Sequence[str] = ()
) -> Outcome:
    """Run a scenario once; see `Live` and `Live.run`."""
    async with Live(slug, coordinated=coordinated, variant=variant) as live:
        return await live.run(seed, only)


class Live:
    """A plant and a node, for one run or many: `async with Live(slug, coordinated=True) as live: await live.run(0)`."""

    def __init__(self, slug: str, *, coordinated: bool = False, variant: Variant = "") -> None:
        """Prepare a scenario or its twin; where it is `coordinated` its world file is in force.

        Raises:
            UsageError: there is no such live scenario.
        """
        if slug not in CASTS:
            raise UsageError("no_such_scenario", f"`{slug}` does not run live", hint=f"there are {', '.join(LIVE)}")
        self.slug, self.is_coordinated, self.variant = slug, coordinated, variant
        self.cast = (TWINS if variant else CASTS)[slug]
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
        try:
            run = await self.begin(seed, only)
            pace = Pace(self.cast, generator(f"turns {seed}".encode()), run.present)
            while not run.is_lost and len(run.trace) < pace.rounds:
                for name in pace.turns():
                    before = run.state
                    await run.turn(name)
                    pace.saw(name, before, run.state)
                await run.step()
            return await run.end()
        except HandsError as error:
            error.add_note(self._node.said())
            raise

    async def begin(self, seed: int, only: Sequence[str] = ()) -> Run:
        """Let the plant begin anew, give each agent a task, and return the run to be driven by hand."""
        present = tuple(name for name in self.cast.names if not only or name in only)
        await self._plant.order("reset", seed=seed)
        for name in present:
            if name in self.cast.programs:
                await self._node.begin_program(name, HERE / self.slug / f"{name}.py")
            else:
                await self._node.begin(name)
        told = await self._plant.order("ready", agents=present)
        return Run(self, self._plant, self._node, seed, present, told["state"])


@dataclass
class Run:
    """A run under way. `state` is the plant's, `trace` its states after each step, `present` who takes part."""

    live: Live
    plant: PlantProcess
    node: NodeProcess
    seed: int
    present: tuple[str, ...]
    state: dict[str, Any]
    trace: list[dict[str, Any]] = field(default_factory=list)
    is_lost: bool = False

    async def turn(self, *names: str) -> None:
        """Give these agents a turn, at the same time, and return when all of them wait again."""
        told, *more = await asyncio.gather(*(self.plant.order("grant", agent=name) for name in names))
        self.state = (await self.plant.order("state") if more else told)["state"]

    async def step(self) -> None:
        """Let the plant take a step."""
        told = await self.plant.order("step")
        self.state, self.is_lost = told["state"], told["lost"]
        self.trace.append(self.state)

    async def end(self) -> Outcome:
        """Tell everybody that it is over, and return what came of it."""
        over = await self.plant.order("over")
        journals = {name: await self.node.journal(name) for name in self.present}
        absent = everybody(self.live.slug) - {*self.present}
        return Outcome(
            self.live.slug,
            self.seed,
            self.live.is_coordinated,
            len(self.trace) if self.is_lost else None,
            len(self.trace),
            {name: has for name, has in over["goals"].items() if name not in absent},
            {name: acts(entries) for name, entries in journals.items()},
            tuple(one for entries in journals.values() for one in took_ms(entries)),
            tuple(item for name, entries in journals.items() for item in ruled(name, entries)),
            tuple(line for line in self.node.said().splitlines() if "error" in line.lower()),
            tuple(self.trace),
        )
