"""What a rehearsal comes to: the values of its JSON."""

from __future__ import annotations

from typing import Literal

import msgspec

from comity.rehearsal.coverage import Coverage
from comity.rehearsal.patch import Edit
from comity.rehearsal.trace import Trace

Outcome = Literal["safe", "violated", "lasso", "starvation"]


class SubsetResult(msgspec.Struct, frozen=True):
    """A set of agents that was explored by itself."""

    agents: tuple[str, ...]
    outcome: Literal["safe", "violated", "unknown"]
    states: int
    is_exhaustive: bool


class Fix(msgspec.Struct, frozen=True, omit_defaults=True):
    """A remedy, and how the same agents did with it.

    `patch` is YAML to merge into the world file, empty where the file cannot say it; `how` says it in a sentence.
    `bad_states` still break an invariant; `attainment` is the share of goals (where none has one: of rules that act)
    that is reached; `breadth` counts what it changes.
    """

    kind: Literal["premise", "compare-and-set", "claim", "admission", "dwell", "order"]
    title: str
    how: str
    bad_states: int
    states: int
    is_exhaustive: bool
    attainment: float = 1.0
    attainment_lost: float = 0.0
    breadth: int = 1
    patch: str = ""
    edits: tuple[Edit, ...] = ()

    @property
    def is_safe(self) -> bool:
        """Tell whether nothing bad is left."""
        return not self.bad_states and self.is_exhaustive


class Starving(msgspec.Struct, frozen=True):
    """An agent that gets nowhere."""

    agent: str
    why: str


class Report(msgspec.Struct, frozen=True):
    """The result of a rehearsal.

    `states` are those of all agents together, `explored` with those of the subsets. `bound` says what was seen where it
    was not everything. `follows` says of which subsets nothing was explored since they fall apart into smaller ones.
    """

    world: str
    verdict: str
    outcome: Outcome
    states: int
    explored: int
    agents: tuple[str, ...]
    coordinated: bool
    minimal_agents: tuple[str, ...] | None
    subsets: tuple[SubsetResult, ...]
    counterexample: Trace | None
    fixes: tuple[Fix, ...]
    coverage: Coverage
    never: tuple[str, ...]
    starving: tuple[Starving, ...] = ()
    warned: tuple[str, ...] = ()
    bound: str = ""
    bad_states: int = 0
    is_minimal: bool = True
    notes: tuple[str, ...] = ()

    @property
    def is_safe(self) -> bool:
        """Tell whether nothing was found against it."""
        return self.outcome == "safe"
