"""Keys of the configuration: how they are written, guessed, and what a value of one must be."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import UnionType
from typing import Any, get_args, get_origin

import msgspec

Key = tuple[str, ...]
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_PASSWORD = re.compile(r"(?<=://)([^/?#:@\s]*):[^/?#\s]+@|(?<=[?&])(password=)[^&#]+")


class Tree(msgspec.Struct):
    """Values as they were given, nested like the file, and where each leaf came from."""

    values: dict[str, Any] = {}
    sources: dict[Key, str] = {}

    def put(self, key: Key, value: Any, source: str) -> None:
        """Set the leaf `key`, over whatever stood there."""
        table = self.values
        for name in key[:-1]:
            inner = table.get(name)
            if not isinstance(inner, dict):
                inner = table[name] = {}
            table = inner
        table[key[-1]] = value
        self.sources = {known: where for known, where in self.sources.items() if known[: len(key)] != key}
        self.sources[key] = source

    def source(self, key: Key) -> str:
        """Return where the value of `key`, of a table around it or of a key within it came from, or `default`."""
        for size in range(len(key), 0, -1):
            if key[:size] in self.sources:
                return self.sources[key[:size]]
        inside = (where for known, where in self.sources.items() if known[: len(key)] == key)
        return next(inside, "default")


def shown(key: Key) -> str:
    """Return a key as TOML writes it, for instance `prices."gpt-4.1".usd_per_mtok_in`."""
    return ".".join(name if _BARE.fullmatch(name) else f'"{name}"' for name in key)


def without_password(text: str) -> str:
    """Return `text` with the passwords of URLs in it replaced; the same text where there is none."""
    return _PASSWORD.sub(lambda found: f"{found[2]}…" if found[2] else f"{found[1]}:…@", text)


def guess(name: str, known: Iterable[str]) -> str:
    """Return a hint: the nearest known name, or all of them."""
    names = sorted(known)
    nearest = get_close_matches(name, names, 1)
    if nearest:
        return f"did you mean `{nearest[0]}`?"
    return f"known: {', '.join(f'`{item}`' for item in names)}" if names else "there is nothing to set here yet"


def fields(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the types of a section's keys."""
    return {field.encode_name: field.type for field in msgspec.structs.fields(kind)}


def section_of(kind: Any) -> type[msgspec.Struct] | None:
    """Return `kind` where it is a section, else None."""
    return kind if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else None


def variants_of(kind: Any) -> dict[str, Any]:
    """Return the sections that a table may be (`A | B`), by the values of their key `kind`; empty for one section."""
    return {word: option for option in _options(kind) for word in get_args(fields(option).get("kind"))}


def variant_of(kind: Any, values: Any) -> Any:
    """Return which of a table's sections `values` are: the one whose `kind` they name, else the first."""
    options = _options(kind)
    asked = values.get("kind") if isinstance(values, dict) else None
    named = variants_of(kind).get(asked) if isinstance(asked, str) else None
    return named or (options[0] if options else kind)


def _options(kind: Any) -> list[Any]:
    parts = get_args(kind) if isinstance(kind, UnionType) else ()
    return [part for part in parts if section_of(part) is not None]


def named_of(kind: Any) -> Any:
    """Return what a table of freely named entries holds (`dict[str, X]` gives X), or None where it is no such table."""
    return get_args(kind)[1] if get_origin(kind) is dict else None


def expected(kind: Any) -> str:
    """Return in words what a value of a type must be."""
    return _told(msgspec.inspect.type_info(kind))


def _told(info: msgspec.inspect.Type) -> str:
    if isinstance(info, msgspec.inspect.UnionType):
        return " or ".join(_told(item) for item in info.types if not isinstance(item, msgspec.inspect.NoneType))
    if isinstance(info, msgspec.inspect.IntType | msgspec.inspect.FloatType):
        word = "a whole number" if isinstance(info, msgspec.inspect.IntType) else "a number"
        bound = f" greater than {info.gt:g}" if info.gt is not None else ""
        return word + (f" of at least {info.ge:g}" if info.ge is not None else bound)
    if isinstance(info, msgspec.inspect.LiteralType):
        return "one of " + ", ".join(f"`{value}`" for value in info.values)
    if isinstance(info, msgspec.inspect.EnumType):
        return "one of " + ", ".join(f"`{item.value}`" for item in info.cls)
    if isinstance(info, msgspec.inspect.BoolType):
        return "`true` or `false`"
    if isinstance(info, msgspec.inspect.VarTupleType | msgspec.inspect.ListType):
        return "a list, each item " + _told(info.item_type)
    return "text in quotes" if isinstance(info, msgspec.inspect.StrType) else "a table"


def from_text(text: str, kind: Any) -> Any:
    """Return the value that `text` (of an environment variable or a flag) means for a key of type `kind`.

    Text stays text where the key takes text; lists may be written with commas; the rest is a TOML value. What is none
    is left as text, for the type check to refuse.
    """
    info = msgspec.inspect.type_info(kind)
    kinds = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
    if any(isinstance(item, msgspec.inspect.StrType | msgspec.inspect.LiteralType) for item in kinds):
        return text
    is_list = any(isinstance(item, msgspec.inspect.VarTupleType) for item in kinds)
    if is_list and not text.lstrip().startswith("["):
        return [item.strip() for item in text.split(",") if item.strip()]
    try:
        values: Mapping[str, Any] = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return values["value"] if len(values) == 1 else text
