"""A process of a rehearsal: an agent, the surroundings, the network. Its state is a number; it says how it may move.

What a move does depends on the shared state and on the process's own state alone, so moves are computed once for each
pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from comity.core.expression import Expression, Value
from comity.journal.world import FieldValue
from comity.rehearsal.model import Write
from comity.rehearsal.space import Shared

StepKind = Literal["think", "act", "refused", "move", "land", "drop"]


class Resting(NamedTuple):
    """A premise of an act, by place."""

    place: int
    holds: Expression
    names: tuple[tuple[str, Value], ...]


class Act(NamedTuple):
    """What an agent has decided to do: a tool's call, and what it comes to."""

    rule: int
    tool: str
    args: tuple[tuple[str, FieldValue], ...]
    writes: tuple[Write, ...] = ()
    premises: tuple[Resting, ...] = ()

    @property
    def places(self) -> frozenset[int]:
        """Return what it touches."""
        return frozenset(write.place for write in self.writes)


class Label(NamedTuple):
    """What a move is: its kind, the act that it is of, the fault in it, what refused it, the places that were read."""

    kind: StepKind
    act: Act | None = None
    fault: str = ""
    rule: str = ""
    places: tuple[int, ...] = ()


class Move(NamedTuple):
    """A step to another shared state and another state of the process."""

    shared: int
    local: int
    label: Label


class Footprint(NamedTuple):
    """What a process may ever read, and write."""

    reads: frozenset[int]
    writes: frozenset[int]


class Process(Protocol):
    """Something that moves."""

    name: str
    start: int
    is_agent: bool
    has_goal: bool

    def moves(self, shared: int, local: int) -> Sequence[Move]:
        """Return how it may move."""
        ...

    def footprint(self) -> Footprint:
        """Return what it may ever read and write."""
        ...

    def is_pending(self, local: int) -> bool:
        """Tell whether it has thought and not acted."""
        ...

    def spent(self, local: int) -> int:
        """Return how many of its moves are used up; only these may differ where a loop has closed."""
        ...

    def without_count(self, local: int) -> object:
        """Return its own state without how often it has moved."""
        ...

    def left(self, local: int) -> int:
        """Return how many moves it has left."""
        ...

    def reaches_goal(self, shared: Shared, local: int) -> bool:
        """Tell whether it has what it wants; asked only where it has a goal."""
        ...


class Judged(NamedTuple):
    """What admission says of a proposed act; `trim` comes with the act as it may be."""

    verdict: Literal["admit", "trim", "refuse"]
    rule: str = ""
    act: Act | None = None


class Admitter(Protocol):
    """Admission, as a rehearsal needs it."""

    def judge(self, state: Shared, act: Act, agent: str) -> Judged:
        """Judge an act with everything that is in flight."""
        ...
