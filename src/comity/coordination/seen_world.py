"""The world as its detectors and its map see it: what is declared, with what is believed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from comity.coordination.causality.declared import Bound, Habit, Influence
from comity.coordination.detectors.surroundings import NOWHERE, Place
from comity.coordination.invariant import Instance
from comity.coordination.world import World
from comity.core.errors import ComityError
from comity.journal.spec import ToolSpec
from comity.journal.world import Change, FieldValue

INSTANCES_MAX = 50_000


class SeenWorld:
    """Implements `Surroundings` for detectors and `Declared` for the map.

    `believed` gives a field's value, None where it is not known; `known` the fields that exist.
    """

    def __init__(
        self,
        world: World,
        believed: Callable[[str], FieldValue],
        known: Callable[[], Iterable[str]],
        spec_of: Callable[[str], ToolSpec | None] = lambda _name: None,
    ) -> None:
        """See `world`; `spec_of` finds a tool that declares its touches itself."""
        self.world = world
        self._believed = believed
        self._known = known
        self._spec_of = spec_of
        self._places: dict[str, Place] = {}
        self._instances: dict[str, Instance] = {}

    # For detectors

    def place(self, field: str) -> Place:
        """Return where a field stands."""
        found = self._places.get(field)
        if found is None:
            found = self._place(field)
            if len(self._places) >= INSTANCES_MAX:
                self._places.clear()
            self._places[field] = found
        return found

    def holds(self, invariant: str, values: Mapping[str, FieldValue]) -> bool | None:
        """Tell whether an invariant holds where fields have these values, the others as believed."""
        instance = self._instances.get(invariant)
        if instance is None or any(term.kind != "field" for term in instance.terms.values()):
            return None
        names = {}
        for name, term in instance.terms.items():
            value = values[term.name] if term.name in values else self._believed(term.name)
            if value is None:
                return None
            names[name] = value
        try:
            return instance.expression.holds(names)
        except ComityError:
            return None

    def rests(self, tool: str, field: str, value: FieldValue) -> bool | None:
        """Tell whether what a tool requires of a field holds of a value; None where it requires nothing of it."""
        handling = self.world.tool(tool, self._spec_of(tool))
        return None if handling is None else handling.rests(field, value)

    # For the map

    def changes(self, tool: str, args: Mapping[str, Any]) -> Sequence[Change]:
        """Return what a call with these arguments would change."""
        handling = self.world.tool(tool, self._spec_of(tool))
        if handling is None:
            return ()
        return handling.bind(args).changes

    def rests_on(self, tool: str, args: Mapping[str, Any]) -> Sequence[str]:
        """Return the fields that the premises of such a call read."""
        handling = self.world.tool(tool, self._spec_of(tool))
        return () if handling is None else [premise.field for premise in handling.bind(args).premises]

    def is_declared(self, tool: str) -> bool:
        """Return whether anything was declared of what the tool touches."""
        return self.world.tool(tool, self._spec_of(tool)) is not None

    def influences(self, field: str) -> Sequence[Influence]:
        """Return the dependencies that lead from the field, one hop."""
        return [
            Influence(field, target, link.relation, link.gain, link.lag_s) for target, link in self.world.links(field)
        ]

    def bounds(self, field: str) -> Sequence[Bound]:
        """Return the invariants that read the field, with all of their fields filled in."""
        found = []
        for item in self.world.instances(field, self._known()):
            fields = tuple(sorted({term.name for term in item.terms.values()}))
            if len(fields) > 1 or fields != (field,) or item.rule in self.world.document.invariants:
                found.append(Bound(item.key, fields, item.section.severity, item.section.mode, item.section.holds))
        return found

    def habits(self) -> Sequence[Habit]:
        """Return what the rehearsed agents of the file are declared to read and to touch."""
        rehearsal = self.world.document.rehearsal
        if rehearsal is None:
            return ()
        found = []
        for name, agent in sorted(rehearsal.agents.items()):
            tools = [rule.do for rule in agent.rules]
            touched = [item.field for tool in tools for item in self._touches(tool) if "{" not in item.field]
            found.append(Habit(name, tuple(sorted(agent.reads.values())), tuple(sorted(set(touched)))))
        return found

    def _touches(self, tool: str) -> Iterable[Any]:
        section = self.world.document.tools.get(tool)
        return () if section is None else section.touches

    def _place(self, field: str) -> Place:
        section = self.world.section(field)
        if section is None:
            return NOWHERE
        instances = self.world.instances(field, self._known())
        if len(self._instances) >= INSTANCES_MAX:
            self._instances.clear()
        self._instances.update((item.key, item) for item in instances)
        kind = self.world.kind_of(field)
        resources = {name.rpartition(".")[0] for name in self._known() if self.world.kind_of(name) == kind}
        return Place(
            section.settle_s,
            section.epsilon,
            self.world.component_of(field),
            self.world.domain_of(field),
            len(resources),
            tuple(item.key for item in instances if item.rule in self.world.document.invariants),
            {far.field: far.gain for far in self.world.influences(field)},
        )
