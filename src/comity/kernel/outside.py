"""Outside programs: each begins by an adoption, which gives it a number, the incarnation; the one before is void.

The number is the version of a state row that each intent of the task requires, so that a program that was replaced
can start nothing, whatever its node has heard by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from comity.core.ids import Id
from comity.journal.unit import GuardFailed, StateIs

if TYPE_CHECKING:
    from comity.kernel.run import Run

INCARNATION = "incarnation"
"""Namespace of the rows whose version is an outside task's incarnation; the key is the task's id in hex."""
DEATHS_MAX = 3
"""So many programs in a row that end without a new entry park the task."""


def incarnation_key(task: Id) -> str:
    """Return the key of a task's row."""
    return task.hex()


def guards(run: Run) -> tuple[StateIs, ...]:
    """Return what an intent requires: that the program which asked is still the task's."""
    if not run.is_outside:
        return ()
    return (StateIs(INCARNATION, incarnation_key(run.row.id), run.ledger.incarnation),)


def is_replaced(failed: object) -> bool:
    """Tell whether an append failed by what `guards` requires."""
    guard = failed.guard if isinstance(failed, GuardFailed) else None
    return isinstance(guard, StateIs) and guard.namespace == INCARNATION
