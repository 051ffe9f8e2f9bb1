"""Premises at the moment of acting: the predicate is evaluated anew, over whatever is in flight on its field.

Version equality would be the wrong question for slow thinkers: most of what has changed meanwhile still lets the
decision hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from comity.coordination.believed import Effect, applied
from comity.coordination.handling import BoundPremise
from comity.coordination.orders import TooMany, every_order, stages
from comity.coordination.picture import Picture
from comity.core.errors import UsageError
from comity.core.expression import ExpressionError
from comity.journal.world import FieldValue


class Told(NamedTuple):
    """What a premise comes to: `is_settled_false` where it is false whatever becomes of what is in flight."""

    holds: bool
    is_settled_false: bool
    value: FieldValue


def holds_now(premise: BoundPremise, picture: Picture, now_us: int) -> Told:
    """Judge a premise; an unknown value makes it false.

    Raises:
        UsageError: the world has no such field.
    """
    picture.world.require(premise.field)
    value = picture.known(premise.field, now_us, premise.max_age_s)
    if value is None or not _holds(premise, value):
        return Told(False, True, value)
    try:
        return Told(all(_holds(premise, other) for other in _values(premise.field, value, picture)), False, value)
    except TooMany:
        return Told(False, False, value)


def _holds(premise: BoundPremise, value: FieldValue) -> bool:
    if value is None:
        return False
    try:
        return premise.holds.holds({**premise.names, "value": value})
    except ExpressionError as error:
        raise UsageError("premise_failed", error.message, hint=error.hint, retry="rethink") from None


def _values(field: str, value: FieldValue, picture: Picture) -> Iterator[FieldValue]:
    """Yield what the field may come to by what is in flight on it."""
    pieces = [
        piece
        for flight in picture.on_field(field)
        for piece in picture.parted(flight, [effect for effect in flight.effects if effect.field == field])
    ]
    chains = [[partial(_after, effects=stage) for stage in stages(piece)] for piece in pieces]
    seen: set[FieldValue] = set()
    for _, now in every_order(value, chains):
        if now not in seen:
            seen.add(now)
            yield now


def _after(value: FieldValue, effects: Sequence[Effect]) -> FieldValue:
    for effect in effects:
        value = applied(value, effect)
    return value
