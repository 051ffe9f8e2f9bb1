"""Premises at the moment of acting: the predicate is evaluated anew, over whatever is in flight on its field.

Version equality would be the wrong question for slow thinkers: most of what has changed meanwhile still lets the
decision hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import NamedTuple

from comity.coordination.handling import BoundPremise
from comity.coordination.picture import Effect, Picture, applied
from comity.core.errors import UsageError
from comity.core.expression import ExpressionError
from comity.journal.world import FieldValue

FLIGHTS_MAX = 4


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
    effects = [
        tuple(effect for effect in flight.effects if effect.field == premise.field)
        for flight in picture.on_field(premise.field)
    ]
    if value is None or not _holds(premise, value):
        return Told(False, True, value)
    return Told(all(_holds(premise, other) for other in _values(value, effects)), False, value)


def _holds(premise: BoundPremise, value: FieldValue) -> bool:
    try:
        return premise.holds.holds({**premise.names, "value": value})
    except ExpressionError as error:
        raise UsageError("premise_failed", error.message, hint=error.hint, retry="rethink") from None


def _values(value: FieldValue, calls: Sequence[tuple[Effect, ...]]) -> Iterator[FieldValue]:
    """Yield what the field may come to; beyond a few calls, its ends and each value that is set."""
    if len(calls) <= FLIGHTS_MAX:
        for count in range(1, len(calls) + 1):
            for order in permutations(calls, count):
                now = value
                for effect in (effect for call in order for effect in call):
                    now = applied(now, effect)
                yield now
        return
    effects = [effect for call in calls for effect in call]
    starts = [value, *(effect.value for effect in effects if effect.op == "set")]
    steps = [effect.value for effect in effects if effect.op == "add" and isinstance(effect.value, int | float)]
    for start in starts:
        if isinstance(start, int | float) and steps:
            yield start + sum(step for step in steps if step < 0)
            yield start + sum(step for step in steps if step > 0)
        yield start
        for effect in effects:
            if effect.op in ("append", "remove"):
                yield applied(start, effect)
