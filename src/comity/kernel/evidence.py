"""Evidence: what a former owner knows of an attempt. It is no append, and resolves the doubt (promise P1)."""

from __future__ import annotations

from comity.core.codec import canonical, decode
from comity.core.errors import StoreError
from comity.journal.call import Attempt
from comity.journal.unit import Message, OperatorSubject, Unit, Wakes
from comity.kernel.passage import Passage

KIND = "evidence"


async def leave(passage: Passage, attempt: Attempt) -> None:
    """Send a late result to the task's inbox, for its owner; a store out of reach loses it, the doubt stays."""
    record, run = passage.record, passage.run
    if record is None or attempt.end in ("unknown", "expired"):
        return
    value = {
        "call": record.seq,
        "attempt": record.attempt,
        "epoch": run.row.epoch,
        "end": attempt.end,
        "result": decode(attempt.value),
        "error": attempt.error,
        "cost": [attempt.cost.tokens_in, attempt.cost.tokens_out, attempt.cost.usd_micro],
    }
    sender = f"evidence:{record.seq}:{record.attempt}:{run.row.epoch}"
    message = Message(run.row.id, sender, KIND, str(record.seq), canonical(value), Wakes.PARKED)
    try:
        await run.kernel.store.commit([Unit(OperatorSubject("former owner"), sends=(message,))])
    except StoreError as error:
        run.kernel.log(f"a late result of call {record.seq} could not be kept: {error.message}", run.row.id)
