"""What a gate answers, and the values that it may attach to the intent's transaction."""

from __future__ import annotations

from typing import Protocol

import msgspec

from comity.core.errors import Retry
from comity.journal.unit import Guard, StateWrite
from comity.journal.world import Touched


class Hold(Protocol):
    """A tentative reservation: exactly one of the two methods is called, once."""

    def confirm(self, position: int) -> None:
        """The intent is durable as entry `position` of its task."""
        ...

    def release(self, reason: str) -> None:
        """The intent was not written."""
        ...


class Allow(msgspec.Struct, frozen=True):
    """Go on: check `guards` and write `records` in the intent's transaction; confirm or release `holds`.

    `touched` is what the call may do to the shared world; the intent keeps it.
    """

    guards: tuple[Guard, ...] = ()
    records: tuple[StateWrite, ...] = ()
    holds: tuple[Hold, ...] = ()
    touched: Touched | None = None


class Trim(msgspec.Struct, frozen=True):
    """Go back to *authorize* with these arguments (canonical JSON)."""

    args: bytes
    reason: str


class Wait(msgspec.Struct, frozen=True):
    """Try again from *authorize* at `until_us`, or when state row `on` (`namespace/key`) is no longer at `seen`."""

    reason: str
    until_us: int | None = None
    on: str = ""
    seen: int = 0


class Refuse(msgspec.Struct, frozen=True):
    """The call is not performed; `remedy` says what would make it admissible."""

    code: str
    reason: str
    remedy: str = ""
    retry: Retry = "rethink"


class Redundant(msgspec.Struct, frozen=True):
    """The same act was done already: answer with its outcome (canonical JSON)."""

    value: bytes
    reason: str


class Park(msgspec.Struct, frozen=True):
    """The whole task stops here until a person changes something (`over_budget`, `over_context`, `stopped`)."""

    reason: str
    detail: str


Verdict = Allow | Trim | Wait | Refuse | Redundant | Park
