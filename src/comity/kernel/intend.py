"""*intend*: one transaction checks the guards and writes the intent; durable before anything is performed.

Pure and read calls, and calls that only wait or note, need no durable intent: their guards are checked against the
node's copy.
"""

from __future__ import annotations

import msgspec

from comity.core.codec import decode, digest
from comity.core.errors import Stopped, UsageError
from comity.core.ids import show_id
from comity.journal.entry import Intent
from comity.journal.unit import StateIs, StateRow, StateWrite
from comity.journal.verdict import Redundant, Refuse, Verdict, Wait
from comity.kernel import once, origin, outside, stops
from comity.kernel.journal import With, Withheld
from comity.kernel.passage import Passage


async def intend(passage: Passage) -> Verdict | None:
    """Write the intent: *allow* once durable, another verdict where the key is taken, None to look again."""
    run = passage.run
    passage.expect_start()
    if not passage.acts:
        if not run.kernel.lease.may_start():
            await run.kernel.wait_for_lease()
            return None
        return _read(passage)
    if passage.spec is None or not passage.spec.once or passage.cleans:
        return await _write(passage, "", None)
    try:
        key = once.key_of(passage.spec, passage.call.args, await origin.root(run), run.row.session, run.row.tenant)
    except UsageError as error:
        return Refuse(error.code, error.message, error.hint)
    act = once.Act(run.row.id, run.label(passage.asked.key), digest(passage.call.args), "held")
    return await _write(passage, key, act)


def _read(passage: Passage) -> Verdict:
    """Allow what needs no intent; a read is counted from now, since those under way count against the budget."""
    over = passage.over_budget()
    if over is not None:
        return over
    if passage.effect is not None and not passage.cleans:
        passage.is_reading = True
        passage.run.reading += 1
    passage.is_meant = True
    return passage.allowed


async def _write(passage: Passage, key: str, act: once.Act | None) -> Verdict | None:
    run = passage.run
    intent = await _intent(passage, key)
    found: StateRow | None = None
    while True:
        claim = () if act is None else (once.held(key, act, found),)
        guards = (run.kernel.stops.guard, *outside.guards(run), *passage.allowed.guards)
        extra = With(guards, (*claim, *passage.allowed.records), segments=passage.segments)
        try:
            failed = await run.journal.append(
                [(passage.asked.branch, passage.asked.kind, intent)], extra, passage.withheld
            )
        except Stopped:
            _release(passage, "the task was lost")
            raise
        if failed is None:
            _confirm(passage)
            return passage.allowed
        if isinstance(failed, Withheld):
            _release(passage, failed.verdict.detail)
            return None if passage.is_dropped else failed.verdict
        if act is not None and isinstance(failed.guard, StateWrite) and failed.guard.namespace == once.NAMESPACE:
            found = failed.found
            if found is None or once.is_over(once.read_act(found.value), run.kernel.clock.wall_us()):
                continue
            _release(passage, "the business key is taken")
            return await _taken(passage, act, found)
        _release(passage, "a guard failed")
        if outside.is_replaced(failed):
            run.mail()
            passage.is_replaced = True
            return None
        if isinstance(failed.guard, StateIs) and failed.guard.namespace == stops.NAMESPACE:
            await run.kernel.refresh_stops()
        return None


async def _intent(passage: Passage, key: str) -> Intent:
    run = passage.run
    intent = Intent(
        passage.asked_entry(),
        str(passage.effect) if passage.effect else "",
        reserve=passage.reserve,
        consumed=passage.asked.consumed,
        once=key,
        context=passage.context,
        cleans=passage.cleans,
        touched=passage.allowed.touched,
    )
    if passage.call.args == passage.asked.args:
        return intent
    args, segments = await run.journal.keep(passage.call.args)
    passage.segments = (*passage.segments, *segments)
    return msgspec.structs.replace(intent, performed=digest(passage.call.args), args=args)


def _confirm(passage: Passage) -> None:
    passage.record = passage.run.ledger.by_key[passage.asked.key]
    passage.is_meant = True
    for hold in passage.allowed.holds:
        hold.confirm(passage.record.seq)


def _release(passage: Passage, why: str) -> None:
    for hold in passage.allowed.holds:
        hold.release(why)


async def _taken(passage: Passage, mine: once.Act, found: StateRow) -> Verdict:
    """The same act was begun already: answer with its outcome, wait for it, or refuse other arguments under its key."""
    run = passage.run
    first = once.read_act(found.value)
    if first.digest != mine.digest:
        where = "in this task" if first.task == run.row.id else f"in task `{show_id(first.task)}`"
        reason = f"the same act was asked with other arguments {where} ({first.call})"
        came = decode(await run.content(first.result)) if first.state != "held" else "not known yet"
        return Refuse("other_arguments", reason, f"the first act came to: {came}; keep its arguments, or name another")
    if first.state == "held":
        return Wait("the same act is under way", on=f"{once.NAMESPACE}/{found.key}", seen=found.version)
    if first.state == "unverified":
        reason = f"the same act was done, and its result was not verified ({first.call})"
        return Refuse("verification_failed", reason, "look at what the first act came to, or name another")
    return Redundant(await run.content(first.result), f"{show_id(first.task)}/{first.call}")
