"""Who waits for a state row to change: told by a message in the very unit that changes it, however long that takes.

A waiter's row (`waiter/<namespace/key>|<task>`) stands beside its journaled wait. It is written before the waiter
looks at the row once more, and read before the row is changed: whoever comes second sees the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from comity.journal.unit import Message, OperatorSubject, StateRow, StateWrite, Unit, Wakes

if TYPE_CHECKING:
    from comity.kernel.run import Run

NAMESPACE = "waiter"
KIND = "wake"


def waiting_for(on: str, task: bytes) -> tuple[StateWrite, ...]:
    """Return the write that has `task` told when the state row `on` changes."""
    return (StateWrite(NAMESPACE, f"{on}|{task.hex()}", b"null"),) if on else ()


async def told(run: Run, on: str) -> tuple[tuple[StateWrite, ...], tuple[Message, ...]]:
    """Return what tells all who wait for the state row `on`, to go with the write that changes it."""
    rows = await run.kernel.patient.states(NAMESPACE, f"{on}|")
    return tuple(StateWrite(NAMESPACE, row.key, None) for row in rows), _messages(run, on, rows)


async def tell_late(run: Run, on: str) -> None:
    """Tell those who began to wait while the change of `on` was on its way, and may have looked before it was there."""
    late = _messages(run, on, await run.kernel.patient.states(NAMESPACE, f"{on}|"))
    if late:
        await run.kernel.patient.commit([Unit(OperatorSubject("kernel"), sends=late)])


def _messages(run: Run, on: str, rows: Sequence[StateRow]) -> tuple[Message, ...]:
    tasks = [bytes.fromhex(row.key.rpartition("|")[2]) for row in rows]
    sender = f"{run.row.id.hex()}:{run.ledger.last_seq}"
    return tuple(Message(task, sender, KIND, on, b"null", Wakes.WAITING) for task in tasks if task != run.row.id)
