"""Invariants, with their templates filled in: what each speaks of, and which of them speak of a field.

How they are judged over everything in flight is in `corners`.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

import msgspec

from comity.coordination.analysis import Part, parts
from comity.coordination.document import InvariantSection
from comity.coordination.naming import Template, folded, split_field
from comity.core.errors import UsageError
from comity.core.expression import Expression, parse

TOLERANCE = 1e-9
"""Sums of floating-point numbers that differ by less are the same."""
TermKind = Literal["field", "sum", "count", "max", "min", "sum_within", "count_within"]


class Term(NamedTuple):
    """A name of an invariant: one field, many of them, or what was added within `window_us`."""

    kind: TermKind
    template: Template
    window_us: int


class BoundTerm(msgspec.Struct, frozen=True, gc=False):
    """A term with its template filled in: a canonical field name or a pattern."""

    kind: TermKind
    name: str
    pattern: Template | None
    window_us: int

    def covers(self, field: str) -> bool:
        """Tell whether a field is part of the term."""
        return self.name == field if self.pattern is None else self.pattern.match(field) is not None


class Form(msgspec.Struct, frozen=True, gc=False):
    """What a linear condition Σ factor·term + constant ≤ 0 adds up: single fields, groups of them, windows."""

    singles: tuple[tuple[str, float], ...]
    groups: tuple[tuple[str, float], ...]
    counts: tuple[tuple[str, float], ...]
    windows: tuple[tuple[BoundTerm, float], ...]
    constant: float
    is_strict: bool

    def weight(self, field: str, groups: Container[str]) -> float:
        """Return by how much a step of one unit at a field, which is one of these groups, raises the sum."""
        total = 0.0
        for name, factor in self.singles:
            if name == field:
                total += factor
        for name, factor in self.groups:
            if name in groups:
                total += factor
        return total

    def is_over(self, total: float) -> bool:
        """Tell whether the condition is false where it adds up to this."""
        return total >= -TOLERANCE if self.is_strict else total > TOLERANCE


class Instance:
    """An invariant of one group of resources: the fields (`names`) and `patterns` that it speaks of.

    `conditions` are its parts, each with what it adds up, None where it is not linear. `is_enforced`: what could break
    it is turned away.
    """

    __slots__ = (
        "conditions",
        "expression",
        "has_windows",
        "horizon_us",
        "is_enforced",
        "key",
        "names",
        "parts",
        "patterns",
        "rule",
        "section",
        "terms",
    )

    def __init__(self, rule: Rule, bound: Mapping[str, str]) -> None:
        """Fill a rule's templates with `bound`."""
        self.rule = rule.name
        self.section = rule.section
        self.expression = rule.expression
        self.parts = rule.parts
        self.terms = {name: _bound(term, bound) for name, term in rule.terms.items()}
        self.names = tuple({term.name: None for term in self.terms.values() if term.pattern is None})
        self.has_windows = any(term.window_us for term in self.terms.values())
        self.patterns = tuple({term.name: None for term in self.terms.values() if term.pattern is not None})
        self.is_enforced = rule.section.mode == "enforce" and rule.section.severity != "warn"
        self.conditions = tuple((part, _form(part, self.terms)) for part in rule.parts)
        self.horizon_us = round(rule.section.horizon_s * 1e6)
        filled = ",".join(f"{name}={value}" for name, value in sorted(bound.items()))
        self.key = f"{rule.name}({filled})" if filled else rule.name

    def covers(self, field: str) -> bool:
        """Tell whether the invariant speaks of a field."""
        return any(term.covers(field) for term in self.terms.values())

    def __repr__(self) -> str:
        return f"Instance({self.key!r})"


class Rule:
    """An invariant of the world file, compiled. `is_open`: a field of it may concern every group of resources."""

    def __init__(self, name: str, section: InvariantSection, terms: Mapping[str, Term]) -> None:
        """Compile it.

        Raises:
            UsageError: the expression does not parse, reads what is not in `let`, or the templates do not agree.
        """
        self.name = name
        self.section = section
        self.terms = dict(terms)
        self.expression: Expression = parse(section.holds, terms)
        self.parts = parts(self.expression)
        names = {term.template.names for term in terms.values() if term.template.names}
        if len(names) > 1:
            raise UsageError(
                "names_disagree",
                f"invariant `{name}`: its templates have different {{names}}",
                hint="each template has all of them, or none; use `*` in an aggregate for the others",
            )
        self.names: frozenset[str] = next(iter(names), frozenset())
        self.is_open = any(term.template.names != self.names for term in terms.values())

    def bindings(self, field: str) -> Iterator[dict[str, str] | None]:
        """Yield how templates match a field: what their names stand for; None where that leaves the others open."""
        for term in self.terms.values():
            bound = term.template.match(field)
            if bound is not None:
                yield bound if term.template.names == self.names else None

    def instance(self, bound: Mapping[str, str]) -> Instance:
        """Return the rule with its names filled in."""
        return Instance(self, bound)

    def all_instances(self, known: Iterable[str]) -> Iterator[Instance]:
        """Yield the rule for each way that its names are filled by known fields."""
        made: set[tuple[tuple[str, str], ...]] = set()
        for field in known:
            for bound in self.bindings(field):
                if bound is not None and (key := tuple(sorted(bound.items()))) not in made:
                    made.add(key)
                    yield Instance(self, bound)


class Speaks(msgspec.Struct, frozen=True, gc=False):
    """That a rule speaks of a field: `bound` fills its names, None where it leaves them open.

    `groups` are the patterns, filled in, that the field is one of; `window_us` is its longest window.
    """

    rule: Rule
    bound: Mapping[str, str] | None
    groups: tuple[str, ...]
    window_us: int


class RuleBook:
    """Finds the rules that speak of a field without trying all of them."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        """Sort rules by what their templates begin and end with."""
        self._places: dict[tuple[str, str], list[tuple[int, Rule, Term]]] = {}
        for number, rule in enumerate(rules):
            for term in rule.terms.values():
                self._places.setdefault(_place(term.template.text), []).append((number, rule, term))

    def of(self, field: str) -> tuple[Speaks, ...]:
        """Return what rules say of a field, in the order of the rules."""
        head, tail = field.split("/", 1)[0], split_field(field)[1]
        places = (("=", field), (head, tail), (head, ""), ("", tail), ("", ""))
        found = [item for place in places for item in self._places.get(place, ())]
        made: dict[tuple[int, tuple[tuple[str, str], ...] | None], Speaks] = {}
        for number, rule, term in sorted(found, key=lambda item: item[0]):
            bound = term.template.match(field)
            if bound is None:
                continue
            filled = bound if term.template.names == rule.names else None
            key = (number, None if filled is None else tuple(sorted(filled.items())))
            before = made.get(key, Speaks(rule, filled, (), 0))
            groups = (term.template.fill(bound),) if term.template.is_pattern else ()
            made[key] = Speaks(rule, filled, before.groups + groups, max(before.window_us, term.window_us))
        return tuple(made.values())


def _place(text: str) -> tuple[str, str]:
    """Return where a template is kept: by its whole name, or by its first piece and its field as far as they are."""
    if "{" not in text and "*" not in text:
        return "=", folded(text).strip()
    head = text.split("/", 1)[0] if "/" in text else ""
    tail = split_field(text)[1]
    return "" if "{" in head or "*" in head else folded(head), "" if set(tail) & set("{}*") else folded(tail)


def _bound(term: Term, bound: Mapping[str, str]) -> BoundTerm:
    name = term.template.fill(bound)
    return BoundTerm(term.kind, name, Template(name) if term.template.is_pattern else None, term.window_us)


def _form(part: Part, terms: Mapping[str, BoundTerm]) -> Form | None:
    """Return how a condition adds up, None where it is not linear or adds up what is no sum."""
    if part.linear is None:
        return None
    found: dict[str, list[tuple[str, float]]] = {"field": [], "sum": [], "count": []}
    windows: list[tuple[BoundTerm, float]] = []
    for name, factor in part.linear.coefficients.items():
        term = terms[name]
        if term.window_us:
            windows.append((term, factor))
        elif term.kind == "sum" and term.pattern is None:
            found["field"].append((term.name, factor))
        elif term.kind in found and (term.pattern is not None) == (term.kind != "field"):
            found[term.kind].append((term.name, factor))
        else:
            return None
    singles, groups, counts = (tuple(found[kind]) for kind in ("field", "sum", "count"))
    return Form(singles, groups, counts, tuple(windows), part.linear.constant, part.linear.is_strict)
