"""What admission is asked and what it answers."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from comity.coordination.picture import Flight
from comity.journal.world import Read, Touched

Word = Literal["admit", "trim", "defer", "reject", "escalate", "redundant"]


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A call that wants to touch the world. `call` names it (`TASK/CALL`), `ticket` its reservation.

    `waits` is how often it was deferred already, `allowed` the rules that a person let it pass. `valid_until_us` is
    when the decision behind it ends (0: never). `after_seq` is the last entry of its task's journal: an intent before
    it was of an earlier act, be it under the same ticket.
    """

    call: str
    ticket: str
    task: str
    actor: str
    tool: str
    args: dict[str, Any]
    tenant: str = "default"
    waits: int = 0
    reads: tuple[Read, ...] = ()
    caused_by: str = ""
    observation: str = ""
    allowed: frozenset[str] = frozenset()
    valid_until_us: int = 0
    after_seq: int = 0


class Ruling(msgspec.Struct, frozen=True, kw_only=True):
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
