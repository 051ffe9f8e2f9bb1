"""Who waits for a state row to change: told by a message in the very unit that changes it, however long that takes.

A waiter's row (`waiter/<namespace/key>|<task>`) stands beside its journaled wait. It is written before the waiter
looks at the row once more, and read before the row is changed: whoever comes second sees the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from comity.journal.unit import Message, StateWrite, Wakes

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
    tasks = [bytes.fromhex(row.key.rpartition("|")[2]) for row in rows]
    sender = f"{run.row.id.hex()}:{run.ledger.last_seq}"
    messages = tuple(Message(task, sender, KIND, on, b"null", Wakes.WAITING) for task in tasks if task != run.row.id)
    return tuple(StateWrite(NAMESPACE, row.key, None) for row in rows), messages
