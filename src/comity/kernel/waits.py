"""Calls that only wait: timers, signals, questions, children's ends. They hold no worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comity.core.codec import canonical, decode
from comity.core.limits import NEVER_US
from comity.journal.call import Kind, Status
from comity.journal.entry import Outcome, Problem, Waiting
from comity.journal.segment import NOTHING
from comity.journal.task import Wake
from comity.journal.unit import StateWrite
from comity.kernel.journal import With
from comity.kernel.ledger import Record
from comity.kernel.passage import Passage

if TYPE_CHECKING:
    from comity.kernel.run import Run

QUESTION = "question"
_CONDITIONS = {
    Kind.TIMER: Wake.TIMER,
    Kind.SIGNAL: Wake.SIGNAL,
    Kind.HUMAN: Wake.HUMAN,
    Kind.CHILD: Wake.CHILD,
}


async def begin(passage: Passage) -> None:
    """Record that the call waits. A question is durable at once, with its row for people to see; the rest ride."""
    run, call = passage.run, passage.call
    args = decode(call.args) or {}
    seconds = args.get("seconds", args.get("timeout_s"))
    until_us = None if seconds is None else _after_us(run, seconds)
    on = str(args.get("task", "")) if call.kind == Kind.CHILD else ""
    waiting = Waiting(0, _CONDITIONS[Kind(call.kind)], passage.asked_entry(), 0, until_us, on)
    if call.kind == Kind.HUMAN:
        await _ask(passage, waiting, args)
    else:
        await run.journal.ride(call.branch, call.kind, waiting, passage.segments)
    await react(run)


def _after_us(run: Run, seconds: float) -> int:
    now_us = run.kernel.clock.wall_us()
    left_us = NEVER_US - now_us
    return now_us + (left_us if seconds >= left_us / 1e6 else int(seconds * 1e6))


async def _ask(passage: Passage, waiting: Waiting, args: dict[str, object]) -> None:
    run, call = passage.run, passage.call
    at_us = run.kernel.clock.wall_us()

    def row(first_seq: int) -> With:
        return With(state=(_question(run, first_seq, args, at_us),), segments=passage.segments)

    await run.journal.append([(call.branch, call.kind, waiting)], row)


def _question(run: Run, seq: int, args: dict[str, object], asked_us: int) -> StateWrite:
    value = {**args, "agent": run.row.agent, "asked_us": asked_us, "tenant": run.row.tenant}
    return StateWrite(QUESTION, question_key(run.row.id, seq), canonical(value))


def question_key(task: bytes, seq: int) -> str:
    """Return the state key of a question: the task and the call that asks."""
    return f"{task.hex()}/{seq}"


def withdrawn(run: Run, from_seq: int = 0) -> tuple[StateWrite, ...]:
    """Return what withdraws the questions from `from_seq` on, which nobody needs to answer any more."""
    asked = [record for record in _questions(run) if record.seq >= from_seq]
    return tuple(StateWrite(QUESTION, question_key(run.row.id, record.seq), None) for record in asked)


async def asked_again(run: Run, until_seq: int) -> tuple[StateWrite, ...]:
    """Return what shows people the open questions before `until_seq` again, as the task that had ended goes on."""
    asked = [record for record in _questions(run) if record.seq < until_seq]
    return tuple(
        [_question(run, item.seq, decode(await run.content(item.args)) or {}, item.at_us) for item in asked],
    )


def _questions(run: Run) -> list[Record]:
    return [record for record in run.ledger.open_calls() if record.key.kind == Kind.HUMAN]


def is_waiting(record: Record) -> bool:
    """Tell whether an open call waits for time, a message or a person."""
    return record.open and record.waiting is not None and record.waiting.condition != Wake.DEFERRED


async def react(run: Run) -> None:
    """Settle each waiting call whose signal, answer, child or moment has come, oldest first."""
    async with run.reacting:
        for record in [item for item in run.ledger.open_calls() if is_waiting(item)]:
            if run.ledger.by_key.get(record.key) is not record:
                continue
            came = await _came(run, record)
            if came is not None:
                await _settle(run, record, *came)


async def _came(run: Run, record: Record) -> tuple[Status, bytes, str, str] | None:
    kind = record.key.kind
    if kind == Kind.SIGNAL:
        signal = run.ledger.signal_for(record)
        if signal is not None:
            value = decode(await run.content(signal.value))
            return Status.DONE, canonical({"value": value}), "", ""
    elif kind == Kind.HUMAN and record.seq in run.ledger.answers:
        return Status.DONE, await run.content(run.ledger.answers[record.seq].value), "", ""
    elif kind == Kind.CHILD:
        assert record.waiting is not None
        ended = run.ledger.children_ended.get(record.waiting.on)
        if ended is not None and ended["state"] == "succeeded":
            return Status.DONE, canonical(ended.get("result")), "", ""
        if ended is not None:
            return Status.FAILED, b"null", "child_" + ended["state"], ended.get("error") or "the child was cancelled"
    until = record.waiting.until_us if record.waiting else None
    if until is None or until > run.kernel.clock.wall_us():
        return None
    if kind == Kind.TIMER:
        return Status.DONE, b"null", "", ""
    return Status.FAILED, b"null", "timeout", f"nothing came for {kind} `{record.key.name}` in time"


async def _settle(run: Run, record: Record, status: Status, value: bytes, code: str, error: str) -> None:
    payload, segments = await run.journal.keep(value) if status is Status.DONE else (NOTHING, ())
    problem = Problem(code, error, "", "rethink") if code else None
    outcome = Outcome(record.seq, status, payload, problem=problem)
    if record.key.kind == Kind.HUMAN:
        row = StateWrite(QUESTION, question_key(run.row.id, record.seq), None)
        await run.journal.append([(record.key.branch, record.key.kind, outcome)], With(state=(row,), segments=segments))
    else:
        await run.settle_small(record.key.branch, record.key.kind, outcome, segments)
    run.deliver(record, value)


def next_due_us(run: Run) -> int:
    """Return when the earliest waiting call becomes due by time; `NEVER_US` where none does."""
    untils = [
        record.waiting.until_us
        for record in run.ledger.open_calls()
        if record.waiting is not None and record.waiting.until_us is not None and not record.meant
    ]
    return min(untils, default=NEVER_US)


def reason(run: Run) -> str:
    """Return what the task waits for, as its row says it."""
    waits = [record.waiting.condition for record in run.ledger.open_calls() if record.waiting is not None]
    for first in (Wake.HUMAN, Wake.SIGNAL, Wake.CHILD, Wake.TIMER, Wake.DEFERRED):
        if first in waits:
            return str(first)
    return str(Wake.DEFERRED)
