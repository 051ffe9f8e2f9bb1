"""How a run begins: the journal is folded, mail taken, calls in doubt resolved, waits armed, the brain started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from comity.core.codec import canonical, decode
from comity.core.errors import ComityError, UsageError
from comity.journal.budget import Cost
from comity.journal.call import Kind
from comity.journal.entry import Body, Context, Evidence, Incarnated, Received, Reopened, Rethought
from comity.journal.protocol import Finished, Recorded, Start
from comity.journal.segment import EMPTY_HEAD, Segment
from comity.journal.task import Wake
from comity.journal.unit import Message
from comity.kernel import evidence, outside, session, waits
from comity.kernel.journal import Item, With
from comity.kernel.ledger import Record
from comity.kernel.passage import Passage, passage_of
from comity.kernel.path import mean_and_finish, recover
from comity.kernel.settle import verify

if TYPE_CHECKING:
    from comity.kernel.run import Run

DEATHS_MAX = 3
"""So many deaths of a brain in a row without a new entry park the task."""


async def open_run(run: Run) -> None:
    """Bring a taken task back to where it stood, and go on."""
    ledger = run.ledger.replay(await run.kernel.patient.load(run.row.id))
    for context in ledger.contexts.values():
        run.learn(context, ())
    try:
        program = await run.kernel.programs.find(run.row.agent)
    except UsageError as error:
        run.ask_to_park("stalled", f"{error.message}; {error.hint}" if error.hint else error.message)
        return
    run.agent = program.agent(run.row.agent) if program is not None else None
    if program is None or run.agent is None:
        run.ask_to_park("stalled", f"agent `{run.row.agent}` is not registered with this node")
        return
    run.version = program.version(run.agent)
    run.tools = {tool.name: tool for tool in program.tools}
    await take_mail(run)
    await _reopen(run)
    if ledger.ended is not None:
        run.ask_to_park("stalled", "the task has ended")
    if ledger.paused:
        run.ask_to_park("paused", "paused by an operator")
    scope = run.kernel.stops.over(run.scopes)
    if scope:
        run.ask_to_park("stopped", f"`{scope}` is stopped")
    if run.is_parking or ledger.cancel_asked:
        return
    await resume_calls(run)
    await start_brain(run)


async def take_mail(run: Run) -> None:
    """Take messages out of the inbox by entries, and act on them."""
    messages = await run.kernel.patient.inbox(run.row.id)
    if messages:
        items: list[Item] = []
        segments: list[Segment] = []
        for message in messages:
            body, extra = await _received(run, message)
            items.append(("", Kind.TASK, body))
            segments += extra
        consumes = tuple(message.id for message in messages)
        await run.journal.append(items, With(consumes=consumes, segments=tuple(segments)))
        if run.ledger.paused and not run.is_parking:
            run.ask_to_park("paused", "paused by an operator")
        await _doubts_told(run)
        await _outside_orders(run)
        await _finish_asked(run)
    await waits.react(run)


async def _received(run: Run, message: Message) -> tuple[Body, tuple[Any, ...]]:
    if message.kind == evidence.KIND:
        value = decode(message.value)
        held, extra = await run.journal.keep(msgspec.json.encode(value["result"]))
        call, attempt, epoch = value["call"], value["attempt"], value["epoch"]
        return Evidence(call, attempt, epoch, value["end"], held, value["error"], Cost(*value["cost"])), extra
    held, extra = await run.journal.keep(message.value)
    return Received(message.id, message.kind, message.name, message.sender, held), extra


async def _doubts_told(run: Run) -> None:
    """Go on with the doubts of which a person or a former worker has told how they ended."""
    for record in run.ledger.open_calls():
        if record.seq in run.persons and (record.seq in run.ledger.resolutions or record.evidence is not None):
            run.persons.pop(record.seq)
            run.spawn(_recover(run, record))


async def _outside_orders(run: Run) -> None:
    """Begin with an outside program that was adopted, and end with one that has ended."""
    ledger = run.ledger
    if not run.is_outside:
        return
    if ledger.idle_adoptions >= outside.DEATHS_MAX:
        run.ask_to_park("stalled", f"the program ended {outside.DEATHS_MAX} times in a row without a new entry")
    elif run.brain is not None and ledger.adopted != ledger.incarnation:
        await run.kill_brain()
        await start_brain(run)


async def _finish_asked(run: Run) -> None:
    if run.is_outside and run.ledger.finish is not None and run.finished is None:
        said = decode(await run.content(run.ledger.finish))
        run.finished = Finished(canonical(said.get("result")), said.get("code", ""), said.get("error", ""))
        run.wake()


async def _reopen(run: Run) -> None:
    """Go on with a failed task that somebody retries: *redo* the last call, or *rethink* from the last model call."""
    ledger = run.ledger
    if ledger.retry is None:
        return
    if ledger.ended is None:
        ledger.retry = None
        return
    by = str(ledger.retry.get("by", ""))
    body: Body
    if ledger.retry.get("how") == "rethink":
        thoughts = [record.seq for record in ledger.by_key.values() if record.key.kind == Kind.MODEL]
        until_seq = max(thoughts, default=ledger.last_seq + 1)
        body = Rethought(until_seq, ledger.round + 1, by, "retry")
    else:
        until_seq = ledger.last_seq + 1
        body = Reopened(_last_failed(ledger.by_key.values()), by)
    await run.journal.append([("", Kind.TASK, body)], With(state=await waits.asked_again(run, until_seq)))


def _last_failed(records: Any) -> int:
    last = max((record for record in records if not record.cleans), key=lambda record: record.order, default=None)
    if last is None or last.status not in ("failed", "refused"):
        return 0
    return 0 if last.meant and last.happened else last.seq  # what failed is its verification: the effect is there


async def resume_calls(run: Run) -> None:
    """Go on with every open call: doubts are resolved, held outcomes verified, deferred calls judged anew."""
    for record in run.ledger.open_calls():
        if record.cleans:
            continue
        if record.held:
            run.spawn(_verify(run, record))
        elif record.meant:
            run.spawn(_recover(run, record))
        elif record.waiting is not None and record.waiting.condition == Wake.DEFERRED:
            run.spawn(_judge_again(run, record))
    await waits.react(run)


async def passage_again(run: Run, record: Record) -> Passage:
    """Return the passage of a call that the journal holds open."""
    passage = passage_of(run, record, await run.content(record.args))
    if record.performed is not None:
        passage.call = msgspec.structs.replace(passage.call, args=await run.content(record.performed))
    return passage


async def _recover(run: Run, record: Record) -> None:
    await recover(await passage_again(run, record))


async def _verify(run: Run, record: Record) -> None:
    await verify(await passage_again(run, record), await run.content(record.result))


async def _judge_again(run: Run, record: Record) -> None:
    here = run.here(record.key)
    run.under_way[here] = record.digest
    try:
        await mean_and_finish(await passage_again(run, record))
    finally:
        del run.under_way[here]


async def restart_brain(run: Run) -> None:
    """Start a new incarnation after a death, unless too many in a row left nothing."""
    why, run.gone = run.gone, None
    run.deaths = 1 if run.ledger.facts > run.facts_at_start else run.deaths + 1
    run.kernel.log(f"the brain is gone: {why}; starting it again", run.row.id)
    if run.deaths >= DEATHS_MAX:
        run.ask_to_park("stalled", f"the brain died {run.deaths} times in a row without a new entry: {why}")
        return
    await start_brain(run)


async def start_brain(run: Run) -> None:
    """Start a brain with all that the journal holds, as a new incarnation."""
    ledger = run.ledger
    created = ledger.created
    assert created is not None
    found = await session.find(run)
    run.facts_at_start = ledger.facts
    node = run.kernel.lease.node
    incarnation = ledger.adopted if run.is_outside else ledger.incarnation + 1
    body = Incarnated(incarnation, run.row.epoch, node, run.version, found.head)
    await run.journal.ride("", Kind.TASK, body)
    if found.segments:
        run.learn(Context(found.head, EMPTY_HEAD, found.segments), ())
    messages = await run.contexts.messages(Context(found.head, EMPTY_HEAD, found.segments))
    try:
        run.adopt(await run.kernel.brains.start(run.row, run.on_step, run.on_gone))
    except UsageError as error:
        run.ask_to_park("stalled", f"{error.message}; {error.hint}" if error.hint else error.message)
        return
    except ComityError as error:
        run.gone = error.message
        run.wake()
        return
    goal = await run.content(created.goal)
    state = await run.content(ledger.state)
    history = await _history(run)
    model = created.model or (run.agent.model if run.agent is not None else "")
    start = Start(
        run.row.id,
        run.row.agent,
        goal,
        ledger.incarnation,
        history,
        state,
        run.row.session,
        found.head,
        messages,
        model,
        run.is_outside and ledger.adopted == ledger.adopted_before,
    )
    run.send_start(start)
    await _finish_asked(run)


async def _history(run: Run) -> tuple[Recorded, ...]:
    """Return what the brain recalls. Contents are fetched until nothing settled meanwhile; then nothing awaits."""
    values: dict[int, bytes] = {}
    asked: dict[int, bytes] = {}
    while True:
        records = [
            item for item in run.ledger.by_key.values() if not item.cleans and not item.key.branch.startswith("~")
        ]
        missing = [item for item in records if not item.open and item.seq not in values]
        unread = [item for item in records if run.is_outside and item.seq not in asked]
        if not missing and not unread:
            break
        for item in unread:
            asked[item.seq] = await run.content(item.args)
        large = [item for item in missing if item.result.sha256]
        contents = (
            await run.kernel.patient.segments(run.row.tenant, [item.result.sha256 for item in large]) if large else []
        )
        values.update((item.seq, data) for item, data in zip(large, contents, strict=True))
        values.update((item.seq, item.result.inline or b"null") for item in missing if not item.result.sha256)
    return tuple(
        Recorded(
            item.seq,
            *item.key,
            item.digest,
            item.order,
            None if item.open else item.delivered(values[item.seq]),
            item.context.head if item.context is not None else EMPTY_HEAD,
            asked.get(item.seq, b""),
            item.incarnation,
            item.consumed,
        )
        for item in sorted(records, key=lambda item: item.seq)
    )
