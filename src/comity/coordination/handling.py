"""How calls of one tool touch the world: its declaration, and what it comes to for given arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeGuard

import msgspec

from comity.coordination.document import PremiseSection, ToolSection, TouchSection
from comity.coordination.naming import Template, argument
from comity.core.errors import UsageError
from comity.core.expression import MAGNITUDE_MAX, Expression, ExpressionError, Value, parse
from comity.journal.spec import ToolSpec
from comity.journal.world import Change, FieldValue

TOUCHES_MAX = 100
NUMBERS = (int, float)
"""What can be reckoned with; a constant, since `int | float` is made anew each time that it is met."""
_SCALARS = (bool, int, float, str, type(None))
_MANY = (frozenset, tuple)


class BoundPremise(msgspec.Struct, frozen=True, gc=False):
    """A premise with its arguments in it."""

    field: str
    holds: Expression
    names: Mapping[str, Value]
    max_age_s: float | None


class Bound(msgspec.Struct, frozen=True, gc=False):
    """What one call touches and rests on. `settles_s` are the touches' own settle times, None for the fields'."""

    changes: tuple[Change, ...]
    premises: tuple[BoundPremise, ...]
    settles_s: tuple[float | None, ...]
    plan: str


class Handling:
    """A tool's touches and premises, compiled."""

    __slots__ = ("_observed", "_premises", "_reads", "_settles_s", "_touches", "_when", "name", "section")

    def __init__(self, name: str, section: ToolSection) -> None:
        """Compile; see `of` and `beside`."""
        self.name = name
        self.section = section
        self._touches = [(Template(item.field), parse(item.value), item) for item in section.touches]
        self._premises = [(Template(item.field), parse(item.holds), item) for item in section.premises]
        self._when = parse(section.when) if section.when else None
        self._observed = [(Template(field), parse(text)) for field, text in section.observes.items()]
        self._settles_s = tuple(item.settle_s for item in section.touches)
        read = [value for _, value, _ in self._touches] + [holds for _, holds, _ in self._premises]
        self._reads = frozenset().union(*(item.names for item in (*read, *([self._when] if self._when else ()))))
        if len(self._touches) > TOUCHES_MAX:
            raise UsageError("too_many_touches", f"tool `{name}` has more than {TOUCHES_MAX} touches")

    @classmethod
    def of(cls, name: str, section: ToolSection) -> Handling:
        """Return the handling that the world file declares."""
        return cls(name, section)

    @classmethod
    def beside(cls, spec: ToolSpec, here: Handling | None) -> Handling:
        """Return the handling that a tool's author declared, with what the world file adds to it."""
        base = here.section if here is not None else ToolSection()
        touches = tuple(TouchSection(item.field, item.op, item.value, item.settle_s) for item in spec.touches)
        premises = tuple(PremiseSection(item.field, item.holds, item.max_age_s) for item in spec.premises)
        return cls(spec.name, msgspec.structs.replace(base, touches=touches, premises=premises))

    @property
    def acts(self) -> bool:
        """Tell whether calls touch or rest on anything (a tool may only observe)."""
        return bool(self._touches or self._premises)

    def bind(self, args: Mapping[str, Any], is_set: Callable[[str], bool] | None = None) -> Bound:
        """Return what a call with these arguments touches; `is_set` tells fields that are sets.

        `remove` takes a number from a number as a step, and from a set as an element.

        Raises:
            UsageError: an argument is missing or cannot be meant.
        """
        names = _names({name: args[name] for name in self._reads if name in args})
        plan = str(argument(args, self.section.plan) or "") if self.section.plan else ""
        if self._when is not None and not self._when.holds(names):
            return Bound((), (), (), plan)
        changes = [_change(template.fill(args), value(names), item, is_set) for template, value, item in self._touches]
        premises = [
            BoundPremise(template.fill(args), holds, names, item.max_age_s) for template, holds, item in self._premises
        ]
        return Bound(tuple(changes), tuple(premises), self._settles_s, plan)

    def may_touch(self, field: str) -> bool:
        """Tell whether a call with some arguments or other touches a field."""
        return any(template.match(field) is not None for template, _, _ in self._touches)

    def rests(self, field: str, value: FieldValue) -> bool | None:
        """Tell whether what is required of a field holds of a value; None where that is nothing, or cannot be said."""
        told: bool | None = None
        for template, holds, _ in self._premises:
            if template.match(field) is None:
                continue
            try:
                told = told is not False and holds.holds({"value": value})
            except ExpressionError:
                return None
        return told

    def observed(self, args: Mapping[str, Any], result: Any) -> list[tuple[str, FieldValue]]:
        """Return the fields that a read's result fills, by canonical name; those that it does not tell are left out."""
        names = _names(args) | ({} if not isinstance(result, Mapping) else _names(result))
        if not isinstance(result, Mapping | list):
            names["result"] = result
        found: list[tuple[str, FieldValue]] = []
        for template, value in self._observed:
            if value.names <= set(names):
                came = value(names)
                found.append((template.fill({**args, **(result if isinstance(result, Mapping) else {})}), _plain(came)))
        return found


def _names(values: Mapping[str, Any]) -> dict[str, Value]:
    made: dict[str, Value] = {}
    for name, value in values.items():
        if isinstance(value, _SCALARS):
            made[name] = value
        elif isinstance(value, list) and all(isinstance(item, bool | int | float | str) for item in value):
            made[name] = tuple(value)
    return made


def _plain(value: Value) -> FieldValue:
    return as_set(value) if isinstance(value, _MANY) else value


def as_set(values: Iterable[Any]) -> tuple[Any, ...]:
    """Return a set of scalars as a field holds it: sorted, each once."""
    return tuple(sorted(set(values), key=lambda item: (type(item).__name__, item)))


def is_number(value: object) -> TypeGuard[int | float]:
    """Tell whether a value is a number that can be reckoned with: no boolean, NaN, infinity or monster."""
    return isinstance(value, NUMBERS) and not isinstance(value, bool) and -MAGNITUDE_MAX <= value <= MAGNITUDE_MAX


def _change(field: str, value: Value, item: TouchSection, is_set: Callable[[str], bool] | None) -> Change:
    came = _plain(value)
    if item.op != "remove" or isinstance(came, bool) or not isinstance(came, int | float) or (is_set and is_set(field)):
        return Change(field, item.op, came)
    return Change(field, "add", -came)
