"""What a tool's author declares of the shared world, looked at when the file is loaded and not at the first call."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import get_args

from comity.core.errors import ComityError, UsageError
from comity.core.expression import parse
from comity.journal.spec import ToolSpec
from comity.journal.world import Op, Premise, Touch

_PART = re.compile(r"\{([^{}]*)\}")
_ODD = re.compile(r"[\s*]")


def check_touches(spec: ToolSpec) -> None:
    """Check that touches and premises can be meant: their fields, their expressions, the arguments that they name.

    Raises:
        UsageError: the message names the tool and the declaration.
    """
    _check_types(spec, spec.touches, spec.premises)
    for touch in spec.touches:
        if touch.op not in get_args(Op):
            raise _wrong(spec, "touch", touch.field, f"has `{touch.op}`", f"use one of {', '.join(get_args(Op))}")
        _check(spec, "touch", touch.field, touch.value, set())
    for premise in spec.premises:
        _check(spec, "premise", premise.field, premise.holds, {"value"})
    if spec.touches and not spec.effect.acts:
        hint = "declare the effect class that it has"
        raise _wrong(spec, "touch", spec.touches[0].field, f"stands beside `effect={spec.effect}`", hint)


def _check_types(spec: ToolSpec, touches: Iterable[object], premises: Iterable[object]) -> None:
    for touch in touches:
        if not isinstance(touch, Touch):
            raise _wrong(spec, "touch", touch, "is no touch", 'write `comity.Touch("db/{db}.instances", "add", "1")`')
    for premise in premises:
        if not isinstance(premise, Premise):
            hint = """write `comity.Premise("case/{id}.state", "value != 'open'")`"""
            raise _wrong(spec, "premise", premise, "is no premise", hint)


def _check(spec: ToolSpec, what: str, field: str, text: str, more: set[str]) -> None:
    known = set(spec.schema.get("properties", {}))
    resource, dot, name = _PART.sub("x", field).rpartition(".")
    if not dot or not resource or not name or _ODD.search(field) or "{" in _PART.sub("", field):
        raise _wrong(
            spec, what, field, "names no field", "write `KIND/{argument}.FIELD`: the field follows the last dot"
        )
    _check_names(spec, what, field, (path for path in _PART.findall(field)), known)
    try:
        names = parse(text).names
    except ComityError as error:
        raise _wrong(spec, what, field, f"has `{text}`: {error.message}", error.hint) from None
    _check_names(spec, what, field, names, known | more)


def _check_names(spec: ToolSpec, what: str, field: str, paths: Iterable[str], known: set[str]) -> None:
    for path in paths:
        if path.split(".")[0] not in known:
            there = f"there are: {', '.join(f'`{name}`' for name in sorted(known)) or 'none'}"
            raise _wrong(spec, what, field, f"names `{path}`, which is no argument", there)


def _wrong(spec: ToolSpec, what: str, which: object, why: str, hint: str) -> UsageError:
    return UsageError(f"bad_{what}", f"tool `{spec.name}`: {what} `{which!s:.80}` {why}", hint=hint)
