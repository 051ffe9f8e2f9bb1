"""What admission is asked and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import msgspec

from comity.coordination.picture import Flight
from comity.journal.world import Acted, Read, Touched

Word = Literal["admit", "trim", "defer", "reject", "escalate", "redundant"]


class Proposal(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A call that wants to touch the world. `call` names it (`TASK/CALL`), `ticket` its reservation.

    `waits` is how often it was deferred already, `allowed` the rules that a person let it pass. `valid_until_us` is
    when the decision behind it ends (0: never). `after_seq` is the last entry of its task's journal: an intent before
    it was of an earlier act, be it under the same ticket. `undoes` is the ticket of the act that it takes back.
    """

    call: str
    ticket: str
    task: str
    actor: str
    tool: str
    args: dict[str, Any]
    waits: int = 0
    reads: tuple[Read, ...] = ()
    caused_by: str = ""
    observation: str = ""
    allowed: frozenset[str] = frozenset()
    valid_until_us: int = 0
    after_seq: int = 0
    undoes: str = ""


class Ruling(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The answer. `rule` is what decided, `remedy` what would make the call admissible: ids, numbers and times only.

    Admitted: `touched` goes into the intent, `flight` is the reservation. Trimmed: `args` are the arguments that would
    pass. Deferred: again at `until_us`, or when the flight `behind` has an outcome.
    """

    word: Word
    rule: str = ""
    reason: str = ""
    remedy: str = ""
    touched: Touched | None = None
    flight: Flight | None = None
    args: dict[str, Any] | None = None
    until_us: int = 0
    behind: str = ""
    fields: tuple[str, ...] = ()


class Objection(msgspec.Struct, frozen=True):
    """What a detector has against an act, and whether it is enforced."""

    detector: str
    reason: str
    is_enforced: bool
    wait_s: float = 0.0


class Watch(Protocol):
    """Detectors, asked before an act is let through."""

    def objections(self, act: Acted) -> Sequence[Objection]:
        """Return what is to be said against an act; changes nothing."""
        ...
