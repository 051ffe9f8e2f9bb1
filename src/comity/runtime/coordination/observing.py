"""Observations that are pushed: checked as a whole, then taken one by one, and stored before anybody is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from comity.coordination.naming import canonical_name
from comity.core.errors import CoordinationError, StoreError, UsageError
from comity.journal.world import Observation
from comity.runtime.coordination.coordinator import Coordinator
from comity.runtime.coordination.seat import Noted

AHEAD_US = 5_000_000
"""By so much a sender's clock may be ahead of this node's."""
TRIES_MAX = 5
"""So often another node may take a component away before this one gives up."""


class Taken(msgspec.Struct, frozen=True):
    """What became of an observation.

    *observed*: it is what is believed now. *proposed*: whoever said it may not observe the field, so it stands beside.
    *older*: as new a one was known already, or an act was under way when it was seen.
    """

    field: str
    taken: Literal["observed", "proposed", "older"]


async def observe_all(coordinator: Coordinator, seen: Sequence[Observation], principal: str) -> list[Taken]:
    """Take observations in the name of `principal` (`operator`, `agent:NAME`).

    Raises:
        UsageError: no world is in force; or one of them names no field, has a value that the field cannot have, or
            comes from the future. Then none was taken.
        StoreError: other nodes kept taking the component away.
    """
    coordinator.news()
    await coordinator.refresh()
    checked = [_checked(coordinator, item, number, len(seen)) for number, item in enumerate(seen, start=1)]
    for _ in range(TRIES_MAX):
        await coordinator.refresh()
        try:
            noted = [await _noted(coordinator, item, principal) for item in checked]
        except CoordinationError:
            coordinator.news()
            continue  # another node writes the component now, or again
        if await coordinator.stored(noted):
            return [_taken(coordinator, item, found, principal) for item, found in zip(checked, noted, strict=True)]
    text = "other nodes write the same part of the world all the time"
    raise StoreError("component_busy", text, retry="redo", hint="tell it again")


def _checked(coordinator: Coordinator, seen: Observation, number: int, count: int) -> Observation:
    """Return an observation with the field's name as the world has it."""
    where = f"observation {number}: " if count > 1 else ""
    if coordinator.world is None:
        raise UsageError("no_world", "no world is in force", hint="`comity world apply FILE`")
    try:
        field = canonical_name(seen.field)
        coordinator.world.require(field)
    except UsageError as error:
        raise UsageError("unknown_field", f"{where}{error.message}", hint=error.hint, retry="rethink") from None
    wrong = coordinator.world.misfit(field, seen.value)
    if wrong:
        hint = "`comity world show` tells what the fields hold"
        raise UsageError("bad_value", f"{where}`{field}` {wrong}", hint=hint, retry="rethink")
    now_us = coordinator.clock.wall_us()
    if max(seen.at_us, seen.until_us) > now_us + AHEAD_US:
        ahead_s = (max(seen.at_us, seen.until_us) - now_us) / 1e6
        hint = "give the moment at which it was seen, or leave it out for now"
        raise UsageError("in_the_future", f"{where}`{field}` was seen {ahead_s:.0f} s from now", hint=hint)
    return msgspec.structs.replace(seen, field=field)


async def _noted(coordinator: Coordinator, seen: Observation, principal: str) -> Noted:
    may_observe = coordinator.may_observe(seen.field, principal)
    return await coordinator.note(msgspec.structs.replace(seen, by=principal), may_observe=may_observe)


def _taken(coordinator: Coordinator, seen: Observation, noted: Noted, principal: str) -> Taken:
    may_observe = coordinator.may_observe(seen.field, principal)
    return Taken(seen.field, "observed" if noted.is_taken else "older" if may_observe else "proposed")
