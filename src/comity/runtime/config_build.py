"""From values as they were given to sections: every key known, every value of its type and within its bounds."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import msgspec

from comity.core.errors import UsageError
from comity.core.limits import NAME_CHARS_MAX
from comity.runtime.config_keys import (
    Key,
    Tree,
    expected,
    fields,
    from_text,
    guess,
    named_of,
    section_of,
    shown,
    variant_of,
    variants_of,
)

T = TypeVar("T", bound=msgspec.Struct)


def build(kind: type[T], tree: Tree) -> T:
    """Return the section of type `kind` that the tree's values give.

    Raises:
        UsageError: an unknown key, a value of another type or out of its bounds, a required key that is absent.
    """
    return _section(kind, tree.values, (), tree)


def overlay_environment(kind: type[msgspec.Struct], tree: Tree, environment: dict[str, str]) -> None:
    """Put every `COMITY_SECTION__KEY` of the environment over the tree's values.

    Names within `[models]` and its like are matched without regard to case, with `_` for what a variable cannot hold;
    a name that stands nowhere else is taken in lower case.
    """
    for variable, text in sorted(environment.items()):
        if variable.startswith("COMITY_") and "__" in variable:
            parts = variable.removeprefix("COMITY_").split("__")
            key, leaf = _resolved(kind, tree.values, parts, variable)
            tree.put(key, from_text(text, leaf), f"env {variable}")


def overlay_flags(kind: type[msgspec.Struct], tree: Tree, flags: dict[str, Any]) -> None:
    """Put flags, by their dotted keys (`node.workers`), over the tree's values; None is a flag that was not given."""
    for dotted, value in flags.items():
        if value is not None:
            key, leaf = _resolved(kind, tree.values, dotted.split("."), dotted)
            tree.put(key, from_text(value, leaf) if isinstance(value, str) else value, "flag")


def _section(kind: type[T], values: Any, key: Key, tree: Tree, others: dict[str, Any] | None = None) -> T:
    """Return a section; `others` are those that the table could have been, by their `kind`."""
    if not isinstance(values, dict):
        raise _wrong(key, values, "a table", tree)
    known = fields(kind)
    for name in values:
        if name not in known:
            unknown = (*key, name)
            others_kind = next((word for word, other in (others or {}).items() if name in fields(other)), "")
            hint = f'it belongs to `kind = "{others_kind}"`' if others_kind else guess(name, known)
            raise UsageError("unknown_key", f"unknown key `{shown(unknown)}` ({tree.source(unknown)})", hint=hint)
    for field in msgspec.structs.fields(kind):
        if field.required and field.encode_name not in values:
            missing = shown((*key, field.encode_name))
            hint = f"add `{field.encode_name} = …`: {expected(field.type)}"
            raise UsageError("missing_key", f"`{missing}` is missing ({tree.source(key)})", hint=hint)
    return kind(**{name: _value(known[name], value, (*key, name), tree) for name, value in values.items()})


def _value(kind: Any, value: Any, key: Key, tree: Tree) -> Any:
    variants = variants_of(kind)
    if variants and isinstance(value, dict) and value.get("kind", next(iter(variants))) not in variants:
        words = ", ".join(f"`{word}`" for word in sorted(variants))
        raise _wrong((*key, "kind"), value["kind"], f"one of {words}", tree)
    kind = variant_of(kind, value)
    section, named = section_of(kind), named_of(kind)
    if section is not None:
        return _section(section, value, key, tree, variants)
    if named is not None:
        if not isinstance(value, dict):
            raise _wrong(key, value, "a table", tree)
        for name in value:
            if not name or len(name) > NAME_CHARS_MAX:
                raise _wrong((*key, name[:20]), name, f"named with 1 to {NAME_CHARS_MAX} characters", tree)
        return {name: _value(named, item, (*key, name), tree) for name, item in value.items()}
    try:
        made = msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError:
        raise _wrong(key, value, expected(kind), tree) from None
    if isinstance(made, float) and not math.isfinite(made):
        raise _wrong(key, value, "a finite number", tree)
    return made


def _wrong(key: Key, value: Any, wanted: str, tree: Tree) -> UsageError:
    given = msgspec.json.encode(value).decode() if isinstance(value, str | bool) else str(value)
    given = given if len(given) <= 40 else given[:39] + "…"
    return UsageError(
        "bad_value", f"`{shown(key)}` must be {wanted}, not `{given}` ({tree.source(key)})", hint=_way_out(wanted)
    )


def _way_out(wanted: str) -> str:
    return "`comity init` prints every key with its default" if wanted != "a table" else "write it as `[section]`"


def _resolved(kind: Any, values: Any, parts: list[str], name: str) -> tuple[Key, Any]:
    """Return the key that the parts of a variable's or flag's name mean, and the type of its value."""
    key: Key = ()
    for part in parts:
        kind = _variant_with(kind, part.lower(), values)
        section, named = section_of(kind), named_of(kind)
        if section is not None:
            known = fields(section)
            if part.lower() not in known:
                raise UsageError(
                    "unknown_key",
                    f"unknown key `{shown((*key, part.lower()))}` (`{name}`)",
                    hint=guess(part.lower(), known),
                )
            found, kind = part.lower(), known[part.lower()]
        elif named is not None:
            present = values if isinstance(values, dict) else {}
            found = next((item for item in present if _spelled(item) == _spelled(part)), part.lower())
            kind = named
        else:
            raise UsageError(
                "unknown_key", f"`{shown(key)}` has no key `{part.lower()}` (`{name}`)", hint="it is a value, no table"
            )
        values = values.get(found) if isinstance(values, dict) else None
        key = (*key, found)
    if section_of(kind) is not None or not key[-1]:
        raise UsageError(
            "unknown_key", f"`{name}` names a whole section", hint="name one key of it: `COMITY_NODE__WORKERS`"
        )
    return key, kind


def _variant_with(kind: Any, name: str, values: Any) -> Any:
    """Return which of a table's sections is meant where its key `name` is set before its `kind` may be known."""
    found = variant_of(kind, values)
    having = [option for option in variants_of(kind).values() if name in fields(option)]
    return having[0] if having and found not in having else found


def _spelled(name: str) -> str:
    return "".join(char if char.isalnum() else "_" for char in name).upper()
