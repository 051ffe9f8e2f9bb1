"""*recall*: the kernel's own look into the journal, after the brain's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comity.core.codec import digest
from comity.journal.call import Call
from comity.journal.protocol import Divergence
from comity.journal.recall import asked

if TYPE_CHECKING:
    from comity.kernel.run import Run


async def recall(run: Run, call: Call) -> bool:
    """Answer from the journal what it holds; tell whether it did.

    A call that is under way is joined: its outcome will be delivered once. Another call under the same key is a
    divergence.
    """
    record = run.ledger.by_key.get(call.key)
    if record is None or (record.open and not record.meant and run.here(call.key) not in run.under_way):
        return False
    if record.digest != digest(call.args):
        told = (
            f"{record.key.kind} `{record.key.name}` #{record.key.occurrence} with arguments {record.digest.hex()[:12]}"
        )
        run.diverge(Divergence(record.seq, call.branch, told, asked(call)))
        return True
    if not record.open and not record.cleans:
        run.deliver(record, await run.content(record.result))
    return True
