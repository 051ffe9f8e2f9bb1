"""How a run gives its task up: it ended, waits, is parked, released, cancelled, continued, or it diverged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comity.core.codec import canonical, decode
from comity.core.ids import show_id
from comity.core.limits import NEVER_US
from comity.journal.call import Call, Kind
from comity.journal.entry import Continued, Ended, Moved, Rethought
from comity.journal.segment import NOTHING
from comity.journal.spec import Effect
from comity.journal.task import ParkReason, State, Wake
from comity.journal.unit import Guard, InboxSeen, Message, OperatorSubject, Transition, Unit, Wakes
from comity.journal.verdict import Park
from comity.kernel import budget, outside, session, waits
from comity.kernel.doubt import compensate, settled_by_evidence, settled_by_person
from comity.kernel.journal import Item, With
from comity.kernel.ledger import Record
from comity.kernel.opening import passage_again

if TYPE_CHECKING:
    from comity.kernel.run import Run


async def finish(run: Run) -> None:
    """Write the task's last entry, move its session, tell its parent."""
    finished = run.finished
    assert finished is not None
    ok = not finished.error and not finished.code
    state = State.SUCCEEDED if ok else State.FAILED
    result, segments = await run.journal.keep(finished.result) if ok else (NOTHING, ())
    body = Ended(state, result, finished.code, finished.error, _in_doubt(run))
    while True:
        writes, new = await session.extended(run, finished.session if ok else ())
        extra = With(
            outside.guards(run),
            state=(*writes, *waits.withdrawn(run)),
            sends=_to_parent(run, body, finished.result),
            segments=(*segments, *new),
            transition=Transition(state, finished.code, incarnation=run.ledger.incarnation),
        )
        failed = await run.journal.append([("", Kind.TASK, body)], extra)
        if failed is None:
            break
        if outside.is_replaced(failed):
            run.finished = None  # another program's word: the task is its successor's
            run.mail()
            return
    if finished.traceback:
        run.kernel.log(finished.traceback, run.row.id)
    run.leave_as(state, finished.code)


async def park(run: Run) -> None:
    """Park the task for the reason that was asked for."""
    assert run.parking is not None
    if run.ledger.ended is not None:
        await _give_up(run, [], Transition(State(run.ledger.ended.state)))
        return
    guards: tuple[Guard, ...] = ()
    if run.parking.reason == ParkReason.STOPPED:
        if not run.kernel.stops.over(run.scopes):  # lifted meanwhile, and whoever lifted found it not yet parked
            await _give_up(run, [], Transition(State.QUEUED, "lifted", incarnation=run.ledger.incarnation))
            return
        guards = (run.kernel.stops.guard,)
    await _move(run, State.PARKED, run.parking.reason, run.parking.detail, NEVER_US, guards)


async def park_in_doubt(run: Run) -> None:
    """Park the task for a person, who says what happened."""
    detail = "; ".join(f"call {seq}: {why}" for seq, why in sorted(run.persons.items()))
    if await _move(run, State.PARKED, ParkReason.IN_DOUBT, detail, NEVER_US):
        await run.kill_brain()


async def suspend(run: Run, due_us: int) -> None:
    """Let the worker go while the task waits."""
    why = waits.reason(run)
    if await _move(run, State.WAITING, why, "", due_us):
        await run.kill_brain()


async def release(run: Run) -> None:
    """Give the task back to the queue: this node is going down."""
    await run.kill_brain()
    await _give_up(run, [], Transition(State.QUEUED, "released", incarnation=run.ledger.incarnation))


async def _move(
    run: Run, state: State, reason: str, detail: str, until_us: int, guards: tuple[Guard, ...] = ()
) -> bool:
    moved = Moved(state, reason, detail, 0 if until_us == NEVER_US else until_us)
    transition = Transition(state, reason, until_us, run.ledger.incarnation)
    return await _give_up(run, [("", Kind.TASK, moved)], transition, guards)


async def _give_up(run: Run, items: list[Item], transition: Transition, guards: tuple[Guard, ...] = ()) -> bool:
    """Leave the task unless it has unread mail, or somebody stopped or lifted: that is looked at first."""
    failed = await run.journal.append(items, With((InboxSeen(), *guards), transition=transition))
    if failed is not None:
        if guards:
            await run.kernel.refresh_stops()
        run.mail()
        return False
    run.leave_as(transition.state, transition.reason)
    return True


async def continue_with(run: Run, call: Call) -> None:
    """Close the history and start a new brain with a state."""
    await run.kill_brain()
    held, segments = await run.journal.keep(call.args)
    body = Continued(held, run.ledger.round + 1)
    extra = With(state=waits.withdrawn(run), segments=segments)
    await run.journal.append([("", Kind.CONTINUE, body)], extra)
    run.gone = "it continues with a new state"
    run.deaths = 0
    run.wake()


async def diverge(run: Run) -> None:
    """Apply the agent's policy to a divergence; it never retries for ever."""
    found = run.diverged
    assert found is not None
    await run.kill_brain()
    detail = (
        f"entry {found.seq} of branch `{found.branch or '.'}` holds {found.recorded}; the agent asked {found.asked}"
    )
    policy = run.agent.on_divergence if run.agent is not None else "park"
    again = run.ledger.facts > run.facts_at_start or run.ledger.round == 0
    if policy == "rethink" and again:
        run.diverged = None
        body = Rethought(found.seq, run.ledger.round + 1, "policy", detail)
        await run.journal.append([("", Kind.TASK, body)], With(state=waits.withdrawn(run, found.seq)))
        run.gone = "it diverged and thinks again"
        run.wake()
        return
    if policy == "fork":
        forked = await run.kernel.fork_at(run, found.seq - 1)
        detail = f"{detail}; goes on as fork {show_id(forked)}"
    run.ask_to_park(ParkReason.DIVERGED, detail)


async def cancel(run: Run) -> None:
    """Compensate what is reversible, children first, in reverse order; then the task is cancelled."""
    run.parking = None
    await run.kill_brain()
    if not run.is_cancelling:
        run.is_cancelling = True
        moved = Moved(State.CANCELLING, "cancelled by an operator")
        await run.journal.append(
            [("", Kind.TASK, moved)], With(transition=Transition(State.CANCELLING, incarnation=run.ledger.incarnation))
        )
    await _cancel_children(run)
    scope = run.kernel.stops.over(run.scopes)
    if scope:
        run.parking = Park(ParkReason.STOPPED, f"`{scope}` is stopped")
        await park(run)
        return
    if run.busy:
        run.end_attempts()
        return
    if any(child not in run.ledger.children_ended for child in run.ledger.children):
        await _move(run, State.WAITING, Wake.CHILD, "its children are cancelled first", NEVER_US)
        return
    blocked = await _undo(run)
    if blocked is not None:
        if run.is_parking:
            await park(run)
            return
        detail = f"call {blocked.seq} `{blocked.key.name}` could not be undone"
        await _move(run, State.PARKED, ParkReason.COMPENSATION_BLOCKED, detail, NEVER_US)
        return
    held = await _held_in_doubt(run)
    if held is not None:
        detail = f"call {held.seq}: `{held.key.name}` holds a business key that others may wait for"
        await _move(run, State.PARKED, ParkReason.IN_DOUBT, detail, NEVER_US)
        return
    body = Ended(State.CANCELLED, in_doubt=_in_doubt(run))
    extra = With(
        state=waits.withdrawn(run),
        sends=_to_parent(run, body, b"null"),
        transition=Transition(State.CANCELLED, "", incarnation=run.ledger.incarnation),
    )
    await run.journal.append([("", Kind.TASK, body)], extra)
    run.leave_as(State.CANCELLED)


async def _undo(run: Run) -> Record | None:
    done = [
        record
        for record in run.ledger.calls.values()
        if record.effect is Effect.REVERSIBLE and not record.compensated and not record.cleans
        if record.seq > run.ledger.copied
        if record.open or record.happened
    ]
    for record in sorted(done, key=lambda item: item.seq, reverse=True):
        if not await compensate(run, record, await passage_again(run, record)):
            return record
    return None


async def _held_in_doubt(run: Run) -> Record | None:
    """Return a call in doubt that holds a business key, unless somebody has told by now how it ended."""
    for record in run.ledger.open_calls():
        if record.in_doubt and record.once and not record.compensated:
            passage = await passage_again(run, record)
            if not await settled_by_evidence(passage) and not await settled_by_person(passage):
                return record
    return None


async def _cancel_children(run: Run) -> None:
    """Tell those whom this run has not told: a former one may have died before it could, and a child may be new."""
    mine = show_id(run.row.id)
    orders = [
        Message(bytes.fromhex(child.replace("-", "")), f"cancel:{mine}", "order", "cancel", b"{}", Wakes.PARKED)
        for child in run.ledger.children
        if child not in run.ledger.children_ended and child not in run.cancelled
    ]
    run.cancelled.update(run.ledger.children)
    for order in orders:
        await run.kernel.patient.commit([Unit(OperatorSubject(f"task:{mine}"), sends=(order,))])
        run.kernel.poke(order.task)


def _in_doubt(run: Run) -> tuple[int, ...]:
    return tuple(
        record.seq
        for record in run.ledger.calls.values()
        if record.in_doubt and record.key.kind == Kind.TOOL and not record.compensated
    )


def _to_parent(run: Run, body: Ended, result: bytes) -> tuple[Message, ...]:
    if not run.row.parent:
        return ()
    child = show_id(run.row.id)
    usage = run.ledger.usage
    value: dict[str, Any] = {
        "task": child,
        "state": str(body.state),
        "result": decode(result) if body.state == State.SUCCEEDED else None,
        "error": body.error,
        "usage": budget.spent(usage),
    }
    return (Message(run.row.parent, f"child:{child}", "child", child, canonical(value), Wakes.WAITING),)
