"""What a tool may say and ask while it is performed: how far it is, and whether it may still begin to act.

Hands set `PERFORMING` around each attempt; authors call the two functions, which do nothing outside of one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import NamedTuple

from comity.core.clock import Clock
from comity.core.errors import NotHappened


class Performing(NamedTuple):
    """The attempt that runs in this context: where its progress goes, and until when it may begin to act."""

    tell: Callable[[str, float | None], None]
    expires_s: float
    clock: Clock

    @property
    def is_over(self) -> bool:
        """Tell whether the permit has run out."""
        return self.clock.monotonic_s() >= self.expires_s


PERFORMING: ContextVar[Performing | None] = ContextVar("comity_performing", default=None)


def report(text: str, fraction: float | None = None) -> None:
    """Tell how far the tool is.

    Args:
        text: One line for people.
        fraction: The part that is done, brought into 0 to 1.
    """
    performing = PERFORMING.get()
    if performing is not None:
        performing.tell(str(text), None if fraction is None else min(max(float(fraction), 0.0), 1.0))


def ensure_permit() -> None:
    """Check the permit once more: for a tool that prepares for seconds, right before it acts.

    Raises:
        NotHappened: The permit ran out; let it pass, and the call is known not to have happened.
    """
    performing = PERFORMING.get()
    if performing is not None and performing.is_over:
        raise NotHappened("the permit ran out before the tool acted")
