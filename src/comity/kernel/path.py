"""The call path: every action of every agent is one call through the same seven steps.

recall → shape → authorize → admit → intend → perform → settle
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from comity.journal.call import Call, Kind
from comity.journal.verdict import Allow, Verdict
from comity.kernel import waits
from comity.kernel.doubt import resolve
from comity.kernel.gates import admit, authorize, shape, turned_away
from comity.kernel.intend import intend
from comity.kernel.passage import Passage
from comity.kernel.perform import perform
from comity.kernel.recall import recall
from comity.kernel.settle import settle

if TYPE_CHECKING:
    from comity.kernel.run import Run


async def travel(run: Run, call: Call, cleans: int = 0) -> Passage | None:
    """Take one call through the seven steps; return its passage, None where the journal holds it already."""
    if await recall(run, call):
        return None
    passage = await shape(run, call, cleans)
    await mean_and_finish(passage)
    return passage


async def mean_and_finish(passage: Passage) -> None:
    """Go on from *authorize*; after a wait, a trim or a failed guard the path starts again there."""
    verdict: Verdict | None
    while not passage.is_meant:
        if passage.is_dropped:
            return
        verdict = await authorize(passage)
        if type(verdict) is Allow:
            verdict = await admit(passage)
        if type(verdict) is Allow:
            verdict = await intend(passage)
        if type(verdict) is not Allow and await turned_away(passage, verdict):
            return
    if Kind(passage.call.kind).waits:
        await waits.begin(passage)
        return
    try:
        await finish(passage)
    finally:
        passage.run.reading -= passage.is_reading


async def finish(passage: Passage) -> None:
    """Perform and settle, and again for as long as the doubt that is left resolves to *perform again*."""
    while True:
        attempt = await perform(passage)
        if await settle(passage, attempt):
            return
        if not await resolve(passage):
            return


async def recover(passage: Passage) -> None:
    """Go on with a call that a crash left in doubt."""
    if await resolve(passage):
        await finish(passage)
