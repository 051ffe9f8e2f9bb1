"""Reads the world from a store as it stands: for whoever looks, and writes nothing of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from comity.coordination.picture import Flight, Picture, applied
from comity.coordination.world import World
from comity.core.errors import UsageError
from comity.journal.ports import Store
from comity.journal.world import FieldValue
from comity.runtime.coordination import rows
from comity.runtime.coordination.writer import Writer


class Snapshot(NamedTuple):
    """The world in force, by whom and when it was applied, and what is believed of it."""

    world: World
    version: int
    by: str
    at_us: int
    picture: Picture


async def read_snapshot(store: Store, now_us: int) -> Snapshot:
    """Return the world in force, with what is believed of it.

    Raises:
        UsageError: none is in force.

    Cost: as many rows as there are fields and reservations, and the journals' entries since each of these.
    """
    row = await store.state(rows.WORLD, rows.DOCUMENT)
    if row is None:
        raise UsageError("no_world", "no world is in force", hint="`comity world apply FILE`")
    held = msgspec.msgpack.decode(row.value, type=rows.DocumentRow)
    world = World(rows.read_document(row))
    reader = Writer("", 0, world, None)
    claims = [rows.read_claim(item) for item in await store.states(rows.CLAIM) if item.key != rows.GENERATION]
    reader.take(claims, [rows.read_plan(item) for item in await store.states(rows.PLAN)])
    await reader.load(store)
    reader.land(now_us)
    return Snapshot(world, row.version, held.by, held.at_us, reader.picture)


def target_of(picture: Picture, field: str) -> FieldValue:
    """Return the value that a field has once everything in flight has happened, in the order in which it was let go."""
    value = picture.peek(field).value
    for flight in in_order(picture.flights_by_field.get(field, {}).values()):
        for effect in flight.effects:
            if effect.field == field:
                value = applied(value, effect)
    return value


def in_order(flights: Iterable[Flight]) -> list[Flight]:
    """Return flights by the moment at which they were let go."""
    return sorted(flights, key=lambda flight: (flight.from_us, flight.ticket))
