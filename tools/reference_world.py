"""The page on the world file, and its JSON Schema, from the structs of `comity.coordination.document`."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator

import msgspec
from msgspec.inspect import DictType, Field, StructType, Type, UnionType, VarTupleType

from comity.coordination.document import Aggregate, WorldDocument
from comity.coordination.loading_schema import json_schema
from comity.coordination.loading_shape import expected

INTRO = """\
One file says what there is, what must hold, what tools touch, and how it is rehearsed. It is YAML without anchors,
aliases, tags and second documents, or JSON. `comity world check FILE` tells what is wrong with one, line by line, and
`comity world schema` prints [its JSON Schema](world.schema.json). The [guide](../guides/coordination.md) writes one.
"""


def schema() -> str:
    """Return the JSON Schema as it is kept."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def page(mark: str) -> str:
    """Return the page; `mark` says who wrote it."""
    parts = [f"# The world file\n\n{mark}\n{INTRO}"]
    parts.extend(_section(place, kind) for place, kind in _sections("", WorldDocument, set()))
    return "\n".join(parts)


def _sections(
    place: str, kind: type[msgspec.Struct], seen: set[type[msgspec.Struct]]
) -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Give each mapping of the file with the place where it stands first."""
    seen.add(kind)
    yield place, kind
    for field in _fields(kind):
        for suffix, inner in _inside(field.type):
            if inner not in seen:
                yield from _sections(f"{place}.{field.encode_name}{suffix}".lstrip("."), inner, seen)


def _inside(kind: Type, suffix: str = "") -> Iterator[tuple[str, type[msgspec.Struct]]]:
    if isinstance(kind, StructType):
        yield suffix, kind.cls
    elif isinstance(kind, VarTupleType):
        yield from _inside(kind.item_type, f"{suffix}[]")
    elif isinstance(kind, DictType):
        inner = [found for _, found in _inside(kind.value_type)]
        word = "NAME" if not inner or inner[0] is Aggregate else inner[0].__name__.removesuffix("Section").upper()
        yield from _inside(kind.value_type, f"{suffix}.{word}")
    elif isinstance(kind, UnionType):
        for item in kind.types:
            yield from _inside(item, suffix)


def _section(place: str, kind: type[msgspec.Struct]) -> str:
    title = f"`{place}`" if place else "The whole"
    rows = "\n".join(f"| `{field.encode_name}` | {_what(field.type)} | {_default(field)} |" for field in _fields(kind))
    text = inspect.cleandoc(kind.__doc__ or "")
    return f"## {title}\n\n{text}\n\n| key | what stands there | default |\n|---|---|---|\n{rows}\n"


def _fields(kind: type[msgspec.Struct]) -> tuple[Field, ...]:
    found = msgspec.inspect.type_info(kind)
    assert isinstance(found, StructType), "sections are structs"
    return found.fields


def _what(kind: Type) -> str:
    if isinstance(kind, DictType):
        return f"by name: {_what(kind.value_type)}"
    if isinstance(kind, VarTupleType):
        return f"a list: {_what(kind.item_type)}"
    if isinstance(kind, StructType):
        return kind.cls.__name__.removesuffix("Section").removesuffix("Document").lower() + ", a mapping"
    if isinstance(kind, UnionType):
        return " or ".join(dict.fromkeys(_what(item) for item in kind.types if not _is_nothing(item)))
    return expected(kind).replace("|", "\\|")


def _is_nothing(kind: Type) -> bool:
    return isinstance(kind, msgspec.inspect.NoneType)


def _default(field: Field) -> str:
    if field.required:
        return "*required*"
    value = field.default
    if value is msgspec.NODEFAULT or value is None or value in ("", ()) or isinstance(value, msgspec.Struct):
        return ""
    return f"`{json.dumps(value)}`" if not isinstance(value, str) else f"`{value}`"
