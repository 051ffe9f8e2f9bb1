"""Names of the world: field names, templates that stand for them, and patterns.

A field name is `RESOURCE.FIELD`; the field follows the last dot. Names are made canonical before anything is judged by
them (Unicode NFKC, no case, no blanks at the ends), so that no alias passes beside a rule.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Mapping
from typing import Any

from comity.core.errors import UsageError

NAME_CHARS_MAX = 300
FILLED_MAX = 20_000
"""So many names that a template came to are remembered."""
_PART = re.compile(r"\{([\w.-]+)\}")
_ODD = re.compile(r"[\x00-\x1f\x7f{}*\s]")


def canonical_name(text: str) -> str:
    """Return the canonical form of a resource's or field's name: one object for each name, found in tables at once.

    Raises:
        UsageError: it is empty, too long, or has blanks, characters that nobody sees, braces or `*` in it.
    """
    name = folded(text).strip()
    if not name or len(name) > NAME_CHARS_MAX or _ODD.search(name) or "//" in name or _is_hidden(name):
        hint = f"1 to {NAME_CHARS_MAX} characters without blanks, `{{`, `}}`, `*` or `//`"
        raise UsageError("bad_name", f"`{text[:60]}` cannot name a resource or field", hint=hint, retry="rethink")
    return sys.intern(name)


def folded(text: str) -> str:
    """Return a text as names are compared: each spelling of one name comes to the same (Unicode's caseless match)."""
    if text.isascii():
        return text.lower()
    once = unicodedata.normalize("NFKC", unicodedata.normalize("NFD", text).casefold())
    return unicodedata.normalize("NFKC", once.casefold())


def _is_hidden(name: str) -> bool:
    """Tell whether a name has characters that are not seen, which would make two names of what looks like one."""
    return not name.isascii() and any(unicodedata.category(char)[0] == "C" for char in name)


def split_field(name: str) -> tuple[str, str]:
    """Return the resource and the field of a field name; the resource is empty where there is no dot."""
    resource, _, field = name.rpartition(".")
    return resource, field


class Template:
    """A name with `{parts}` in it, each of which stands for one piece of an id (no `/`), and perhaps `*` for many."""

    __slots__ = ("_filled", "_found", "_groups", "_parts", "_pieces", "names", "text")

    def __init__(self, text: str) -> None:
        """Read a template."""
        self.text = text
        self.names = frozenset(_PART.findall(text))
        self._pieces = _PART.split(text)
        groups: dict[str, str] = {}
        pattern = ""
        for place, piece in enumerate(self._pieces):
            if place % 2 == 0:
                plain = folded(piece)
                pattern += ".*?".join(re.escape(part) for part in plain.split("*")) if plain else ""
            elif piece in groups:
                pattern += f"(?P={groups[piece]})"
            else:
                groups[piece] = f"g{len(groups)}"
                pattern += f"(?P<{groups[piece]}>[^/]+?)"
        self._groups = groups
        self._parts = self._pieces[1::2]
        self._filled: dict[tuple[Any, ...], str] = {}
        self._found = re.compile(pattern)

    @property
    def is_pattern(self) -> bool:
        """Tell whether it stands for many names, even with its parts filled in."""
        return "*" in self.text

    def match(self, name: str) -> dict[str, str] | None:
        """Return the parts of a canonical `name`, or None where it is not of this form."""
        hit = self._found.fullmatch(name)
        return None if hit is None else {key: hit[group] for key, group in self._groups.items()}

    def fill(self, values: Mapping[str, Any]) -> str:
        """Return the canonical name with `values` in it (a pattern stays one).

        Raises:
            UsageError: a part has no value, or one that cannot be a piece of an id.
        """
        given = tuple([values.get(part) for part in self._parts])
        for value in given:
            if type(value) is not str:  # a number, or an argument at a path
                return self._made(values)
        name = self._filled.get(given)
        if name is None:
            if len(self._filled) >= FILLED_MAX:
                self._filled.clear()
            name = self._filled[given] = self._made(values)
        return name

    def _made(self, values: Mapping[str, Any]) -> str:
        made = list(self._pieces)
        made[1::2] = [_piece(self.text, part, values) for part in self._parts]
        name = "".join(made)
        return folded(name).strip() if self.is_pattern else canonical_name(name)

    def __repr__(self) -> str:
        return f"Template({self.text!r})"


def argument(values: Mapping[str, Any], path: str) -> Any:
    """Return the argument at a dotted path, or None where there is none."""
    found: Any = values
    if path in values:
        return values[path]
    for part in path.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


def _piece(text: str, name: str, values: Mapping[str, Any]) -> str:
    value = argument(values, name)
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip() or "/" in str(value):
        said = "is missing" if value is None else f"is `{str(value)[:60]}`"
        raise UsageError(
            "bad_argument",
            f"`{name}` {said}, and `{text}` needs a name there",
            hint="give text or a whole number without `/`",
            retry="rethink",
        )
    return str(value).strip()
