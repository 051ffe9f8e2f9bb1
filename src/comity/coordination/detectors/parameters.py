"""Parameters of detectors: a frozen struct each, its defaults changed by what the world file names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from difflib import get_close_matches
from typing import TypeVar

import msgspec

from comity.core.errors import UsageError

P = TypeVar("P", bound=msgspec.Struct)


def parameters(kind: type[P], detector: str, given: Mapping[str, float]) -> P:
    """Return the parameters of `detector` with those that were `given` changed.

    Raises:
        UsageError: a parameter is unknown, or its value is none that it can have.
    """
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    unknown = sorted(set(given) - set(fields))
    if unknown:
        near = get_close_matches(unknown[0], fields, 1)
        meant = f"did you mean `{near[0]}`? " if near else ""
        raise UsageError(
            "unknown_parameter",
            f"detector `{detector}` has no parameter `{unknown[0]}`",
            hint=f"{meant}it has: {', '.join(f'`{name}`' for name in fields)}",
        )
    for name, value in given.items():
        if not math.isfinite(value) or value < 0:
            raise _refused(detector, name, value, "a number from 0 up")
    whole = {name: _whole(detector, name, value, fields[name].type) for name, value in given.items()}
    return msgspec.structs.replace(kind(), **whole)


def _whole(detector: str, name: str, value: float, kind: object) -> float:
    """Return `value`, as an integer where the parameter counts something."""
    if kind is not int:
        return float(value)
    if value != int(value) or value < 1:
        raise _refused(detector, name, value, "a whole number from 1 up")
    return int(value)


def _refused(detector: str, name: str, value: float, expected: str) -> UsageError:
    message = f"`{name}` of detector `{detector}` is `{value:g}`, expected {expected}"
    return UsageError("bad_parameter", message, hint="leave it out for its default")
