"""What a loop is: a circle of agents, each acting on what the next one looks at. Loads nothing heavy."""

from __future__ import annotations

from typing import Literal

import msgspec

Ground = Literal["recorded", "declared", "mixed"]


class Hop(msgspec.Struct, frozen=True, omit_defaults=True):
    """`agent` writes `fields`, of which the next one sees `seen_as` (the same fields, or what follows from them).

    *recorded*: versions that it wrote were read, `count` times. *declared*: what the agents touch, read, and how the
    fields hang together says that it can happen. *mixed*: recorded acts, joined by a declared dependency.
    """

    agent: str
    fields: tuple[str, ...]
    seen_as: tuple[str, ...]
    next: str
    ground: Ground
    count: int = 0


class AgentLoop(msgspec.Struct, frozen=True, omit_defaults=True):
    """A circle of at least two agents, from the alphabetically first on. `ground` is that of all hops, else mixed."""

    hops: tuple[Hop, ...]
    ground: Ground

    @property
    def agents(self) -> tuple[str, ...]:
        """Its agents, in the order of the circle."""
        return tuple(hop.agent for hop in self.hops)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields over which it closes."""
        return tuple(sorted({field for hop in self.hops for field in (*hop.fields, *hop.seen_as)}))


class AgentLoops(msgspec.Struct, frozen=True, omit_defaults=True):
    """The loops, recorded ones first, then shorter ones; `is_cut` where there are more than were searched."""

    loops: tuple[AgentLoop, ...] = ()
    is_cut: bool = False
