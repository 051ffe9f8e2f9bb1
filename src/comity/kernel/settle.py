"""*settle*: the outcome's unit. Durable before it is delivered, for every model call and every effect.

Outcomes of pure and read calls inside our own brains ride with the next append. A business key becomes done or free
in the same unit. An attempt that ended `unknown` is recorded as such, and left in doubt. A late result of a worker
that lost its task becomes evidence.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from comity.core.codec import canonical, decode, digest
from comity.core.errors import JournalError, Stopped
from comity.journal.budget import NO_COST
from comity.journal.call import Attempt, Kind, Status
from comity.journal.entry import Attempted, Outcome, Problem, Verified
from comity.journal.segment import NOTHING, Payload, Segment
from comity.journal.unit import Message, StateWrite
from comity.kernel import children, evidence, once, outside, waiters
from comity.kernel.journal import With, Withheld
from comity.kernel.passage import Passage, is_compensation

WRITES_MAX = 10
"""So often gates may change their mind about what goes with an outcome, because their own rows have changed."""
KILLS_MAX = 3
"""A read whose hand dies so often is not tried again: its agent is told."""


async def settle(passage: Passage, attempt: Attempt) -> bool:
    """Record how an attempt ended; False where the call must be looked at again (it is in doubt, or never started)."""
    run = passage.run
    if attempt.end == "expired":
        return not await _start_again(passage)
    if attempt.end == "unknown" and not passage.acts:
        if passage.tries < KILLS_MAX and not run.ledger.cancel_asked:
            passage.since_s = run.kernel.clock.monotonic_s()
            return False
        attempt = msgspec.structs.replace(attempt, end="failed")
    result, segments = await run.journal.keep(attempt.value) if attempt.end == "done" else (NOTHING, ())
    outcome = _outcome(passage, attempt, result)
    try:
        if passage.record is None:
            await _settle_asked(passage, outcome, attempt, (*passage.segments, *segments))
            return True
        await _append(passage, attempt, outcome, segments)
    except Stopped:
        await evidence.leave(passage, attempt)
        raise
    if outcome.status is Status.UNKNOWN:
        return False
    if outcome.held:
        await verify(passage, attempt.value)
    else:
        run.deliver(passage.record, attempt.value)
    return True


async def _append(passage: Passage, attempt: Attempt, outcome: Outcome, segments: tuple[Segment, ...]) -> None:
    """Write an outcome with what gates and waiters are told; where a gate's record does not fit, ask it again.

    Raises:
        JournalError: it never fits.
    """
    run, item = passage.run, (passage.asked.branch, passage.asked.kind, outcome)
    failed: object = None
    for _ in range(WRITES_MAX):
        writes, sends = await _writes(passage, attempt, outcome)
        failed = await run.journal.append([item], With(state=writes, sends=sends, segments=segments))
        if failed is None:
            await tell_late(passage, writes)
            return
    raise JournalError("not_settled", f"the outcome of `{passage.call.name}` could not be recorded: {failed}")


async def settle_at_once(passage: Passage, outcome: Outcome, value: bytes) -> None:
    """Record an outcome that nothing was performed for, durably, and deliver it."""
    run = passage.run
    await run.journal.append([(passage.asked.branch, passage.asked.kind, outcome)], With(segments=passage.segments))
    _deliver_new(passage, value)


async def verify(passage: Passage, value: bytes) -> None:
    """Let the declared verifier look at a held outcome, then deliver what it leaves of it."""
    run, record, spec = passage.run, passage.record, passage.spec
    assert record is not None
    passed, reason = False, f"verifier of `{record.key.name}` is not in the agent's file"
    if spec is not None and spec.verify:
        args = canonical({"args": decode(await passage.performed_args()), "result": decode(value)})
        looked = await run.clean_up(record, "verify", spec.verify, args)
        if looked is None and run.is_parking:
            return
        passed, reason = _passed(decode(looked[1]) if looked is not None and looked[0] else None)
    writes: tuple[StateWrite, ...] = ()
    sends: tuple[Message, ...] = ()
    if record.once:
        writes, sends = await once_writes(passage, record.result, happened=True, passed=passed)
    extra = With(state=writes, sends=sends)
    await run.journal.append([("", Kind.TASK, Verified(record.seq, passed, reason))], extra)
    await tell_late(passage, writes)
    run.deliver(record, value)


def _passed(answer: object) -> tuple[bool, str]:
    if isinstance(answer, dict):
        return bool(answer.get("passed")), str(answer.get("reason", ""))
    return answer is True, "" if answer is True else "the verifier did not pass the result"


async def _settle_asked(passage: Passage, outcome: Outcome, attempt: Attempt, segments: tuple[Segment, ...]) -> None:
    run = passage.run
    if passage.call.kind == Kind.SPAWN:
        guards = (run.kernel.stops.guard, *outside.guards(run))
        extra = With(guards, spawns=children.made(passage, attempt), segments=segments)
        item = (passage.asked.branch, Kind.SPAWN, outcome)
        failed = await run.journal.append([item], extra, lambda: children.over_budget(passage))
        if isinstance(failed, Withheld):
            if passage.is_dropped:
                return
            run.ask_to_park(failed.verdict.reason, failed.verdict.detail)
            return
        if outside.is_replaced(failed):
            run.mail()
            return
        if failed is not None:
            await run.kernel.refresh_stops()
            run.ask_to_park("stopped", "stopped while starting a child")
            return
    else:
        if passage.call.kind == Kind.TOOL:
            for gate in (run.kernel.authorize, run.kernel.admit):
                reserved = gate.settle(passage.call, attempt, passage.view())
                assert not reserved, "a call without an intent has reserved nothing"
        await run.settle_small(passage.asked.branch, passage.asked.kind, outcome, segments)
    _deliver_new(passage, attempt.value)


def _deliver_new(passage: Passage, value: bytes) -> None:
    """Deliver what stands in one entry with its call; where its history was closed meanwhile, nobody waits for it."""
    passage.record = passage.run.ledger.by_key.get(passage.asked.key)
    if passage.record is not None and not passage.record.open:
        passage.run.deliver(passage.record, value)


async def _start_again(passage: Passage) -> bool:
    """The permit ran out before the attempt started: ask for another; False where none may start now."""
    run, record = passage.run, passage.record
    await run.kernel.wait_for_lease()
    await run.kernel.refresh_stops()
    scope = run.kernel.stops.over(run.scopes)
    if scope:
        run.ask_to_park("stopped", f"`{scope}` is stopped")
    if record is not None:
        why = "the permit ran out before the attempt started"
        await run.journal.append([("", Kind.TASK, Attempted(record.seq, record.attempt, why, starts=False))])
    passage.since_s = run.kernel.clock.monotonic_s()
    return not scope


def _outcome(passage: Passage, attempt: Attempt, result: Payload) -> Outcome:
    record = passage.record
    status = _STATUS[attempt.end]
    problem = None
    if status is not Status.DONE:
        failed = "not_happened" if passage.acts else "failed"
        code = (attempt.code or failed) if status is Status.FAILED else "unknown"
        problem = Problem(code, attempt.error, attempt.hint, "rethink" if status is Status.FAILED else "never")
    held = passage.spec is not None and bool(passage.spec.verify) and status is Status.DONE and not passage.cleans
    return Outcome(
        record.seq if record is not None else 0,
        status,
        result,
        attempt.cost if attempt.cost != NO_COST else None,
        record.attempt if record is not None else passage.tries,
        None if record is not None else passage.asked_entry(),
        problem,
        status is Status.DONE,
        held=held and record is not None,
    )


_STATUS = {"done": Status.DONE, "failed": Status.FAILED, "unknown": Status.UNKNOWN}


async def _writes(
    passage: Passage, attempt: Attempt, outcome: Outcome
) -> tuple[tuple[StateWrite, ...], tuple[Message, ...]]:
    run, record = passage.run, passage.record
    assert record is not None
    view = passage.view()
    writes = [*run.kernel.authorize.settle(passage.call, attempt, view)]
    writes += run.kernel.admit.settle(passage.call, attempt, view)
    sends: tuple[Message, ...] = ()
    if record.once and attempt.end != "unknown" and not outcome.held:
        more, sends = await once_writes(passage, outcome.result, happened=attempt.end == "done")
        writes += more
    if record.cleans and attempt.end == "done" and is_compensation(record.key):
        key = run.ledger.calls[record.cleans].once
        if key:
            more, sends = await waiters.told(run, f"{once.NAMESPACE}/{key}")
            writes += [once.settled(key, None), *more]
    return tuple(writes), sends


async def once_writes(
    passage: Passage, result: Payload, *, happened: bool, passed: bool = True
) -> tuple[tuple[StateWrite, ...], tuple[Message, ...]]:
    """Return what marks the call's business key done, or frees it, and what tells those who wait for it."""
    record, run = passage.record, passage.run
    assert record is not None
    act: once.Act | None = None
    if happened:
        window = once.window_s(passage.spec.once_per) if passage.spec is not None else None
        until_us = None if window is None else run.kernel.clock.wall_us() + window * 1_000_000
        asked = digest(passage.call.args)
        state: Literal["done", "unverified"] = "done" if passed else "unverified"
        act = once.Act(run.row.id, run.label(record.key), asked, state, result, until_us)
    rows, sends = await waiters.told(run, f"{once.NAMESPACE}/{record.once}")
    return (once.settled(record.once, act), *rows), sends


async def tell_late(passage: Passage, writes: tuple[StateWrite, ...]) -> None:
    """Tell who began to wait for a business key while `writes` were on their way."""
    for write in writes:
        if write.namespace == once.NAMESPACE:
            await waiters.tell_late(passage.run, f"{once.NAMESPACE}/{write.key}")
