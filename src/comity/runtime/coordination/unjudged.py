"""Acts that are under way when a world comes into force: what they do by it counts, whoever let them through."""

from __future__ import annotations

import logging

import msgspec

from comity.coordination.admission import Admission
from comity.coordination.picture import Flight, Picture
from comity.coordination.ruling import Proposal
from comity.coordination.world import World
from comity.core.codec import decode
from comity.core.errors import ComityError, StoreError
from comity.core.ids import show_id
from comity.journal.call import Kind, ticket_of
from comity.journal.naming import actor_name
from comity.journal.ports import Programs, Store
from comity.journal.spec import ToolSpec
from comity.journal.task import TaskRow
from comity.journal.unit import GuardFailed, OperatorSubject, StateRow, StateWrite, Unit
from comity.kernel.ledger import Record
from comity.runtime.coordination import rows
from comity.runtime.on_wire import on_the_wire

log = logging.getLogger("comity.coordination")


async def count_unjudged(store: Store, programs: Programs, world: World, version: int, now_us: int) -> bool:
    """Reserve for what acts under way do by a version of the world; False where it, or one of them, moved on.

    Until that is done nothing is judged by it, and what an earlier world let through cannot be meant any more: so none
    is missed. It is done once for all, unless the program of an act is unknown here: then by the next node, too. Cost:
    the journals of the tasks that have not ended.
    """
    marker = await store.state(rows.WORLD, rows.COUNTED)
    if marker is not None and decode(marker.value) == version:
        return True
    picture = Picture(world)
    for row in await store.states(rows.FIELD):
        if world.section(row.key) is not None:
            picture.restore(row.key, rows.read_field(row))
    admission = Admission(world, picture)
    held = {row.key: row for row in await store.states(rows.RESERVATION)}
    writes, is_all = list[StateWrite](), True
    for task, record in await on_the_wire(store, "fleet"):
        if record.key.kind != Kind.TOOL or record.effect is None or not record.effect.acts:
            continue
        spec = await _spec(programs, task, record)
        is_all = is_all and (spec is not None or world.tool(record.key.name) is not None)
        flight = await _flight(store, spec, admission, task, record, now_us)
        if flight is not None:
            writes += _reserved(flight, task, record, held.get(flight.ticket))
    if is_all:
        seen = marker.version if marker is not None else 0
        writes.append(StateWrite(rows.WORLD, rows.COUNTED, str(version).encode(), seen))
    unit = Unit(OperatorSubject("coordination"), guards=(rows.document_guard(version),), state=tuple(writes))
    (answer,) = await store.commit([unit])
    return not isinstance(answer, GuardFailed)


def _reserved(flight: Flight, task: TaskRow, record: Record, row: StateRow | None) -> list[StateWrite]:
    """Return what reserves for an act: with what an earlier world reserved for it, in place of a void."""
    before = rows.read_reservation(row) if row is not None else None
    if before is None or before.is_void:
        made = rows.ReservationRow(flight, task.id, record.seq, call=record.seq)
        return [rows.reservation_write(made, row.version if row is not None else 0)]
    assert row is not None
    fields = {effect.field for effect in flight.effects}
    more = (*flight.effects, *(effect for effect in before.flight.effects if effect.field not in fields))
    if set(more) == set(before.flight.effects):
        return []
    both = msgspec.structs.replace(
        before.flight, effects=more, changes=flight.changes, settle_us=max(flight.settle_us, before.flight.settle_us)
    )
    return [rows.reservation_write(msgspec.structs.replace(before, flight=both), row.version)]


async def _flight(
    store: Store, spec: ToolSpec | None, admission: Admission, task: TaskRow, record: Record, now_us: int
) -> Flight | None:
    """Return what an act does by the world in force; None where that is nothing."""
    payload = record.performed or record.args
    content = (await store.segments(task.tenant, [payload.sha256]))[0] if payload.sha256 else payload.inline
    proposal = Proposal(
        call=f"{show_id(task.id)}/{record.seq}",
        ticket=ticket_of(task.id, record.key, record.round),
        task=task.id.hex(),
        actor=actor_name(task.tenant, task.agent),
        tool=record.key.name,
        args=decode(content) if content else {},
    )
    try:
        flight = admission.counted(proposal, now_us, spec)
    except ComityError:  # declared twice: no call of it passes any more, and the world file says what it does
        flight = admission.counted(proposal, now_us)
    if flight is None:
        return None
    return msgspec.structs.replace(flight, phase="doubt" if record.unknown else "meant", from_us=record.at_us)


async def _spec(programs: Programs, task: TaskRow, record: Record) -> ToolSpec | None:
    """Return what a tool's author declared; nothing where its file cannot be loaded now."""
    try:
        program = await programs.find(task.agent)
    except StoreError:
        raise
    except ComityError as error:
        log.warning("what tools of agent `%s` declare is not known: %s", task.agent, error.message)
        return None
    return program.tool(record.key.name) if program is not None else None
