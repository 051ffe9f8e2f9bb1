"""The model: a world file with its `rehearsal` made ready to explore. Fields have places, invariants are compiled.

The resources are those that the file names anywhere; one that turns up only while it is explored is added, and the
exploration begins again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import NamedTuple

from comity.coordination.document import RehearsalSection, WorldDocument
from comity.coordination.handling import Handling, as_set
from comity.coordination.invariant import BoundTerm, Instance, TermKind
from comity.coordination.naming import Template, canonical_name, split_field
from comity.coordination.world import World
from comity.core.errors import UsageError
from comity.journal.world import FieldValue, Op

Values = tuple[FieldValue, ...]
Getter = Callable[[Values, tuple[float, ...]], FieldValue]
FIELDS_MAX = 5_000


class Write(NamedTuple):
    """A change of the field at `place`; what `journal.world.Change` says of it by name."""

    place: int
    op: Op
    value: FieldValue


class UnknownField(Exception):
    """An act would touch a field that the model has no place for yet."""

    def __init__(self, field: str) -> None:
        """Name the field."""
        super().__init__(field)
        self.field = field


class Mark(NamedTuple):
    """What is counted of a window aggregate: the run is taken to lie within one window, which is the worst case."""

    places: frozenset[int]
    is_count: bool


class Reading(NamedTuple):
    """What a name of an invariant stands for: the fields at `places`, or (`…_within`) the mark of that number."""

    kind: TermKind
    places: tuple[int, ...]

    def getter(self) -> Getter:
        """Return what reads it."""
        places, kind = self.places, self.kind
        if kind == "field":
            return lambda values, _marks: values[places[0]]
        if kind in ("sum_within", "count_within"):
            return lambda _values, marks: marks[places[0]]
        if kind == "count":
            return lambda values, _marks: sum(values[place] is not None for place in places)
        if kind == "sum":
            return lambda values, _marks: sum(_numbers(values, places))
        pick = max if kind == "max" else min
        return lambda values, _marks: pick(_numbers(values, places), default=0)


class Check:
    """An invariant with its templates filled in, over the places of a state.

    `readings` are what its names stand for, `fields` the places of all that it speaks of; `is_bound` says that it is
    what `low` and `high` of a field mean.
    """

    def __init__(
        self, instance: Instance, readings: Mapping[str, Reading], fields: frozenset[int], *, is_bound: bool
    ) -> None:
        """Compile it."""
        self.expression = instance.expression
        self.readings = readings
        self._getters = tuple((name, reading.getter()) for name, reading in readings.items())
        self.fields = fields
        self.rule = instance.rule
        self.key = instance.key
        self.text = instance.section.holds
        self.is_bound = is_bound
        self.is_strict = instance.section.severity != "warn"
        self.is_enforced = self.is_strict and instance.section.mode == "enforce"

    def terms(self, values: Values, marks: tuple[float, ...]) -> dict[str, FieldValue]:
        """Return what its names stand for."""
        return {name: get(values, marks) for name, get in self._getters}

    def holds(self, values: Values, marks: tuple[float, ...]) -> bool:
        """Tell whether it holds; bounds do, of a value that is not known."""
        terms = self.terms(values, marks)
        if self.is_bound and None in terms.values():
            return True
        return self.expression.holds(terms)


class Model:
    """A world with its rehearsal, compiled."""

    def __init__(self, document: WorldDocument, extra: Iterable[str] = ()) -> None:
        """Compile a document; `extra` are fields that an exploration has met.

        Raises:
            UsageError: it has no rehearsal, names what is not there, or a field that is read has no value.
        """
        if document.rehearsal is None or not document.rehearsal.agents:
            raise UsageError(
                "no_rehearsal",
                "the world has no agents to rehearse",
                hint="add `rehearsal: {agents: {NAME: {reads: …, rules: …}}}`",
            )
        self.document = document
        self.section: RehearsalSection = document.rehearsal
        self.world = World(document)
        self.fields = self._known(extra)
        self.place = {name: place for place, name in enumerate(self.fields)}
        self.starts = self._starts()
        self.marks: list[Mark] = []
        self.checks = tuple(self._checks())
        self.influences = [self._influences(name) for name in self.fields]

    def at(self, field: str) -> int:
        """Return the place of a field that the file names.

        Raises:
            UsageError: the world has no such field.
        """
        name = canonical_name(field)
        self.world.require(name)
        return self.place[name]

    def writes(self, changes: Iterable[tuple[str, Op, FieldValue]]) -> tuple[Write, ...]:
        """Return changes by place.

        Raises:
            UnknownField: one of them is of a resource that is not known yet.
        """
        made = []
        for field, op, value in changes:
            place = self.place.get(field)
            if place is None:
                self.world.require(field)
                raise UnknownField(field)
            made.append(Write(place, op, value))
        return tuple(made)

    def handling(self, tool: str) -> Handling:
        """Return how a tool touches the world.

        Raises:
            UsageError: the world file does not say.
        """
        found = self.world.tool(tool)
        if found is None:
            known = ", ".join(f"`{name}`" for name in self.document.tools) or "none"
            raise UsageError("no_such_tool", f"the world declares no tool `{tool}`", hint=f"there are: {known}")
        return found

    def matching(self, text: str) -> frozenset[int]:
        """Return the places of the fields that a template or pattern may stand for, whatever its arguments."""
        template = Template(text)
        return frozenset(place for place, name in enumerate(self.fields) if template.match(name) is not None)

    # Inside

    def _known(self, extra: Iterable[str]) -> tuple[str, ...]:
        named = (canonical_name(text) for text in (*self._named(), *extra) if "{" not in text and "*" not in text)
        resources: dict[str, None] = dict.fromkeys(self.world.labels)
        for name in named:
            self.world.require(name)
            resources[split_field(name)[0]] = None
        kinds = self.world.kinds.values()
        found = tuple(
            f"{resource}.{field}"
            for resource in resources
            for kind in kinds
            if kind.template.match(resource) is not None
            for field in kind.fields
        )
        if len(found) > FIELDS_MAX:
            raise UsageError("too_many_fields", f"{len(found)} fields are rehearsed, at most {FIELDS_MAX} can be")
        return found

    def _named(self) -> Iterable[str]:
        """Yield every field that the file names somewhere."""
        rehearsal, document = self.section, self.document
        yield from chain(rehearsal.values, *rehearsal.starts)
        for agent in rehearsal.agents.values():
            yield from agent.reads.values()
        for move in rehearsal.environment.values():
            yield from chain(move.reads.values(), move.set)
        for tool in document.tools.values():
            yield from (item.field for item in tool.touches)
            yield from (item.field for item in tool.premises)
        for link in document.dependencies:
            yield from (link.source, link.target)
        for rule in document.invariants.values():
            for term in rule.let.values():
                yield from (
                    [term] if isinstance(term, str) else filter(None, (term.sum, term.count, term.max, term.min))
                )

    def _starts(self) -> tuple[Values, ...]:
        given = {canonical_name(name): value for name, value in self.section.values.items()}
        made = []
        for start in self.section.starts or ({},):
            here = given | {canonical_name(name): value for name, value in start.items()}
            made.append(tuple(self._first(name, here) for name in self.fields))
        return tuple(dict.fromkeys(made))

    def _first(self, name: str, given: Mapping[str, FieldValue]) -> FieldValue:
        value = given[name] if name in given else self.world.initial(name)
        section = self.world.require(name)
        if isinstance(value, list | tuple):
            return as_set(value)
        return () if value is None and section.type == "set" else value

    def _checks(self) -> Iterable[Check]:
        for rule in self.world.rules:
            instances = list(rule.all_instances(self.fields))
            if not instances and not rule.names:
                instances = [rule.instance({})]
            for instance in instances:
                read = {name: term for name, term in instance.terms.items() if name in instance.expression.names}
                fields = frozenset(
                    place for place, name in enumerate(self.fields) if any(term.covers(name) for term in read.values())
                )
                readings = {name: self._reading(instance, term) for name, term in read.items()}
                yield Check(instance, readings, fields, is_bound=rule.name not in self.document.invariants)

    def _reading(self, instance: Instance, term: BoundTerm) -> Reading:
        places = tuple(place for place, field in enumerate(self.fields) if term.covers(field))
        if term.kind == "field" and not places:
            raise UsageError(
                "unknown_field",
                f"invariant `{instance.key}` speaks of `{term.name}`, which no known resource has",
                hint="give that field to the kind, or name the resource under `resources`",
            )
        if term.kind in ("sum_within", "count_within"):
            self.marks.append(Mark(frozenset(places), term.kind == "count_within"))
            return Reading(term.kind, (len(self.marks) - 1,))
        return Reading(term.kind, places)

    def _influences(self, field: str) -> tuple[tuple[int, float, bool], ...]:
        """Return what a step at a field moves: place, gain, whether it takes time."""
        found = self.world.influences(field)
        return tuple((self.place[item.field], item.gain, item.lag_s > 0) for item in found if item.field in self.place)


def _numbers(values: Values, places: tuple[int, ...]) -> list[float]:
    return [value for place in places if isinstance(value := values[place], int | float)]
