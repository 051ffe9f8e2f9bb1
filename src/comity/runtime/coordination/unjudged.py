"""Acts that were let through before the world in force spoke of them: they are under way all the same, and count."""

from __future__ import annotations

import logging

import msgspec

from comity.coordination.admission import Admission
from comity.coordination.picture import Flight, Picture
from comity.coordination.ruling import Proposal
from comity.coordination.world import World
from comity.core.codec import decode
from comity.core.errors import ComityError
from comity.core.ids import show_id
from comity.journal.call import Kind
from comity.journal.naming import actor_name
from comity.journal.ports import Programs, Store
from comity.journal.task import TaskRow
from comity.journal.unit import GuardFailed, OperatorSubject, StateWrite, Unit
from comity.kernel.ledger import Record
from comity.runtime.coordination import rows
from comity.runtime.on_wire import on_the_wire

log = logging.getLogger("comity.coordination")


async def count_unjudged(store: Store, programs: Programs, world: World, version: int, now_us: int) -> bool:
    """Reserve for the acts under way that nobody judged, once for each version of the world; False where it moved on.

    Until that is done nothing is judged, and what was let through by an earlier world cannot be meant any more: so none
    is missed. Cost: the journals of the tasks that have not ended.
    """
    marker = await store.state(rows.WORLD, rows.COUNTED)
    if marker is not None and decode(marker.value) == version:
        return True
    picture = Picture(world)
    for row in await store.states(rows.FIELD):
        if world.section(row.key) is not None:
            picture.restore(row.key, rows.read_field(row))
    admission = Admission(world, picture)
    known = {row.key for row in await store.states(rows.RESERVATION)}
    writes = [StateWrite(rows.WORLD, rows.COUNTED, str(version).encode(), marker.version if marker is not None else 0)]
    for task, record in await on_the_wire(store, "fleet"):
        flight = await _flight(store, programs, admission, task, record, now_us)
        if flight is not None and flight.ticket not in known:
            writes.append(rows.reservation_write(rows.ReservationRow(flight, task.id, record.seq, call=record.seq)))
    unit = Unit(OperatorSubject("coordination"), guards=(rows.document_guard(version),), state=tuple(writes))
    (answer,) = await store.commit([unit])
    return not isinstance(answer, GuardFailed)


async def _flight(
    store: Store, programs: Programs, admission: Admission, task: TaskRow, record: Record, now_us: int
) -> Flight | None:
    """Return what an act does by the world in force; None where that is nothing, or where it was judged."""
    is_act = record.key.kind == Kind.TOOL and record.effect is not None and record.effect.acts
    if not is_act or record.ticket:
        return None
    payload = record.performed or record.args
    held = (await store.segments(task.tenant, [payload.sha256]))[0] if payload.sha256 else payload.inline
    program = await programs.find(task.agent)
    ticket = rows.ticket_of(task.id, record.key, record.round)
    proposal = Proposal(
        call=f"{show_id(task.id)}/{record.seq}",
        ticket=ticket,
        task=task.id.hex(),
        actor=actor_name(task.tenant, task.agent),
        tool=record.key.name,
        args=decode(held) if held else {},
    )
    try:
        flight = admission.counted(proposal, now_us, program.tool(record.key.name) if program is not None else None)
    except ComityError as error:
        log.warning("call %s of task %s cannot be counted: %s", record.seq, show_id(task.id), error.message)
        return None
    return None if flight is None else msgspec.structs.replace(flight, phase="doubt" if record.unknown else "meant")
