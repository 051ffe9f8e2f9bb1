"""Invariants, with their templates filled in, judged over everything in flight.

Each call in flight may happen or not, in any order, and what follows from it by dependencies may show or not yet: an
act is let through only if none of these worlds breaks the invariant, or if it makes none of them worse. Linear
conditions are exact by their worst sum; others by trying every order of up to four calls; beyond that by ranges, which
is sound and may refuse too much.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from comity.coordination.analysis import parts
from comity.coordination.document import InvariantSection
from comity.coordination.naming import Template
from comity.core.errors import UsageError
from comity.core.expression import Expression, parse

TermKind = Literal["field", "sum", "count", "max", "min", "sum_within", "count_within"]


class Term(NamedTuple):
    """A name of an invariant: one field, many of them, or what was added within `window_us`."""

    kind: TermKind
    template: Template
    window_us: int


class BoundTerm(NamedTuple):
    """A term with its template filled in: a canonical field name or a pattern."""

    kind: TermKind
    name: str
    pattern: Template | None
    window_us: int

    def covers(self, field: str) -> bool:
        """Tell whether a field is part of the term."""
        return self.name == field if self.pattern is None else self.pattern.match(field) is not None


class Instance:
    """An invariant of one group of resources."""

    __slots__ = ("expression", "key", "parts", "rule", "section", "terms")

    def __init__(self, rule: Rule, bound: Mapping[str, str]) -> None:
        """Fill a rule's templates with `bound`."""
        self.rule = rule.name
        self.section = rule.section
        self.expression = rule.expression
        self.parts = rule.parts
        self.terms = {name: _bound(term, bound) for name, term in rule.terms.items()}
        filled = ",".join(f"{name}={value}" for name, value in sorted(bound.items()))
        self.key = f"{rule.name}({filled})" if filled else rule.name

    def covers(self, field: str) -> bool:
        """Tell whether the invariant speaks of a field."""
        return any(term.covers(field) for term in self.terms.values())

    def __repr__(self) -> str:
        return f"Instance({self.key!r})"


class Rule:
    """An invariant of the world file, compiled."""

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


def _bound(term: Term, bound: Mapping[str, str]) -> BoundTerm:
    name = term.template.fill(bound)
    return BoundTerm(term.kind, name, Template(name) if term.template.is_pattern else None, term.window_us)
