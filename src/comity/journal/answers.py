"""What the kernel's own tools answer: did a call happen (`reconcile`), is its result right (`verify`).

On the wire an answer to *did it happen* is `{"happened": true | false | null, "result": …, "reason": "…"}`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from comity.core.errors import UsageError


class Happened(msgspec.Struct, frozen=True):
    """The call happened: `result` is what it would have returned."""

    result: Any = None
    reason: str = ""
    happened: bool = True


class DidNotHappen(msgspec.Struct, frozen=True):
    """The call is known not to have happened, and may be performed."""

    reason: str = ""
    result: None = None
    happened: bool = False


class Unknown(msgspec.Struct, frozen=True):
    """Nobody can tell whether the call happened: its task is parked for a person."""

    reason: str = ""
    result: None = None
    happened: None = None


Reconciliation = Happened | DidNotHappen | Unknown


def read_reconciliation(value: Any) -> Reconciliation:
    """Return what a `reconcile` tool answered, from its decoded JSON.

    Raises:
        UsageError: it is no such answer; then nobody knows.
    """
    if isinstance(value, dict) and "happened" in value:
        happened, reason = value["happened"], str(value.get("reason") or "")
        if happened is True:
            return Happened(value.get("result"), reason)
        if happened is False:
            return DidNotHappen(reason)
        if happened is None:
            return Unknown(reason)
    raise UsageError(
        "not_a_reconciliation",
        f"a reconcile tool answered `{value!r:.200}`",
        hint="return `Happened(result)`, `DidNotHappen(reason)` or `Unknown(reason)`",
    )


def read_verification(value: Any) -> tuple[bool, str]:
    """Return whether a `verify` tool let a result pass, and why, from its decoded JSON.

    Raises:
        UsageError: it is no such answer; then the result has not passed.
    """
    if isinstance(value, bool):
        return value, ""
    if isinstance(value, dict) and isinstance(value.get("passed"), bool):
        return value["passed"], str(value.get("reason") or "")
    raise UsageError(
        "not_a_verification",
        f"a verify tool answered `{value!r:.200}`",
        hint='return a bool or {"passed": bool, "reason": "…"}',
    )
