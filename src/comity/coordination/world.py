"""The world compiled: what a field is, what a tool's call would touch, which rules speak of a field.

A component is made of the kinds that an invariant, a dependency, a contract or a tool ties together; it has one writer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from comity.coordination.contracts import Contract
from comity.coordination.document import Aggregate, FieldSection, InvariantSection, KindSection, Relation, WorldDocument
from comity.coordination.handling import Handling, as_set, is_number
from comity.coordination.invariant import Instance, Rule, RuleBook, Speaks, Term
from comity.coordination.naming import Template, canonical_name, split_field
from comity.core.errors import UsageError
from comity.journal.naming import is_named
from comity.journal.spec import ToolSpec
from comity.journal.world import FieldValue

CACHE_MAX = 50_000
DEPTH_MAX = 3
_WINDOW = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


class Kind(NamedTuple):
    """A kind of resources, with the template of their ids and the component that it belongs to."""

    name: str
    template: Template
    fields: Mapping[str, FieldSection]
    domain: str
    component: str


class Influence(NamedTuple):
    """What a step of one unit at a field means for another, after `lag_s`; `path` are the fields in between."""

    field: str
    gain: float
    lag_s: float
    path: tuple[str, ...]


class Link(NamedTuple):
    """A dependency between field templates."""

    source: Template
    target: Template
    relation: Relation
    gain: float
    lag_s: float


class Known(msgspec.Struct, gc=False):
    """All that the file says of a field, compiled when the field is first met.

    `parts` are what its kind's template found in its name, `groups` the patterns of invariants, filled in, that it is
    one of, `window_us` the longest window that counts its steps (0: none). What speaks of other fields too is made when
    it is first asked for.
    """

    kind: Kind | None
    section: FieldSection | None
    parts: Mapping[str, str]
    spoken: tuple[Speaks, ...]
    groups: frozenset[str]
    window_us: int
    is_open: bool
    instances: tuple[Instance, ...] | None = None
    influences: tuple[Influence, ...] | None = None


def misfit(section: FieldSection, value: FieldValue) -> str:
    """Return why a field of this section cannot have a value, empty where it can. Bounds are invariants, no types."""
    if section.type in ("number", "integer"):
        if not is_number(value):
            return "is a number (below 1e18)"
        is_whole = section.type == "number" or value == int(value)
        return "" if is_whole else "is a whole number"
    if section.type == "set":
        return "" if isinstance(value, tuple | list) else "is a set"
    if section.type == "boolean":
        return "" if isinstance(value, bool) else "is true or false"
    if section.values:
        return "" if value in section.values else f"is one of {', '.join(map(str, section.values))}"
    return "" if isinstance(value, str) else "is text"


def window_s(text: str) -> float:
    """Return the seconds of a window such as `24h`; 0 for none.

    Raises:
        UsageError: it is no window.
    """
    if not text:
        return 0.0
    found = _WINDOW.fullmatch(text.strip())
    if found is None or not float(found[1]):
        raise UsageError("bad_window", f"`{text}` is no window of time", hint="write a number and one of s, m, h, d, w")
    return float(found[1]) * _SECONDS[found[2]]


class World:
    """A world file made ready to judge by. Immutable, but for caches; `tools` may be added to by `declare`."""

    def __init__(self, document: WorldDocument) -> None:
        """Compile a document.

        Raises:
            UsageError: it does not fit together.
        """
        self.document = document
        self._links = tuple(
            Link(Template(item.source), Template(item.target), item.relation, item.gain, item.lag_s)
            for item in document.dependencies
        )
        self.rules = (
            *(_rule(name, section) for name, section in document.invariants.items()),
            *(rule for kind in document.kinds.values() for rule in _bounds(kind)),
        )
        self._book = RuleBook(self.rules)
        self._contracts = {name: Contract(name, section) for name, section in document.contracts.items()}
        self._tools = {name: Handling.of(name, section) for name, section in document.tools.items()}
        self.kinds = self._compiled_kinds()
        self._known: dict[str, Known] = {}
        self._instances: dict[tuple[str, tuple[tuple[str, str], ...]], Instance] = {}
        self.labels = {canonical_name(name): item for name, item in document.resources.items()}

    # Fields

    def known(self, field: str) -> Known:
        """Return all that the file says of a field (a canonical name)."""
        found = self._known.get(field)
        if found is None:
            found = self._compiled(field)
            _keep(self._known, field, found)
        return found

    def section(self, field: str) -> FieldSection | None:
        """Return the section of a field, None where the file knows no such field."""
        return self.known(field).section

    def require(self, field: str) -> FieldSection:
        """Return what the file says of a field.

        Raises:
            UsageError: it knows no such field.
        """
        found = self.section(field)
        if found is None:
            known = [f"{kind.template.text}.{name}" for kind in self.kinds.values() for name in kind.fields]
            raise UsageError(
                "unknown_field",
                f"the world has no field `{field}`",
                hint=f"it has {', '.join(f'`{name}`' for name in known[:12])}" if known else "it has none",
                retry="rethink",
            )
        return found

    def misfit(self, field: str, value: FieldValue) -> str:
        """Return why a field cannot have a value, empty where it can; unknown fields can have none."""
        section = self.section(field)
        return "does not exist" if section is None else misfit(section, value)

    def normal(self, field: str, value: FieldValue) -> FieldValue:
        """Return a value as the field holds it: sets are sorted, each element once."""
        return as_set(value) if isinstance(value, tuple | list) else value

    def kind_of(self, field: str) -> str:
        """Return the kind of a field's resource, empty for an unknown field."""
        kind = self.known(field).kind
        return "" if kind is None else kind.name

    def component_of(self, field: str) -> str:
        """Return the component that a field belongs to, empty for an unknown field."""
        kind = self.known(field).kind
        return "" if kind is None else kind.component

    def settle_s(self, field: str) -> float:
        """Return within how many seconds of its outcome a change of this field shows."""
        section = self.section(field)
        return 0.0 if section is None else section.settle_s

    def domain_of(self, field: str) -> str:
        """Return the failure domain of a field's resource, empty where none is named."""
        resource, _ = split_field(field)
        named = self.labels.get(resource)
        if named is not None and named.domain:
            return named.domain
        found = self.known(field)
        if found.kind is None or not found.kind.domain:
            return ""
        values = {**found.parts, **(named.labels if named is not None else {})}
        try:
            return Template(found.kind.domain).fill(values)
        except UsageError:
            return ""

    def initial(self, field: str) -> FieldValue:
        """Return the first proposed value of a field: the resource's, else the kind's; None for none."""
        resource, name = split_field(field)
        named = self.labels.get(resource)
        if named is not None and name in named.values:
            return named.values[name]
        section = self.section(field)
        return None if section is None else section.initial

    def named_fields(self) -> Iterable[str]:
        """Yield the fields of the resources that the file names."""
        for resource in self.labels:
            for kind in self.kinds.values():
                if kind.template.match(resource) is not None:
                    yield from (canonical_name(f"{resource}.{name}") for name in kind.fields)

    # Rules

    def spoken_of(self, field: str) -> tuple[Speaks, ...]:
        """Return which rules speak of a field, and how."""
        return self.known(field).spoken

    def instance(self, rule: Rule, bound: Mapping[str, str]) -> Instance:
        """Return a rule with its names filled in."""
        key = (rule.name, tuple(sorted(bound.items())))
        found = self._instances.get(key)
        if found is None:
            found = rule.instance(bound)
            _keep(self._instances, key, found)
        return found

    def groups_of(self, field: str) -> frozenset[str]:
        """Return the patterns of invariants, filled in, that a field is one of."""
        return self.known(field).groups

    def fixed_instances(self, field: str) -> tuple[Instance, ...] | None:
        """Return the invariants that speak of a field, where these do not hang on what else exists; else None."""
        found = self.known(field)
        if found.instances is None and not found.is_open:
            made = [self.instance(item.rule, item.bound) for item in found.spoken if item.bound is not None]
            found.instances = tuple({item.key: item for item in made}.values())
        return found.instances

    def window_us(self, field: str) -> int:
        """Return the longest window of invariants that counts steps of a field, 0 for none."""
        return self.known(field).window_us

    def instances(self, field: str, known: Iterable[str]) -> tuple[Instance, ...]:
        """Return the invariants that speak of a field, with their templates filled in.

        `known` are the fields that exist; they matter where a rule has a template without `{names}` that is this one.
        """
        made: dict[str, Instance] = {}
        for speaks in self.spoken_of(field):
            if speaks.bound is None:
                made.update((item.key, item) for item in speaks.rule.all_instances(known))
            else:
                item = self.instance(speaks.rule, speaks.bound)
                made[item.key] = item
        return tuple(made.values())

    def invariants_of(self, field: str) -> tuple[str, ...]:
        """Return the names of the invariants that speak of a field."""
        return tuple(dict.fromkeys(item.rule.name for item in self.spoken_of(field)))

    def influences(self, field: str) -> tuple[Influence, ...]:
        """Return what a step at a field moves by `derives` dependencies, at most three deep."""
        found = self.known(field)
        if found.influences is None:
            found.influences = tuple(self._reach(field, 1.0, 0.0, (field,)))
        return found.influences

    def links(self, field: str) -> Iterable[tuple[str, Link]]:
        """Yield the dependencies that lead from a field, each with the field that it leads to."""
        return self._targets(field)

    def reaches(self, field: str) -> tuple[str, ...]:
        """Return the fields that depend on a field by any relation, at most three deep."""
        found: list[str] = []
        edge = [field]
        for _ in range(DEPTH_MAX):
            edge = [target for source in edge for target, _ in self._targets(source) if target not in {field, *found}]
            found += edge
        return tuple(dict.fromkeys(found))

    def contract(self, name: str) -> Contract:
        """Return a contract by its name."""
        return self._contracts[name]

    # Tools

    def tool(self, name: str, spec: ToolSpec | None = None) -> Handling | None:
        """Return how calls of a tool touch the world: as the file says, or its author; None where nobody says.

        Raises:
            UsageError: both say it.
        """
        here = self._tools.get(name)
        if spec is None or not (spec.touches or spec.premises):
            return here
        if here is not None and (here.section.touches or here.section.premises):
            raise UsageError(
                "declared_twice",
                f"what tool `{name}` touches is declared in the world file and beside the tool",
                hint="take one of the two out",
            )
        return Handling.beside(spec, here)

    def scoped(self, tool: str) -> list[Kind]:
        """Return the kinds whose scope a tool's name matches."""
        sections = self.document.kinds
        return [kind for name, kind in self.kinds.items() if is_named(tool, sections[name].scope)]

    # Inside

    def _compiled(self, field: str) -> Known:
        resource, name = split_field(field)
        kinds = ((kind, kind.template.match(resource)) for kind in self.kinds.values() if name in kind.fields)
        kind, parts = next(((kind, parts) for kind, parts in kinds if parts is not None), (None, {}))
        spoken = self._book.of(field)
        return Known(
            kind,
            kind.fields[name] if kind is not None else None,
            parts,
            spoken,
            frozenset(pattern for item in spoken for pattern in item.groups),
            max((item.window_us for item in spoken), default=0),
            any(item.bound is None for item in spoken),
        )

    def _targets(self, field: str) -> Iterable[tuple[str, Link]]:
        for link in self._links:
            parts = link.source.match(field)
            if parts is not None and link.target.names <= set(parts) and not link.target.is_pattern:
                yield link.target.fill(parts), link

    def _reach(self, field: str, gain: float, lag_s: float, path: tuple[str, ...]) -> Iterable[Influence]:
        if len(path) > DEPTH_MAX:
            return
        for target, link in self._targets(field):
            if link.relation == "derives" and target not in path:
                far = Influence(target, gain * link.gain, lag_s + link.lag_s, (*path, target))
                yield far
                yield from self._reach(target, far.gain, far.lag_s, far.path)

    def _compiled_kinds(self) -> dict[str, Kind]:
        sections = self.document.kinds
        templates = {name: Template(section.id) for name, section in sections.items()}
        groups = {name: name for name in sections}
        for fields in self._tied():
            kinds = [name for text in fields for name in _kinds_named(text, sections, templates)]
            for one in kinds[1:]:
                _join(groups, kinds[0], one)
        return {
            name: Kind(
                name,
                templates[name],
                {field.casefold(): section for field, section in item.fields.items()},
                item.domain,
                _root(groups, name),
            )
            for name, item in sections.items()
        }

    def _tied(self) -> Iterable[Sequence[str]]:
        """Yield groups of field templates that must be judged together."""
        for rule in self.document.invariants.values():
            yield [text for term in rule.let.values() for text in _texts(term)]
        for link in self.document.dependencies:
            yield [link.source, link.target]
        for tool in self.document.tools.values():
            yield [*(item.field for item in tool.touches), *(item.field for item in tool.premises)]
        for contract in self.document.contracts.values():
            yield [contract.artefact, *(text for text in contract.consumers if "." in text)]


def _keep(cache: dict[Any, Any], key: Any, value: Any) -> None:
    if len(cache) >= CACHE_MAX:
        cache.clear()
    cache[key] = value


def _texts(term: str | Aggregate) -> list[str]:
    if isinstance(term, str):
        return [term]
    return [text for text in (term.sum, term.count, term.max, term.min) if text]


def _rule(name: str, section: InvariantSection) -> Rule:
    return Rule(name, section, {key: _term(name, key, item) for key, item in section.let.items()})


def _bounds(kind: KindSection) -> Iterable[Rule]:
    """Yield what `low` and `high` of a kind's fields mean: invariants that are always enforced."""
    for field, section in kind.fields.items():
        limits = [f"{low:g} <= value" for low in (section.low,) if low is not None]
        limits += [f"value <= {high:g}" for high in (section.high,) if high is not None]
        if limits:
            holds = InvariantSection({"value": f"{kind.id}.{field}"}, " and ".join(limits), mode="enforce")
            yield _rule(f"{kind.id}.{field} bounds", holds)


def _term(rule: str, key: str, item: str | Aggregate) -> Term:
    if isinstance(item, str):
        return Term("field", Template(item), 0)
    given = [(how, text) for how in ("sum", "count", "max", "min") if (text := getattr(item, how))]
    if len(given) != 1:
        raise UsageError(
            "bad_aggregate",
            f"invariant `{rule}`: `{key}` needs exactly one of sum, count, max, min",
            hint='write, say, {sum: "offer/*.discount"}',
        )
    how, text = given[0]
    width_s = window_s(item.within)
    if width_s and how not in ("sum", "count"):
        raise UsageError("bad_aggregate", f"invariant `{rule}`: `{key}`: only sum and count take `within`")
    return Term(f"{how}_within" if width_s else how, Template(text), round(width_s * 1e6))  # type: ignore[arg-type]


def _kinds_named(text: str, sections: Mapping[str, Any], templates: Mapping[str, Template]) -> list[str]:
    """Return the kinds that a field template may speak of."""
    resource, field = split_field(text)
    probe = re.sub(r"\{[^}]*\}|\*", "x", resource).casefold()
    wild = Template(re.sub(r"\{[^}]*\}", "*", resource))
    found = []
    for name, section in sections.items():
        plain = re.sub(r"\{[^}]*\}", "x", section.id).casefold()
        is_there = field == "*" or field in section.fields
        if is_there and (templates[name].match(probe) is not None or wild.match(plain) is not None):
            found.append(name)
    return found


def _root(groups: dict[str, str], name: str) -> str:
    while groups[name] != name:
        name = groups[name]
    return name


def _join(groups: dict[str, str], one: str, other: str) -> None:
    a, b = sorted((_root(groups, one), _root(groups, other)))
    groups[b] = a
