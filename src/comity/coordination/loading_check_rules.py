"""Whether invariants and contracts can be meant: their names, their units, and that they hold where the file begins."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

from comity.coordination.document import Aggregate, ContractSection, InvariantSection
from comity.coordination.loading_check import Flaws
from comity.coordination.loading_names import names_of, plain
from comity.coordination.loading_problem import Path, cut
from comity.coordination.loading_types import Meaning, meaning_of, with_article
from comity.coordination.naming import Template
from comity.core.errors import UsageError
from comity.core.expression import Expression, ExpressionError, Value
from comity.journal.world import FieldValue

AGGREGATES: Final = ("sum", "count", "max", "min")
VALUES_TRIED_MAX: Final = 100_000
"""So many values are looked at to find an invariant that is false from the start; with more, not every filling is."""
_WINDOW: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_WINDOW_HINT: Final = "write a number and one of s, m, h, d, w: `90s`, `24h`"


def check_invariants(flaws: Flaws) -> None:
    """Look at invariants."""
    known = start_values(flaws)
    for name, section in flaws.document.invariants.items():
        path: Path = ("invariants", name)
        before = len(flaws.found)
        meanings = {term: _term(flaws, (*path, "let", term), item) for term, item in section.let.items()}
        for term in section.let:
            flaws.name((*path, "let", term), term)
        _check_names(flaws, path, section)
        expression = flaws.judge((*path, "holds"), section.holds, meanings, wanted="boolean")
        if expression is not None and not expression.names:
            hint = "name fields in `let`, and compare them in `holds`"
            flaws.tell((*path, "holds"), f"`{cut(section.holds)}` says nothing of the world", hint)
        if len(flaws.found) == before and expression is not None and section.severity == "block":
            _check_start(flaws, path, section, expression, known)


def _term(flaws: Flaws, path: Path, item: str | Aggregate) -> Meaning:
    """Return what a name of `let` is; tell what is wrong with it."""
    if isinstance(item, str):
        if "*" in item:
            hint = f'write `{{sum: "{cut(item)}"}}`, or count, max, min'
            flaws.tell(path, f"`{cut(item)}` stands for many fields: say what is made of them", hint)
            return Meaning()
        return meaning_of(flaws.find(path, item).fields)
    given = [(how, text) for how in AGGREGATES if (text := getattr(item, how))]
    if len(given) != 1:
        flaws.tell(path, "it needs exactly one of sum, count, max, min", 'write `{sum: "offer/*.discount"}`')
        return Meaning()
    how, text = given[0]
    found = flaws.find((*path, how), text)
    if item.within:
        check_window(flaws, (*path, "within"), item.within)
        if how not in ("sum", "count"):
            flaws.tell((*path, "within"), f"`{how}` has no window", "only sum and count take `within`")
    if how == "count":
        return Meaning("number")
    if found.fields and all(field.type not in ("number", "integer", "boolean") for field in found.fields):
        flaws.tell(
            (*path, how), f"`{cut(text)}` is {with_article(found.fields[0].type)}, which has no {how}", "use `count`"
        )
    return Meaning("number", meaning_of(found.fields).unit)


def check_window(flaws: Flaws, path: Path, text: str) -> None:
    """Tell where a text is no window of time."""
    found = _WINDOW.fullmatch(text.strip())
    if found is None or not float(found[1]):
        flaws.tell(path, f"`{cut(text)}` is no window of time", _WINDOW_HINT)


def _check_names(flaws: Flaws, path: Path, section: InvariantSection) -> None:
    """Tell where templates do not share their `{names}`."""
    first: tuple[str, frozenset[str]] | None = None
    for term, item in section.let.items():
        text = item if isinstance(item, str) else _of_aggregate(item)
        names = names_of(text)
        if not names:
            continue
        if first is None:
            first = term, names
        elif names != first[1]:
            here, there = (" and ".join(f"`{{{cut(part)}}}`" for part in sorted(some)) for some in (names, first[1]))
            hint = "give each template all of them, or none; `*` in an aggregate stands for the others"
            flaws.tell((*path, "let", term), f"it has {here}, and `{cut(first[0])}` has {there}", hint)


def check_contracts(flaws: Flaws) -> None:
    """Look at contracts."""
    for name, section in flaws.document.contracts.items():
        path: Path = ("contracts", name)
        flaws.find((*path, "artefact"), section.artefact, may_be_many=False)
        _check_consumers(flaws, path, section)
        for term, argument in section.let.items():
            flaws.name((*path, "let", term), term)
            if not argument.strip():
                flaws.tell((*path, "let", term), "it names no argument", "write the path of an argument: `rows`")
        names = dict.fromkeys([*section.let, "last"], Meaning())
        flaws.judge((*path, "requires"), section.requires, names, wanted="boolean")
        if section.growth_max < 1:
            hint = "1.5 lets it grow by half"
            flaws.tell((*path, "growth_max"), f"`{section.growth_max:g}` is below 1: nothing could be published", hint)


def _check_consumers(flaws: Flaws, path: Path, section: ContractSection) -> None:
    for place, text in enumerate(section.consumers):
        if "." in text:
            flaws.find((*path, "consumers", place), text)
        elif not text.strip():
            flaws.tell((*path, "consumers", place), "a consumer is empty", "name an agent, or a field")


# Where the file begins


def start_values(flaws: Flaws) -> dict[str, FieldValue]:
    """Return the fields of the resources that a file names, with the values that they begin with; None for none."""
    made: dict[str, FieldValue] = {}
    for name, resource in flaws.document.resources.items():
        given = {plain(key): value for key, value in resource.values.items()}
        kind = flaws.kinds.get(flaws.fields.kind_of(name))
        for key, field in kind.fields.items() if kind is not None else ():
            made[f"{plain(name)}.{plain(key)}"] = given.get(plain(key), field.initial)
    return made


def false_at(
    section: InvariantSection, expression: Expression, known: Mapping[str, FieldValue], values_max: int
) -> str:
    """Return for what an invariant is false over these values (`name=web: ready is 0`); empty where it is for nothing.

    What has no value, or a window of time, says nothing yet. About `values_max` values are looked at.
    """
    has_many = any(isinstance(item, Aggregate) for item in section.let.values())
    for bound in islice(_fillings(section, known), max(1, values_max // (len(known) + 1 if has_many else 1))):
        values = {term: _value(item, bound, known) for term, item in section.let.items()}
        if any(values[name] is None for name in expression.names):
            continue
        try:
            holds = expression.holds(values)
        except ExpressionError:
            continue
        if not holds:
            filled = ", ".join(f"{name}={value}" for name, value in sorted(bound.items()))
            told = ", ".join(f"`{name}` is {_said(values[name])}" for name in sorted(expression.names))
            return f"{filled}: {told}" if filled else told
    return ""


def _check_start(
    flaws: Flaws, path: Path, section: InvariantSection, expression: Expression, known: Mapping[str, FieldValue]
) -> None:
    hint = "correct `holds`, or the values that the world begins with"
    share = VALUES_TRIED_MAX // len(flaws.document.invariants)
    broken = false_at(section, expression, known, share)
    if broken:
        flaws.tell((*path, "holds"), f"it is false from the start ({cut(broken)})", hint)
        return
    rehearsal = flaws.document.rehearsal
    for place, start in enumerate(rehearsal.starts or ({},) if rehearsal is not None else ()):
        assert rehearsal is not None
        values = {**known, **_plainly(rehearsal.values), **_plainly(start)}
        broken = false_at(section, expression, values, share // len(rehearsal.starts or ({},)))
        if broken:
            where: Path = ("rehearsal", "starts", place) if start else ("rehearsal", "values")
            flaws.tell(where, f"invariant `{cut(path[-1])}` is false from the start ({cut(broken)})", hint)


def _plainly(values: Mapping[str, FieldValue]) -> dict[str, FieldValue]:
    return {plain(name): value for name, value in values.items()}


def _fillings(section: InvariantSection, known: Mapping[str, FieldValue]) -> Iterator[dict[str, str]]:
    texts = [item if isinstance(item, str) else _of_aggregate(item) for item in section.let.values()]
    templates = [Template(text) for text in texts if names_of(text)]
    if not templates:
        yield {}
        return
    made: set[tuple[tuple[str, str], ...]] = set()
    for template in templates:
        for field in known:
            bound = template.match(field)
            if bound is not None and (key := tuple(sorted(bound.items()))) not in made:
                made.add(key)
                yield bound


def _of_aggregate(item: Aggregate) -> str:
    return next((text for how in AGGREGATES if (text := getattr(item, how))), "")


def _value(item: str | Aggregate, bound: Mapping[str, str], known: Mapping[str, FieldValue]) -> Value:
    text = item if isinstance(item, str) else _of_aggregate(item)
    try:
        name = Template(text).fill(bound)
    except UsageError:
        return None
    if isinstance(item, str):
        return known.get(name)
    if item.within:
        return None
    wanted = Template(name)
    values = [value for field, value in known.items() if wanted.match(field) is not None]
    numbers = [value for value in values if isinstance(value, int | float)]
    if item.count:
        return sum(1 for value in values if value is not None)
    if not numbers or len(numbers) < len(values):
        return None
    return sum(numbers) if item.sum else max(numbers) if item.max else min(numbers)


def _said(value: Value) -> str:
    return "true" if value is True else "false" if value is False else str(value)
