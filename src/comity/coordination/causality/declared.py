"""What the map needs to know of the world as it was declared. `World` implements `Declared`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from comity.coordination.document import Mode, Relation, Severity
from comity.journal.world import Change


class Influence(msgspec.Struct, frozen=True, omit_defaults=True):
    """A declared dependency between two fields: Δ at `source` means `gain`·Δ at `target` after `lag_s`."""

    source: str
    target: str
    relation: Relation = "derives"
    gain: float = 1.0
    lag_s: float = 0.0


class Bound(msgspec.Struct, frozen=True, omit_defaults=True):
    """An invariant as it stands over certain fields: all of those that it reads."""

    name: str
    fields: tuple[str, ...]
    severity: Severity = "block"
    mode: Mode = "observe"
    holds: str = ""


class Habit(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an agent is declared to read and to touch: field names."""

    agent: str
    reads: tuple[str, ...] = ()
    touches: tuple[str, ...] = ()


class Declared(Protocol):
    """The world as it was declared, as far as the map asks. All answers are in a fixed order."""

    def changes(self, tool: str, args: Mapping[str, Any]) -> Sequence[Change]:
        """Return what a call with these arguments would change; `before` and `after` where they are believed.

        Raises:
            UsageError: the arguments do not fill the tool's templates and expressions.
        """
        ...

    def rests_on(self, tool: str, args: Mapping[str, Any]) -> Sequence[str]:
        """Return the fields that the premises of such a call read."""
        ...

    def is_declared(self, tool: str) -> bool:
        """Return whether anything was declared of what the tool touches (a tool that touches nothing counts)."""
        ...

    def influences(self, field: str) -> Sequence[Influence]:
        """Return the dependencies that lead from the field, one hop."""
        ...

    def bounds(self, field: str) -> Sequence[Bound]:
        """Return the invariants that read the field, with all of their fields filled in."""
        ...

    def habits(self) -> Sequence[Habit]:
        """Return what agents are declared to read and touch; empty where nothing is."""
        ...
