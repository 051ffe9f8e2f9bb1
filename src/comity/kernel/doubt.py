"""Calls in doubt (promise P2): nothing is guessed; each effect class has one way out.

A call is in doubt when it was meant and nobody knows how it ended: a crash, or an attempt that ended `unknown`. By
then its attempt can no longer run (its hand is gone or its permit and lease ran out before anybody else could take
the task).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from comity.core.codec import canonical, decode
from comity.journal.budget import NO_COST, Cost
from comity.journal.call import Kind
from comity.journal.entry import Attempted, Body, Resolved
from comity.journal.segment import NOTHING, Payload, Segment
from comity.journal.spec import Effect
from comity.journal.unit import Message, StateWrite
from comity.kernel.journal import With
from comity.kernel.ledger import Record
from comity.kernel.passage import Passage
from comity.kernel.settle import once_writes, tell_late

if TYPE_CHECKING:
    from comity.kernel.run import Run

AGAIN_S = 0.5
AGAIN_S_MAX = 30.0
"""The pause before an idempotent call is made once more that has ended unknown again; it doubles with each."""
THOUGHTS_MAX = 3
"""A model whose stream breaks so often in a row is not asked again: its agent is told."""


async def resolve(passage: Passage) -> bool:
    """Resolve a doubt by the call's class; True: perform (again), False: it is settled or parked."""
    record = passage.record
    if record is None:
        return not passage.run.ledger.cancel_asked
    if record.idle and _is_cancelled(passage):
        return await conclude(passage, "not_happened", "kernel", (NOTHING, ()), "cancelled before it began")
    if record.idle:
        body = Attempted(record.seq, record.attempt + 1, "the earlier attempt never started")
        return await _allowed(passage, body, With(), starts=True)
    if await settled_by_evidence(passage) or await settled_by_person(passage):
        return passage.again
    if _is_cancelled(passage):
        return False
    if record.key.kind == Kind.MODEL:
        return await _think_again(passage)
    if passage.spec is not None and passage.spec.visible_within_s > 0:
        await passage.run.kernel.clock.sleep(passage.spec.visible_within_s)
    effect = passage.effect or Effect.IRREVERSIBLE
    if passage.spec is None or effect is not record.effect:
        return _to_a_person(passage, "the tool is no longer declared as it was when it was called")
    if effect is Effect.IDEMPOTENT:
        return await _same_key(passage)
    if effect is Effect.RECONCILABLE:
        return await _reconcile(passage)
    if effect is Effect.REVERSIBLE:
        return await _compensate(passage)
    return _to_a_person(passage, f"`{record.key.name}` is irreversible")


def _is_cancelled(passage: Passage) -> bool:
    """Tell whether the call's task is cancelled: its doubts stay as they are, what is reversible is compensated."""
    return passage.run.ledger.cancel_asked and not passage.cleans


async def settled_by_person(passage: Passage) -> bool:
    """Take what a person said happened; tell whether somebody did. `passage.again` says whether to perform."""
    run, record = passage.run, passage.record
    assert record is not None
    said = run.ledger.resolutions.get(record.seq)
    if said is None:
        return False
    payload, segments = await run.journal.keep(canonical(said.get("result")))
    verdict = str(said["verdict"])
    if verdict == "again" and run.ledger.cancel_asked:
        verdict = "not_happened"  # nothing is performed for a cancelled task
    await conclude(passage, verdict, str(said.get("by", "")), (payload, segments), str(said.get("note", "")))
    return True


async def settled_by_evidence(passage: Passage) -> bool:
    """Take a late result that its former worker left; tell whether there is one."""
    record = passage.record
    assert record is not None
    found = record.evidence
    if found is None or found.end == "unknown":
        return False
    verdict = "happened" if found.end == "done" else "not_happened"
    await conclude(passage, verdict, f"evidence of epoch {found.epoch}", (found.result, ()), found.error, found.cost)
    return True


async def conclude(
    passage: Passage,
    verdict: str,
    by: str,
    result: tuple[Payload, tuple[Segment, ...]],
    note: str = "",
    cost: Cost = NO_COST,
) -> bool:
    """Write how a doubt ended, and deliver it unless the call is to be performed again."""
    run, record = passage.run, passage.record
    assert record is not None
    passage.again = False
    again = verdict == "again"
    word: Literal["again", "happened", "not_happened"] = "not_happened"
    if again or verdict == "happened":
        word = "again" if again else "happened"
    body = Resolved(record.seq, word, by, result[0], record.generation + 1 if again else 0, note, cost)
    writes: tuple[StateWrite, ...] = ()
    sends: tuple[Message, ...] = ()
    if record.once and not again:
        writes, sends = await once_writes(passage, result[0], happened=word == "happened")
    value = await run.content(result[0], result[1])
    if not await _allowed(passage, body, With(state=writes, sends=sends, segments=result[1]), starts=again):
        return False
    await tell_late(passage, writes)
    passage.again = again
    if not again:
        run.deliver(record, value)
    return again


async def _allowed(passage: Passage, body: Body, extra: With, *, starts: bool) -> bool:
    """Append; where an attempt is to start, under the stop guard. False where the task is stopped."""
    run = passage.run
    while True:
        guards = (run.kernel.stops.guard,) if starts else ()
        failed = await run.journal.append(
            [("", Kind.TASK, body)],
            With(guards, extra.state, sends=extra.sends, segments=extra.segments),
            passage.expect_start if starts else None,
        )
        if failed is None:
            return True
        await run.kernel.refresh_stops()
        scope = run.kernel.stops.over(run.scopes)
        if scope:
            run.ask_to_park("stopped", f"`{scope}` is stopped")
            return False


async def _think_again(passage: Passage) -> bool:
    record = passage.record
    assert record is not None
    if passage.tries >= THOUGHTS_MAX:
        await conclude(passage, "not_happened", "kernel", (NOTHING, ()), record.unknown or "the model gave no answer")
        return False
    over = passage.over_budget(is_counted=True)
    if over is not None:
        passage.run.ask_to_park(over.reason, over.detail)
        return False
    body = Resolved(record.seq, "again", "kernel", generation=record.generation, cost=record.reserve)
    return await _allowed(passage, body, With(), starts=True)


async def _same_key(passage: Passage) -> bool:
    run, record, spec = passage.run, passage.record, passage.spec
    assert record is not None
    assert spec is not None
    age_s = (run.kernel.clock.wall_us() - record.at_us) / 1e6
    if spec.key_window_s and age_s > spec.key_window_s:
        return _to_a_person(
            passage, f"the provider forgets keys after {spec.key_window_s:g} s, {age_s:.0f} s have passed"
        )
    if passage.tries > 1:
        await run.kernel.clock.sleep(min(AGAIN_S * 2 ** (passage.tries - 2), AGAIN_S_MAX))
    body = Attempted(record.seq, record.attempt + 1, "idempotent: again with the same key")
    return await _allowed(passage, body, With(), starts=True)


async def _reconcile(passage: Passage) -> bool:
    run, record, spec = passage.run, passage.record, passage.spec
    assert record is not None
    assert spec is not None
    looked = await run.clean_up(record, "reconcile", spec.reconcile, await passage.performed_args())
    told = decode(looked[1]) if looked is not None and looked[0] else None
    answer: dict[str, Any] = told if isinstance(told, dict) else {}
    happened = answer.get("happened")
    if happened is True:
        result = canonical(answer.get("result"))
        return await conclude(passage, "happened", spec.reconcile, await run.journal.keep(result))
    if happened is False:
        return await conclude(passage, "again", spec.reconcile, (NOTHING, ()), str(answer.get("reason", "")))
    return _to_a_person(passage, f"`{spec.reconcile}` could not tell whether `{record.key.name}` happened")


async def _compensate(passage: Passage) -> bool:
    run, record = passage.run, passage.record
    assert record is not None
    if await compensate(passage.run, record, passage):
        return await conclude(passage, "again", passage.spec.compensate if passage.spec else "", (NOTHING, ()))
    if not run.is_parking:
        run.ask_to_park("compensation_blocked", f"`{record.key.name}` could not be undone")
    return False


async def compensate(run: Run, record: Record, passage: Passage) -> bool:
    """Undo a call by its compensation, a journaled call of its own; True when it is undone."""
    spec = passage.spec
    if spec is None or not spec.compensate:
        return False
    result = decode(await run.content(record.result)) if record.status == "done" else None
    args = canonical({"args": decode(await passage.performed_args()), "result": result})
    undone = await run.clean_up(record, "compensate", spec.compensate, args)
    return undone is not None and undone[0]


def _to_a_person(passage: Passage, why: str) -> bool:
    record = passage.record
    assert record is not None
    if record.cleans:
        return False
    passage.run.needs_person(record, why)
    return False
