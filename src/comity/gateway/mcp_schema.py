"""Arguments against a tool's schema, before anything is asked: what does not fit is said with its place.

Patterns and `uniqueItems` are left to the tool itself: a bad pattern, or a long list, could hold up the whole node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from jsonschema.exceptions import (  # type: ignore[import-untyped]
    SchemaError,
    UndefinedTypeCheck,
    UnknownType,
    ValidationError,
    best_match,
)
from jsonschema.validators import extend, validator_for  # type: ignore[import-untyped]
from referencing import Registry
from referencing.exceptions import Unresolvable

X_HEADER = "x-mcp-header"
_NOT_JUDGED = ("pattern", "patternProperties", "unevaluatedProperties", "uniqueItems", "format")
_DATA = frozenset({"const", "default", "enum", "examples"})
_BY_NAME = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})
_TEXT_CHARS_MAX = 300


def misfit(schema: Mapping[str, Any], args: Any, what: str = "arguments") -> str:
    """Return where and how `args` (named `what`) do not fit `schema`, or an empty string.

    A schema that is none, or that refers to what is not in it, judges nothing: the tool does.
    """
    judge = _judge(msgspec.json.encode(schema, order="deterministic"))
    if judge is None:
        return ""
    try:
        error = best_match(judge.iter_errors(args))
    except (Unresolvable, UnknownType, UndefinedTypeCheck, RecursionError):
        return ""
    return _told(error, what) if error is not None else ""


def without_headers(schema: Any) -> Any:
    """Return a schema without `x-mcp-header`: arguments do not belong into headers, which proxies log."""
    if isinstance(schema, list):
        return [without_headers(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _part(key, value) for key, value in schema.items() if key != X_HEADER}


def _part(key: str, value: Any) -> Any:
    if key in _DATA:
        return value
    if key in _BY_NAME and isinstance(value, dict):
        return {name: without_headers(item) for name, item in value.items()}
    return without_headers(value)


@lru_cache(maxsize=1_000)
def _judge(encoded: bytes) -> Any:
    schema = msgspec.json.decode(encoded)
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError:
        return None
    unjudged = dict.fromkeys(_NOT_JUDGED, _pass)
    return extend(kind, {**unjudged, "additionalProperties": _no_others})(schema, registry=Registry())


def _pass(_judge: Any, _value: Any, _instance: Any, _schema: Any) -> Iterator[ValidationError]:
    yield from ()


def _no_others(judge: Any, allowed: Any, instance: Any, schema: Mapping[str, Any]) -> Iterator[ValidationError]:
    """Judge properties that the schema does not name; which of them a pattern names is the tool's to find out."""
    if not isinstance(instance, dict) or "patternProperties" in schema:
        return
    for name in instance.keys() - schema.get("properties", {}).keys():
        if allowed is False:
            yield ValidationError(f"`{name}` is not among {_names(schema.get('properties', {}))}")
        else:
            yield from judge.descend(instance[name], allowed, path=name)


def _told(error: Any, what: str) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    return f"`{what}{place}`: {_expected(error)}"[:_TEXT_CHARS_MAX]


def _expected(error: Any) -> str:
    kind, value = error.validator, error.validator_value
    if kind == "required":
        missing = [name for name in value if name not in error.instance]
        return f"`{missing[0]}` is missing"
    if kind == "type":
        wanted = " or ".join(value) if isinstance(value, list) else value
        return f"expected {wanted}, got `{_spelled(error.instance)}`"
    if kind == "enum":
        return f"expected one of {', '.join(f'`{_spelled(item)}`' for item in value)}, got `{_spelled(error.instance)}`"
    text: str = error.message
    return text[:1].lower() + text[1:]


def _spelled(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else f"{text[:60]}…"


def _names(properties: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}`" for name in properties) or "none"
