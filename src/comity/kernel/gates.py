"""*shape*, *authorize*, *admit*: what is judged before a call is meant, and what becomes of one that is turned away.

Fail closed: a gate that raises refuses. Stop, lease and budget are the kernel's own and stand before any gate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from comity.core.codec import decode
from comity.core.errors import ComityError
from comity.journal.call import Call, Kind, Status
from comity.journal.entry import Context, Outcome, Problem, Waiting
from comity.journal.envelope import ENVELOPE
from comity.journal.ports import Gate
from comity.journal.segment import head_after
from comity.journal.verdict import Allow, Park, Redundant, Refuse, Trim, Verdict, Wait
from comity.kernel import budget, origin
from comity.kernel.journal import With
from comity.kernel.passage import Passage, passage_for
from comity.kernel.settle import settle_at_once
from comity.kernel.waiters import waiting_for

if TYPE_CHECKING:
    from comity.kernel.run import Run

WHY_CHARS_MAX = 500
"""So much of what a gate says is kept with each wait."""
_ALLOW = Allow()


async def shape(run: Run, call: Call, cleans: int) -> Passage:
    """Put the envelope into a model call, and find out what the call may cost at most."""
    if call.kind != Kind.MODEL:
        return await passage_for(run, call, cleans)
    shaped = await run.kernel.shaper.shape(call, run.view(None))
    passage = await passage_for(run, call, cleans)
    passage.call = shaped
    new = tuple(item.sha256 for item in shaped.segments)
    head = head_after(shaped.base, new)
    if head.hex() != decode(shaped.args)["head"] or not run.knows(shaped.base):
        raise ComityError("unknown_context", f"the context of model call `{call.name}` does not add up to its head")
    passage.context = Context(head, shaped.base, new)
    run.learn(passage.context, shaped.segments)
    passage.segments = (*passage.segments, *await run.keep_early(shaped.segments))
    return passage


async def authorize(passage: Passage) -> Verdict:
    """Judge by stop, budget and grant."""
    run = passage.run
    scope = run.kernel.stops.over(run.scopes)
    if scope:
        return Park("stopped", f"`{scope}` is stopped")
    over = await _over_budget(passage)
    if over is not None:
        return over
    verdict = await _judged(run.kernel.authorize, passage)
    if type(verdict) is Allow and run.ledger.is_rehearsed and passage.acts and passage.effect is not None:
        return await origin.answer(passage)
    return verdict


async def admit(passage: Passage) -> Verdict:
    """Judge the call's touches, counting everything in flight."""
    verdict = await _judged(passage.run.kernel.admit, passage)
    if type(verdict) is Allow:
        passage.allowed = verdict
    return verdict


async def turned_away(passage: Passage, verdict: Verdict | None) -> bool:
    """Do what a verdict other than *allow* says (None: judge anew); tell whether the call's way ends here."""
    run = passage.run
    if verdict is None:
        return False
    if type(verdict) is Trim:
        passage.call = msgspec.structs.replace(passage.call, args=verdict.args)
        return False
    if type(verdict) is Wait:
        await _wait(passage, verdict)
        return False
    if type(verdict) is Refuse:
        problem = Problem(verdict.code, verdict.reason, verdict.remedy, verdict.retry)
        refused = Outcome(0, Status.REFUSED, asked=passage.asked_entry(), problem=problem, happened=False)
        await settle_at_once(passage, refused, b"null")
    elif type(verdict) is Redundant:
        payload, segments = await run.journal.keep(verdict.value)
        passage.segments = (*passage.segments, *segments)
        same = Outcome(0, Status.DONE, payload, asked=passage.asked_entry(), same_as=verdict.reason)
        await settle_at_once(passage, same, verdict.value)
    elif type(verdict) is Park:
        run.ask_to_park(verdict.reason, verdict.detail)
    return True


async def _judged(gate: Gate, passage: Passage) -> Verdict:
    try:
        return await gate.judge(passage.call, passage.view(), passage.run.kernel.clock.wall_us())
    except Exception as error:  # a gate that fails refuses (promise P4)
        passage.run.kernel.log(f"a gate could not judge `{passage.call.name}`: {error!r}", passage.run.row.id)
        return Refuse("gate_failed", f"a gate could not judge: {type(error).__name__}", "see the node's log", "redo")


async def _over_budget(passage: Passage) -> Verdict | None:
    run = passage.run
    if passage.limits is not None and passage.context is not None:
        args = decode(passage.call.args)
        wanted = int(args.get("params", {}).get("max_tokens") or passage.limits.output_tokens_max)
        size, messages = await run.contexts.size(passage.context, args.get("tools", ()))
        size += len(args.get("rest", "")) + len(args.get(ENVELOPE, "").encode())
        passage.reserve = budget.model_reserve(passage.limits, size, messages, wanted)
        if run.ledger.budget.usd_micro is not None and passage.limits.usd_per_mtok_in is None:
            return Refuse(
                "unknown_price",
                f"the price of model `{passage.call.name}` is unknown and the task has a budget in USD",
                f'add [prices."{passage.call.name}"] with usd_per_mtok_in and usd_per_mtok_out to comity.toml',
                "never",
            )
        over = budget.over_context(run.ledger.budget, passage.limits, passage.reserve.tokens_in + wanted)
        if over is not None:
            return over
    return passage.over_budget()


async def _wait(passage: Passage, verdict: Wait) -> None:
    run = passage.run
    passage.waits += 1
    why = verdict.reason[:WHY_CHARS_MAX]
    waiting = Waiting(
        0, "deferred", passage.asked_entry(), passage.waits, verdict.until_us, verdict.on, passage.context, why
    )
    await run.journal.append(
        [(passage.asked.branch, passage.asked.kind, waiting)],
        With(state=waiting_for(verdict.on, run.row.id), segments=passage.segments),
    )
    passage.waited = run.ledger.by_key.get(passage.asked.key)
    await run.deferred(passage, verdict)
