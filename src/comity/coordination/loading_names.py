"""Names of fields in a world file: which kind a template or pattern speaks of, and whether two may mean the same."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from comity.coordination.document import FieldSection, KindSection
from comity.coordination.loading_problem import cut, nearest
from comity.coordination.naming import Template, canonical_name, split_field
from comity.core.errors import UsageError

PARTS_MAX: Final = 2
"""So many `{parts}` may one piece of an id have: with more, nobody can tell where one ends."""
STARS_MAX: Final = 3
PATTERNS_MAX: Final = 500
"""So many different patterns with `*` may a file have; each is compared with each kind."""
_PART: Final = re.compile(r"\{[\w.-]+\}")
_HOLE: Final = "\x00"
"""One character of a part of an id: any but `/`."""
_MORE: Final = "\x01"
"""Any number of further characters but `/`."""
_STAR: Final = "\x02"
"""Any number of any characters."""


class Found(NamedTuple):
    """What a field template speaks of: kinds whose ids it may be, and their fields; or why it speaks of none."""

    kinds: tuple[str, ...] = ()
    fields: tuple[FieldSection, ...] = ()
    fault: str = ""
    hint: str = ""


class Fields:
    """The fields of a world, found by template. Templates are kept, so that a name which stands often costs once."""

    def __init__(self, kinds: Mapping[str, KindSection]) -> None:
        """Know these kinds; what is wrong with one is not told here."""
        self._kinds = kinds
        self._ids = {name: section.id for name, section in kinds.items()}
        self._found: dict[str, Found] = {}
        self._patterns = 0
        self._by_size: dict[int, list[str]] = {}
        for name, template in self._ids.items():
            self._by_size.setdefault(template.count("/"), []).append(name)

    def find(self, text: str) -> Found:
        """Return what a field template or pattern speaks of."""
        if text not in self._found:
            self._found[text] = self._find(text)
        return self._found[text]

    def kind_of(self, resource: str) -> str:
        """Return the kind of a resource's id or template, empty where there is none."""
        return next(iter(self._kinds_of(resource)), "")

    def ids(self) -> list[str]:
        """Return the templates of the kinds' ids."""
        return list(self._ids.values())

    def _find(self, text: str) -> Found:
        fault = template_fault(text)
        if fault:
            return Found(fault=fault, hint="write `KIND/{name}.FIELD`: the field follows the last dot")
        if text == "*":
            return Found(
                tuple(self._kinds), tuple(item for kind in self._kinds.values() for item in kind.fields.values())
            )
        self._patterns += "*" in text
        if self._patterns > PATTERNS_MAX:
            return Found(fault=f"there are more than {PATTERNS_MAX} patterns with `*`", hint="use `{names}` instead")
        resource, field = split_field(text)
        kinds = self._kinds_of(resource)
        if not kinds:
            return Found(fault=f"no kind has ids like `{cut(resource)}`", hint=nearest(resource, self._ids.values()))
        wanted = re.compile(".*".join(re.escape(part) for part in plain(field).split("*")))
        fields = [
            (name, section)
            for name in kinds
            for key, section in self._kinds[name].fields.items()
            if wanted.fullmatch(plain(key))
        ]
        if not fields:
            known = {key for name in kinds for key in self._kinds[name].fields}
            whose = " and ".join(f"`{cut(name)}`" for name in kinds[:3])
            return Found(
                kinds,
                fault=f"kind {whose} {'have' if len(kinds) > 1 else 'has'} no field `{cut(field)}`",
                hint=nearest(field, known),
            )
        return Found(tuple(dict.fromkeys(name for name, _ in fields)), tuple(section for _, section in fields))

    def _kinds_of(self, resource: str) -> tuple[str, ...]:
        many = self._ids if "*" in resource else self._by_size.get(resource.count("/"), ())
        return tuple(name for name in many if overlap(resource, self._ids[name]))


@lru_cache(maxsize=20_000)
def plain(text: str) -> str:
    """Return text as names are compared."""
    return unicodedata.normalize("NFKC", text).strip().casefold()


def template_fault(text: str) -> str:
    """Return what is wrong with a field template or pattern; empty where nothing is."""
    if text == "*":
        return ""
    bare = _PART.sub("x", text)
    if "{" in bare or "}" in bare:
        return f"`{cut(text)}` has a brace that names nothing"
    resource, field = split_field(bare)
    if not resource or not field or "/" in field:
        return f"`{cut(text)}` names no field"
    return parts_fault(text) or name_fault(bare.replace("*", "x"))


def id_fault(text: str) -> tuple[str, str]:
    """Return what is wrong with the template of a kind's ids, and a way out; empty texts where nothing is."""
    if name_fault(_PART.sub("x", text)):
        return f"`{cut(text)}` is no template of ids", "write `service/{name}`: words, and `{name}` for what differs"
    if parts_fault(text):
        return parts_fault(text), "write words between them, or `/`: `{zone}-{name}`"
    parts = _PART.findall(text)
    return (
        (f"`{cut(text)}` has a part twice", "give each `{part}` its own name")
        if len({*parts}) < len(parts)
        else ("", "")
    )


def parts_fault(text: str) -> str:
    """Return why nobody could tell where one `{part}` or `*` ends and the next begins; empty where one can."""
    if "}{" in text or any(len(_PART.findall(piece)) > PARTS_MAX for piece in text.split("/")):
        return f"`{cut(text)}` has `{{parts}}` that cannot be told apart"
    return f"`{cut(text)}` has more than {STARS_MAX} `*`" if text.count("*") > STARS_MAX else ""


def name_fault(text: str) -> str:
    """Return what is wrong with the name of a resource or field; empty where nothing is."""
    try:
        canonical_name(text)
    except UsageError:
        return f"`{cut(text)}` has characters that no name may have, or is empty or too long"
    return ""


def is_concrete(text: str) -> bool:
    """Tell whether a field name stands for one field."""
    return "{" not in text and "*" not in text


def names_of(text: str) -> frozenset[str]:
    """Return the `{names}` of a template."""
    return Template(text).names


def overlap(one: str, other: str) -> bool:
    """Tell whether a name exists that both templates or patterns (of ids or of fields) may stand for.

    Cost: the product of their lengths at worst; most pairs differ in a piece without a part.
    """
    if "*" in one or "*" in other:
        return _meet(_tokens(one), _tokens(other))
    if not _may_meet(one, other):
        return False
    pieces, others = one.split("/"), other.split("/")
    return len(pieces) == len(others) and all(_pieces_meet(a, b) for a, b in zip(pieces, others, strict=True))


def overlapping(ids: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    """Yield the names of each pair of (name, id template) that may mean the same resource."""
    before: list[tuple[str, str]] = []
    for name, template in ids:
        yield from ((earlier, name) for earlier, its in before if overlap(its, template))
        before.append((name, template))


def _may_meet(one: str, other: str) -> bool:
    """Tell whether the ends of both, before the first part and after the last, fit each other; most do not."""
    (head, tail), (its_head, its_tail) = _ends(one), _ends(other)
    heads_fit = head.startswith(its_head) or its_head.startswith(head)
    return heads_fit and (tail.endswith(its_tail) or its_tail.endswith(tail))


@lru_cache(maxsize=20_000)
def _ends(text: str) -> tuple[str, str]:
    return plain(text.partition("{")[0]), plain(text.rpartition("}")[2])


def _pieces_meet(one: str, other: str) -> bool:
    if "{" not in one and "{" not in other:
        return plain(one) == plain(other)
    if _PART.fullmatch(one) or _PART.fullmatch(other):
        return bool(one and other)
    return _meet(_tokens(one), _tokens(other))


def _tokens(text: str) -> str:
    return _PART.sub(_HOLE + _MORE, plain(text)).replace("*", _STAR)


def _meet(one: str, other: str) -> bool:
    """Walk both at once: a pair of places is reached where some text leads to both."""
    todo, seen = [(0, 0)], {(0, 0)}
    while todo:
        i, j = todo.pop()
        if i == len(one) and j == len(other):
            return True
        for step in _steps(one, i, other, j):
            if step not in seen:
                seen.add(step)
                todo.append(step)
    return False


def _steps(one: str, i: int, other: str, j: int) -> Iterable[tuple[int, int]]:
    a, b = one[i : i + 1], other[j : j + 1]
    if a in (_MORE, _STAR) and a:
        yield i + 1, j
    if b in (_MORE, _STAR) and b:
        yield i, j + 1
    if a and b and _share(a, b):
        yield (i if a in (_MORE, _STAR) else i + 1), (j if b in (_MORE, _STAR) else j + 1)


def _share(a: str, b: str) -> bool:
    """Tell whether a character exists that both tokens take."""
    if _STAR in (a, b):
        return True
    wide = (_HOLE, _MORE)
    if a in wide:
        return b in wide or b != "/"
    return a != "/" if b in wide else a == b
