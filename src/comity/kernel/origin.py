"""Rehearsed forks: effects behind the fork point are answered from the origin's journal, never performed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comity.core.codec import digest
from comity.core.ids import Id, show_id
from comity.journal.call import Status
from comity.journal.entry import Created, Outcome
from comity.journal.verdict import Redundant, Refuse, Verdict
from comity.kernel.ledger import Ledger
from comity.kernel.passage import Passage

if TYPE_CHECKING:
    from comity.kernel.run import Run


async def root(run: Run) -> Id:
    """Return the id under which the task's own business keys are kept: that of the first of all forks' origins."""
    if not run.root:
        found, created = run.row.id, run.ledger.created
        while created is not None and created.forked_from:
            found = created.forked_from
            first = (await run.kernel.patient.load(found))[0].read()
            created = first if isinstance(first, Created) else None
        run.root = found
    return run.root


async def answer(passage: Passage) -> Verdict:
    """Answer an effect with what the origin's same call came to; refuse where the origin never made it."""
    run = passage.run
    created = run.ledger.created
    assert created is not None
    if run.origin_ledger is None:
        run.origin_ledger = Ledger(created.forked_from).replay(await run.kernel.patient.load(created.forked_from))
        run.answered.update(await _answered_before(run, created.forked_from))
    asked = digest(passage.call.args)
    for record in run.origin_ledger.calls.values():
        same = record.key.name == passage.call.name and record.digest == asked and record.seq not in run.answered
        if same and record.seq > created.forked_at and record.status is Status.DONE and not record.cleans:
            run.answered.add(record.seq)
            return Redundant(await run.content(record.result), f"{show_id(created.forked_from)}/{record.seq}")
    return Refuse(
        "rehearsed",
        f"this task is a rehearsed fork, and its origin never made this call of `{passage.call.name}`",
        "fork with --live to perform effects",
        "never",
    )


async def _answered_before(run: Run, origin: Id) -> list[int]:
    """Return the origin's calls with which earlier lives of this fork were answered."""
    whose, found = f"{show_id(origin)}/", []
    for item in await run.kernel.patient.load(run.row.id):
        body = item.read() if item.phase == "outcome" else None
        if isinstance(body, Outcome) and body.same_as.startswith(whose):
            found.append(int(body.same_as.removeprefix(whose)))
    return found
