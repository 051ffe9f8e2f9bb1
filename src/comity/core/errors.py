"""Every error of Comity, on one screen.

An error says what the caller may do: `redo` the same call, `rethink` (ask the model again), or `never`. Programmer
errors are assertions. Control flow derives from `BaseException`, so that a user's `except Exception` cannot swallow
it.
"""

from __future__ import annotations

from typing import Literal

Retry = Literal["redo", "rethink", "never"]


class ComityError(Exception):
    """An error with a stable code, what may be tried, and a way out."""

    retry: Retry = "never"

    def __init__(self, code: str, message: str, *, retry: Retry | None = None, hint: str = "") -> None:
        """Keep `code` (snake case, stable), `message` (lower case, the user's values in backticks) and `hint`."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        if retry is not None:
            self.retry = retry


class UsageError(ComityError):
    """Bad input from a person or a program."""


class StoreError(ComityError):
    """The store cannot do what was asked: unreachable, full, read-only, newer schema."""

    retry: Retry = "redo"


class CommitUnknown(StoreError):
    """The connection was lost during COMMIT; the flusher could not yet read back whether it happened."""


class JournalError(ComityError):
    """A journal that cannot be read, or a call that cannot be journaled."""


class Diverged(JournalError):
    """A resumed agent asked something else than its journal holds; `message` carries the exact difference."""

    retry: Retry = "rethink"


class LeaseError(ComityError):
    """This node no longer owns the task or its own lease."""


class BudgetError(ComityError):
    """A budget does not allow the call, or a price is unknown under a USD budget."""


class GovernanceError(ComityError):
    """A gate refused; `hint` holds what would make the call admissible."""

    retry: Retry = "rethink"


class Refused(GovernanceError):
    """A gate refused the agent's call: `message` is the reason, `hint` what would make it admissible."""

    @property
    def reason(self) -> str:
        """Return why the call was refused."""
        return self.message


class CoordinationError(ComityError):
    """Admission refused."""

    retry: Retry = "rethink"


class HandsError(ComityError):
    """A tool failed, or could not be run."""


class NotHappened(HandsError):
    """Raised by a tool (or given to an agent) where the effect is known *not* to have happened."""

    retry: Retry = "rethink"

    def __init__(self, reason: str) -> None:
        """Keep the reason, which the agent is told."""
        super().__init__("not_happened", reason)


class CallFailed(ComityError):
    """Given to an agent whose call ended without a value."""


class ToolFailed(CallFailed, HandsError):
    """Given to an agent whose tool failed, where that does not mean that nothing happened."""


class TimedOut(CallFailed, TimeoutError):
    """Given to an agent whose wait ended without what it waited for."""


class Suspend(BaseException):
    """Unwinds a brain that has nothing to do until something is delivered; never seen by user code."""


class Stopped(BaseException):
    """Unwinds a call when its task is stopped, cancelled or lost; never seen by user code."""
