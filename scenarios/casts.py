"""Who takes part in a live scenario, and at which pace: whose turn it is, how long somebody stalls, when it is over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from comity.core.entropy import Generator

State = Mapping[str, Any]


class Cast(NamedTuple):
    """A live scenario.

    `agents` are those of `agents.py`, `programs` those that are programs of their own (`NAME.py`). In each round each
    of them has its turn with a chance of `turn_part`, then the plant takes a step. Those named in `may_stall` are held
    up for `stall_rounds` now and then, in the middle of what they do, at most `stalled_max` at a time.
    """

    agents: tuple[str, ...]
    programs: tuple[str, ...] = ()
    rounds: int = 24
    turn_part: float = 0.8
    may_stall: tuple[str, ...] = ()
    stall_rounds: tuple[int, int] = (8, 12)
    stalled_max: int = 2

    @property
    def names(self) -> tuple[str, ...]:
        """Return everybody."""
        return (*self.agents, *self.programs)


CASTS: Mapping[str, Cast] = {
    "0217": Cast(("performance", "cost"), ("routing",)),
    "dynamodb-dns": Cast(
        ("planner", "enactor-a", "enactor-b", "enactor-c", "clean-up"),
        rounds=48,
        turn_part=0.9,
        may_stall=("enactor-a", "enactor-b", "enactor-c"),
    ),
    "front-door": Cast(("build-old", "build-new", "promoter"), rounds=16),
    "bot-management": Cast(("roll-out", "generator", "distributor"), rounds=24),
    "drift-corrector": Cast(("operator", "corrector", "autoscaler"), rounds=20),
}
TWINS: Mapping[str, Cast] = {
    "0217": CASTS["0217"],
    "dynamodb-dns": CASTS["dynamodb-dns"]._replace(agents=(*CASTS["dynamodb-dns"].agents, "operator"), may_stall=()),
    "front-door": CASTS["front-door"]._replace(agents=("build-new", "promoter")),
    "bot-management": CASTS["bot-management"],
    "drift-corrector": CASTS["drift-corrector"]._replace(agents=("corrector", "autoscaler")),
}
"""Who takes part in the benign twins, where nothing goes wrong."""


def everybody(slug: str) -> frozenset[str]:
    """Return who takes part in a scenario or in its twin."""
    return frozenset((*CASTS[slug].names, *TWINS[slug].names))


class Pace:
    """Whose turn it is: the same for the same seed and the same course of events."""

    def __init__(self, cast: Cast, chance: Generator, present: Sequence[str]) -> None:
        """Pace those who are `present`."""
        self._cast = cast
        self._chance = chance
        self._present = list(present)
        self._stalled: dict[str, int] = {}

    @property
    def rounds(self) -> int:
        """Return how many rounds there are."""
        return self._cast.rounds

    def turns(self) -> Iterator[str]:
        """Yield who goes on in this round."""
        self._stalled = {name: left - 1 for name, left in self._stalled.items() if left > 1}
        order = list(self._present)
        self._chance.shuffle(order)
        for name in order:
            if name not in self._stalled and self._chance.random() < self._cast.turn_part:
                yield name

    def saw(self, name: str, before: State, after: State) -> None:
        """Take what a turn changed; whoever is in the middle of something may stall."""
        is_able = name in self._cast.may_stall and len(self._stalled) < self._cast.stalled_max
        if is_able and before.get("served") != after.get("served") and len(set(after["served"])) > 1:
            self._stalled[name] = self._chance.randint(*self._cast.stall_rounds)
