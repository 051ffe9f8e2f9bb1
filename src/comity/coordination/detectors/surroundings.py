"""What a detector needs to know of the world beside the events; the compiled world implements it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from comity.core.errors import ComityError
from comity.core.expression import Expression
from comity.journal.world import FieldValue


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a field stands in the world.

    `domain` is the failure domain of its resource, `pool` how many resources of its kind there are (0: unknown).
    `invariants` are those that read it, by the name of each instance. `reaches` are the fields that it moves over
    declared dependencies, at most three deep, with the product of the gains (its sign is what counts).
    """

    settle_s: float = 0.0
    epsilon: float = 0.0
    component: str = ""
    domain: str = ""
    pool: int = 0
    invariants: tuple[str, ...] = ()
    reaches: dict[str, float] = {}


NOWHERE = Place()
"""The place of a field that nobody declared."""


class Surroundings(Protocol):
    """The world as detectors see it. Each method is called for every event: constant time, no input or output."""

    def place(self, field: str) -> Place:
        """Return where `field` stands; `NOWHERE` for a field that is not declared."""
        ...

    def holds(self, invariant: str, values: Mapping[str, FieldValue]) -> bool | None:
        """Tell whether `invariant` holds where fields have these values, the others as believed; None: unknown."""
        ...

    def rests(self, tool: str, field: str, value: FieldValue) -> bool | None:
        """Tell whether what `tool` requires of `field` holds of `value`; None: nothing is declared, or unknown."""
        ...


class Described:
    """Surroundings from tables: a world that is written down whole, without beliefs of its own."""

    def __init__(
        self,
        places: Mapping[str, Place],
        invariants: Mapping[str, tuple[Expression, Mapping[str, str]]] | None = None,
        premises: Mapping[tuple[str, str], Expression] | None = None,
    ) -> None:
        """Keep them: an invariant is an expression and its names' fields; a premise is one over `value`."""
        self._places = places
        self._invariants = invariants or {}
        self._premises = premises or {}

    def place(self, field: str) -> Place:
        """Return where `field` stands."""
        return self._places.get(field, NOWHERE)

    def holds(self, invariant: str, values: Mapping[str, FieldValue]) -> bool | None:
        """Tell whether `invariant` holds of `values`; None where one of its fields is not among them."""
        if invariant not in self._invariants:
            return None
        expression, names = self._invariants[invariant]
        return _holds(expression, {name: values.get(field) for name, field in names.items()})

    def rests(self, tool: str, field: str, value: FieldValue) -> bool | None:
        """Tell whether what `tool` requires of `field` holds of `value`."""
        expression = self._premises.get((tool, field))
        return None if expression is None else _holds(expression, {"value": value})


def _holds(expression: Expression, values: Mapping[str, FieldValue]) -> bool | None:
    if any(value is None for value in values.values()):
        return None
    try:
        return expression.holds(values)
    except ComityError:
        # A value of another kind than the expression is about: nothing is known, and nothing is claimed.
        return None
