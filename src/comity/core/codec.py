"""Strict JSON in, one canonical form out, and the digest of it.

What is authorised is what is performed: arguments are parsed once (duplicate keys, NaN, infinities and lone
surrogates refused), become one canonical value, and exactly these bytes go to every gate, the journal and the tool.
Form: UTF-8, keys sorted by code point, no blanks, floats in their shortest round-trip spelling (close to RFC 8785,
but integers of any size stay integers).
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
from collections.abc import Callable
from typing import Any

import msgspec

from comity.core.errors import UsageError
from comity.core.limits import JSON_DEPTH_MAX

Digest = bytes
"""Thirty-two bytes of SHA-256."""

_encode_json = msgspec.json.Encoder(order="deterministic", decimal_format="string").encode
pack: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode
"""Encode a journal value as msgpack."""


def canonical(value: Any, what: str = "value") -> bytes:
    """Return the one canonical JSON spelling of `value`.

    Raises:
        UsageError: `value` holds what JSON cannot say exactly; the message names the path of it.
    """
    _check(value, what, 0)
    try:
        return _encode_json(value)
    except (TypeError, ValueError, OverflowError, UnicodeEncodeError) as error:
        raise _refused(what, str(error).lower()) from None


def parse(data: bytes | str, what: str = "value") -> Any:
    """Parse strict JSON.

    Raises:
        UsageError: not JSON, a duplicate key, NaN or an infinity, or deeper than `JSON_DEPTH_MAX`.
    """
    try:
        text = data if isinstance(data, str) else data.decode()
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_constant)
        if "\\u" in text:
            _encode_json(value)
    except RecursionError:
        raise _refused(what, f"nested deeper than {JSON_DEPTH_MAX}") from None
    except ValueError as error:
        raise _refused(what, str(error)[:200]) from None
    _check(value, what, 0)
    return value


def decode(data: bytes) -> Any:
    """Read back bytes that `canonical` made."""
    return msgspec.json.decode(data)


def digest(data: bytes) -> Digest:
    """Return SHA-256 of `data`."""
    return hashlib.sha256(data).digest()


_SCALARS = frozenset({str, int, bool, type(None)})


def _check(value: Any, path: str, depth: int) -> None:
    kind = type(value)
    if kind in _SCALARS:
        return
    if depth >= JSON_DEPTH_MAX:
        raise _refused(path, f"nested deeper than {JSON_DEPTH_MAX}")
    if kind is float:
        if not math.isfinite(value):
            raise _refused(path, f"`{value}` is not a JSON number")
    elif kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise _refused(path, f"key `{key!r}` is not a string")
            if type(item) not in _SCALARS:
                _check(item, f"{path}.{key}", depth + 1)
    elif kind is list or kind is tuple:
        for index, item in enumerate(value):
            if type(item) not in _SCALARS:
                _check(item, f"{path}[{index}]", depth + 1)
    else:
        _check_other(value, path, depth)


def _check_other(value: Any, path: str, depth: int) -> None:
    if isinstance(value, datetime.datetime) and value.tzinfo is None:
        raise _refused(path, f"naive datetime `{value}`", "give it a time zone, for instance `datetime.UTC`")
    try:
        plain = msgspec.to_builtins(value)
    except (TypeError, ValueError) as error:
        raise _refused(path, f"`{type(value).__name__}` cannot be written as JSON ({error})".lower()) from None
    if type(plain) is type(value):
        raise _refused(path, f"`{type(value).__name__}` cannot be written as JSON")
    _check(plain, path, depth + 1)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"duplicate key `{key}`")
        found[key] = value
    return found


def _constant(name: str) -> Any:
    raise ValueError(f"`{name}` is not a JSON number")


def _refused(what: str, why: str, hint: str = "") -> UsageError:
    return UsageError(
        "not_json", f"`{what}`: {why}", hint=hint or "give values that JSON can hold exactly, each key once"
    )
