"""What an ended call means to its agent: a value, or an exception that says what may be tried."""

from __future__ import annotations

from typing import Any

from comity.core.codec import decode
from comity.core.errors import CallFailed, ComityError, NotHappened, Refused, TimedOut, ToolFailed
from comity.journal.call import Delivered, Kind, Status


def value_of(kind: str, name: str, delivered: Delivered | None) -> Any:
    """Return the value of a call that is done.

    Raises:
        Refused: a gate did not let it pass.
        NotHappened: a tool failed, and its effect is known not to have happened.
        ToolFailed: a tool failed otherwise.
        TimedOut: a wait ended without what was waited for.
        CallFailed: any other call failed.
    """
    assert delivered is not None, "an outcome that is delivered has a value or an error"
    if delivered.status is Status.DONE:
        return decode(delivered.value)
    error = _error(kind, name, delivered)
    error.retry = delivered.retry
    error.hint = delivered.hint
    raise error


def _error(kind: str, name: str, delivered: Delivered) -> ComityError:
    code = delivered.code or delivered.status.value
    text = delivered.error or f"{kind} `{name}` ended {delivered.status.value}"
    if delivered.status is Status.REFUSED:
        return Refused(code, text)
    if code == "not_happened":
        return NotHappened(text)
    if code == "timeout":
        return TimedOut(code, text)
    return ToolFailed(code, text) if kind == Kind.TOOL else CallFailed(code, text)
