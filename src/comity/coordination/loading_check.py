"""What is fine in each place and wrong together: names that lead nowhere, values out of bounds, units, circles.

`check` asks no engine. It returns everything that it finds; what needs another part that is wrong is left for later.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from comity.coordination.document import FieldSection, KindSection, WorldDocument
from comity.coordination.loading_names import (
    Fields,
    Found,
    id_fault,
    is_concrete,
    name_fault,
    names_of,
    overlap,
    overlapping,
    plain,
)
from comity.coordination.loading_problem import Path, cut, nearest
from comity.coordination.loading_types import Meaning, field_of, judge
from comity.core.expression import FUNCTIONS, Expression, ExpressionError, parse
from comity.journal.world import FieldValue

KINDS_MAX: Final = 200
"""Kinds are templates; each is compared with each."""
_FIELD: Final = re.compile(r"[^\W\d][\w-]*")
_NUMERIC: Final = ("number", "integer")
_EXAMPLES: Final = {
    "number": "a number",
    "integer": "a whole number",
    "boolean": "`true` or `false`",
    "text": "text",
    "set": "a list: `[a, b]`",
}


FLAWS_MAX: Final = 500
"""With more than this the rest is left for the next time: nobody reads it."""
DEPENDENCIES_MAX: Final = 1_000


class EnoughFlaws(Exception):
    """So much is wrong that the rest is not looked at."""


class Flaw(msgspec.Struct, frozen=True):
    """What is wrong with the value at a path, and a way out."""

    path: Path
    message: str
    hint: str = ""


class Flaws:
    """Collects flaws; knows the document and its fields."""

    def __init__(self, document: WorldDocument) -> None:
        """Have found nothing yet."""
        self.document = document
        self.kinds = {name: kind for name, kind in document.kinds.items() if not id_fault(kind.id)[0]}
        self.fields = Fields(self.kinds)
        self.found: list[Flaw] = []

    def tell(self, path: Path, message: str, hint: str = "") -> None:
        """Keep a flaw.

        Raises:
            EnoughFlaws: there are many.
        """
        self.found.append(Flaw(path, message, hint))
        if len(self.found) >= FLAWS_MAX:
            raise EnoughFlaws

    def find(self, path: Path, text: str, *, may_be_many: bool = True) -> Found:
        """Return what a field template at `path` speaks of; tell where it is nothing."""
        found = self.fields.find(text)
        if found.fault:
            self.tell(path, found.fault, found.hint)
        elif not may_be_many and "*" in text:
            self.tell(path, f"`{cut(text)}` stands for many fields, and one is wanted", "name the field")
        return found

    def find_one(self, path: Path, text: str) -> Found:
        """Return what the name of one field speaks of; tell where it is nothing, or a template."""
        if is_concrete(text):
            return self.find(path, text)
        self.tell(path, f"`{cut(text)}` does not name one field", "write `KIND/NAME.FIELD`, without braces and `*`")
        return Found(fault="no field")

    def parse(self, path: Path, text: str, names: Iterable[str] | None) -> Expression | None:
        """Return the expression at `path`, None where it is none; `names` are what it may read, None for any."""
        try:
            return parse(text, names)
        except ExpressionError as error:
            hint = error.hint
            if error.code == "unknown_name" and names is not None:
                odd = sorted(parse(text).names - {*names})
                hint = nearest(odd[0], names) or "it may read no names"
            said = error.message if len(error.message) <= 300 else f"{error.message[:100]} … {error.message[-180:]}"
            self.tell(path, said, hint)
            return None

    def judge(
        self, path: Path, text: str, names: Mapping[str, Meaning], *, wanted: str = "", is_open: bool = False
    ) -> Expression | None:
        """Parse an expression and tell what in it cannot be meant; where it `is_open` it may read other names too."""
        expression = self.parse(path, text, None if is_open else names)
        if expression is not None:
            for fault in judge(expression, names, wanted):
                self.tell(path, fault.message, fault.hint)
        return expression

    def name(self, path: Path, name: str) -> None:
        """Tell where a name of `let` or `reads` cannot stand in an expression."""
        if not name.isidentifier() or keyword.iskeyword(name) or name in FUNCTIONS:
            hint = "letters, digits and `_`, and no word of the expression language"
            self.tell(path, f"`{cut(name)}` cannot be a name in an expression", hint)


def value_fault(value: FieldValue, field: FieldSection) -> tuple[str, str]:
    """Return why a field cannot have a value, and a way out; empty texts where it can."""
    if value is None:
        return "", ""
    said = cut(value if isinstance(value, str) else msgspec.json.encode(value).decode())
    if not _is_of(value, field.type):
        return f"`{said}` is no value of {field_of(field.type)}", f"write {_EXAMPLES[field.type]}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        if field.low is not None and value < field.low:
            return f"`{said}` is below `low`, which is {field.low:g}", "correct one of the two"
        if field.high is not None and value > field.high:
            return f"`{said}` is above `high`, which is {field.high:g}", "correct one of the two"
    if field.values:
        odd = [item for item in (value if isinstance(value, tuple) else (value,)) if item not in field.values]
        if odd:
            known = [str(item) for item in field.values]
            return f"`{cut(odd[0])}` is none of the field's `values`", nearest(str(odd[0]), known)
    return "", ""


def check_kinds(flaws: Flaws) -> bool:
    """Look at kinds and their fields; tell whether the rest can be looked at."""
    kinds = flaws.document.kinds
    if len(kinds) > KINDS_MAX:
        hint = "a kind is a template: `service/{name}` is every service"
        flaws.tell(("kinds",), f"there are {len(kinds)} kinds, at most {KINDS_MAX} are read", hint)
        return False
    for name, kind in kinds.items():
        _check_kind(flaws, ("kinds", name), kind)
    for first, second in overlapping((name, kind.id) for name, kind in flaws.kinds.items()):
        pair = f"`{cut(kinds[second].id)}` and `{cut(kinds[first].id)}` of kind `{cut(first)}`"
        message = f"{pair} may name the same resource"
        flaws.tell(("kinds", second, "id"), message, "let their ids begin with different words")
    return True


def _check_kind(flaws: Flaws, path: Path, kind: KindSection) -> None:
    parts = re.findall(r"\{([\w.-]+)\}", kind.id)
    message, hint = id_fault(kind.id)
    if message:
        flaws.tell((*path, "id"), message, hint)
    if not kind.fields:
        flaws.tell((*path, "fields"), "the kind has no fields", "a kind without fields says nothing: add one")
    labels = {
        label
        for name, resource in flaws.document.resources.items()
        if flaws.fields.kind_of(name) == path[-1]
        for label in resource.labels
    }
    for part in sorted(names_of(kind.domain) - {*parts, *labels}):
        message = f"`{{{cut(part)}}}` is no part of `{cut(kind.id)}`, and no label of its resources"
        flaws.tell((*path, "domain"), message, nearest(part, {*parts, *labels}))
    if kind.declared_only and not kind.scope:
        hint = "add `scope: [TOOL, …]`, which says whose calls must be declared"
        flaws.tell((*path, "declared_only"), "it has no meaning without `scope`", hint)
    for place, pattern in enumerate(kind.scope):
        if not pattern.strip():
            flaws.tell((*path, "scope", place), "a pattern is empty", "write the name of a tool, or `crm.*`")
    seen: dict[str, str] = {}
    for name, field in kind.fields.items():
        where = (*path, "fields", name)
        if not _FIELD.fullmatch(name):
            flaws.tell(where, f"`{cut(name)}` cannot name a field", "begin with a letter; letters, digits, `_` and `-`")
        elif plain(name) in seen:
            flaws.tell(
                where, f"it is the same as `{cut(seen[plain(name)])}`: names have no case", "keep one of the two"
            )
        seen[plain(name)] = name
        _check_field(flaws, where, field)


def _check_field(flaws: Flaws, path: Path, field: FieldSection) -> None:
    is_number = field.type in _NUMERIC
    for key, is_given in (
        ("low", field.low is not None),
        ("high", field.high is not None),
        ("epsilon", bool(field.epsilon)),
        ("generation", field.generation),
    ):
        if is_given and not is_number:
            flaws.tell((*path, key), f"{field_of(field.type)} has no `{key}`", "leave it out, or write `type: number`")
    if field.values and field.type not in ("text", "set"):
        hint = "leave them out, or write `type: text`; numbers take `low` and `high`"
        flaws.tell((*path, "values"), f"{field_of(field.type)} has no `values`", hint)
    elif field.type == "text":
        for place, value in enumerate(field.values):
            if not isinstance(value, str):
                flaws.tell((*path, "values", place), f"`{cut(value)}` is no text", f'write `"{cut(value)}"`')
    if is_number and field.low is not None and field.high is not None and field.low > field.high:
        flaws.tell((*path, "low"), f"`low` is {field.low:g}, which is above `high`, {field.high:g}", "exchange the two")
        return
    message, hint = value_fault(field.initial, field)
    if message:
        flaws.tell((*path, "initial"), message, hint)


def check_resources(flaws: Flaws) -> None:
    """Look at the resources that are there from the start."""
    seen: dict[str, str] = {}
    for resource_id, resource in flaws.document.resources.items():
        path: Path = ("resources", resource_id)
        fault = name_fault(resource_id)
        if fault:
            flaws.tell(path, fault, "write the id of one resource: `service/web`")
            continue
        if plain(resource_id) in seen:
            message = f"it is the same resource as `{cut(seen[plain(resource_id)])}`: names have no case"
            flaws.tell(path, message, "keep one of the two")
        seen[plain(resource_id)] = resource_id
        if not flaws.fields.kind_of(resource_id):
            hint = nearest(resource_id, flaws.fields.ids()) or "describe its kind below `kinds`"
            flaws.tell(path, f"no kind has ids like `{cut(resource_id)}`", hint)
            continue
        for name, value in resource.values.items():
            check_value(flaws, (*path, "values", name), f"{resource_id}.{name}", value)


def check_value(flaws: Flaws, path: Path, field: str, value: FieldValue) -> None:
    """Tell where a field cannot have a value, or is not there."""
    found = flaws.find_one(path, field)
    if not found.fault:
        message, hint = value_fault(value, found.fields[0])
        if message:
            flaws.tell(path, message, hint)


def check_dependencies(flaws: Flaws) -> None:
    """Look at dependencies: whether both ends are there, and whether what is derived leads back to itself."""
    derives: list[tuple[Path, str, str]] = []
    if len(flaws.document.dependencies) > DEPENDENCIES_MAX:
        hint = "a template such as `service/{name}.load` speaks for every resource"
        flaws.tell(("dependencies",), f"there are more than {DEPENDENCIES_MAX:,} dependencies", hint)
        return
    for place, item in enumerate(flaws.document.dependencies):
        path: Path = ("dependencies", place)
        source = flaws.find((*path, "from"), item.source)
        target = flaws.find((*path, "to"), item.target, may_be_many=False)
        missing = sorted(names_of(item.target) - names_of(item.source))
        if missing and not target.fault:
            hint = f"use the names of `from`, or name the resource: {nearest(missing[0], names_of(item.source))}"
            flaws.tell((*path, "to"), f"`{{{cut(missing[0])}}}` is not in `from`", hint.removesuffix(": "))
        if item.relation != "derives" or source.fault or target.fault:
            continue
        for key, end in (("from", source), ("to", target)):
            if all(field.type not in _NUMERIC for field in end.fields):
                hint = "write `relation: requires`, or another that moves no values"
                flaws.tell((*path, key), f"{field_of(end.fields[0].type)} neither derives nor is derived", hint)
        derives.append((path, item.source, item.target))
    _check_circles(flaws, derives)


def _check_circles(flaws: Flaws, links: list[tuple[Path, str, str]]) -> None:
    """Tell of each link that leads back to where it comes from."""
    from_kinds: dict[str, list[int]] = {}
    for place, (_, source, _) in enumerate(links):
        from_kinds.setdefault(plain(source.rpartition(".")[2]), []).append(place)
    after = [_following(links, from_kinds, target) for _, _, target in links]
    state = [0] * len(links)
    for start in range(len(links)):
        trail: list[tuple[int, int]] = [(start, 0)] if not state[start] else []
        while trail:
            here, tried = trail.pop()
            state[here] = 1
            if tried == len(after[here]):
                state[here] = 2
                continue
            trail.append((here, tried + 1))
            there = after[here][tried]
            if state[there] == 1:
                ring = [links[item][1] for item, _ in trail[[item for item, _ in trail].index(there) :]]
                told = " → ".join(f"`{cut(item)}`" for item in [*ring[:6], ring[0]])
                hint = "leave one out, or write `relation: requires`, which moves no values"
                flaws.tell(links[here][0], f"what is derived leads back to itself: {told}", hint)
            elif not state[there]:
                trail.append((there, 0))


def _following(links: list[tuple[Path, str, str]], from_kinds: Mapping[str, list[int]], target: str) -> list[int]:
    near = {*from_kinds.get(plain(target.rpartition(".")[2]), ()), *from_kinds.get("*", ())}
    return [place for place in sorted(near) if links[place][1] == target or _overlap(links[place][1], target)]


def _overlap(source: str, target: str) -> bool:
    """Tell whether two field templates may mean one field; two fields without parts do so only if they are the same."""
    if is_concrete(source) and is_concrete(target):
        return plain(source) == plain(target)
    return overlap(source, target)


def _is_of(value: FieldValue, type: str) -> bool:
    if type == "boolean":
        return isinstance(value, bool)
    if type == "text":
        return isinstance(value, str)
    if type == "set":
        return isinstance(value, tuple)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return type == "number" or value == int(value)
