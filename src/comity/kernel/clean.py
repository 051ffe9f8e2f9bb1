"""Clean-up: reconcile, compensate and verify are calls of their own, in branch `~<call>.<generation>/~<what>`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comity.core.codec import decode
from comity.journal.call import Call, Kind, Status
from comity.kernel.ledger import Record
from comity.kernel.passage import passage_of
from comity.kernel.path import recover, travel

if TYPE_CHECKING:
    from comity.kernel.run import Run


async def clean_up(run: Run, record: Record, what: str, tool: str, args: bytes) -> tuple[bool, bytes] | None:
    """Make the clean-up call, or go on with one that a crash left; return (done, result), None if in doubt.

    A settled one that answered the question is not made again; one that failed or knew nothing is asked anew, as the
    next occurrence.
    """
    branch = f"~{record.seq}.{record.generation}/~{what}"
    earlier = [item for item in run.ledger.calls.values() if item.key.branch == branch and item.key.name == tool]
    last = max(earlier, key=lambda item: item.key.occurrence, default=None)
    if last is not None and last.open:
        if not last.meant:
            return None
        await recover(passage_of(run, last, await run.content(last.performed or last.args)))
    elif last is None or not await _answers(run, last, what):
        occurrence = last.key.occurrence + 1 if last is not None else 0
        call = Call(branch, Kind.TOOL, tool, occurrence, args)
        await travel(run, call, record.seq)
        last = run.ledger.by_key.get(call.key)
    if last is None or last.open:
        return None
    return last.status is Status.DONE, await run.content(last.result)


async def _answers(run: Run, record: Record, what: str) -> bool:
    if record.status is not Status.DONE:
        return False
    if what != "reconcile":
        return True
    answer = decode(await run.content(record.result))
    return isinstance(answer, dict) and answer.get("happened") is not None
