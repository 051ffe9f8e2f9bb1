"""Strict JSON in pieces: the fields of a request body and the items of a list, each exactly as its program wrote it.

msgspec reads ten times as fast as the standard library, but lets the last of two equal keys win. A duplicate is found
by counting colons: a piece that is read and written again has as many as before, unless a key was lost on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from comity.core.codec import Digest, digest, parse
from comity.core.errors import UsageError
from comity.core.limits import TOKENS_MAX

T = TypeVar("T")
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_fields: Callable[[bytes], dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_items: Callable[[bytes], list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode: Callable[[bytes], Any] = msgspec.json.Decoder().decode
_encode: Callable[[Any], bytes] = msgspec.json.Encoder(order="deterministic").encode
_MISSPELLED = "send one JSON object in UTF-8, each key once"


def fields(body: bytes, what: str) -> dict[str, bytes]:
    """Return the fields of a JSON object in their order, each value as it is spelled; `strict` reads one.

    Raises:
        UsageError: `body` is no JSON object, or names a field twice.
    """
    try:
        found = {name: bytes(value) for name, value in _fields(body).items()}
    except msgspec.ValidationError:
        raise UsageError("not_json", f"{what} is no JSON object", hint=_MISSPELLED) from None
    except _MALFORMED as error:
        raise _malformed(what, error) from None
    least = 1 + sum(len(_encode(name)) + 2 + len(value) for name, value in found.items())
    if len(body) == least:
        return found  # nothing but these fields has room in it
    colons = len(found) + sum(value.count(b":") for value in found.values())
    if colons != body.count(b":"):
        parse(body, what)
    return found


def items(raw: bytes, what: str) -> tuple[bytes, ...]:
    """Return the items of a JSON list, each as it is spelled.

    Raises:
        UsageError: `raw` is no list.
    """
    try:
        return tuple(bytes(item) for item in _items(raw))
    except _MALFORMED:
        raise UsageError("bad_request", f"`{what}` must be a list", hint="see the API's reference") from None


def strict(raw: bytes, what: str) -> Any:
    """Return the value of a piece of JSON.

    Raises:
        UsageError: it is malformed, or holds a key twice, at any depth.
    """
    try:
        value = _decode(raw)
        is_whole = b"\\u003" not in raw and raw.count(b":") == _encode(value).count(b":")
    except _MALFORMED as error:
        raise _malformed(f"`{what}`", error) from None
    return value if is_whole else parse(raw, what)


def joined(pieces: Mapping[str, bytes]) -> bytes:
    """Return the JSON object with these fields, in this order."""
    return b"{%s}" % b",".join(b"%s:%s" % (_encode(name), value) for name, value in pieces.items())


def listed(pieces: Iterable[bytes]) -> bytes:
    """Return the JSON list with these items."""
    return b"[%s]" % b",".join(pieces)


def decoded(raw: bytes) -> Any:
    """Return the value of a piece that `strict` has read before."""
    return _decode(raw)


def spelled(value: Any) -> bytes:
    """Return a value that came out of JSON in its one canonical spelling."""
    return _encode(value)


def remembered(size_max: int, bytes_max: int) -> Callable[[Callable[[bytes], T]], Callable[[bytes], T]]:
    """Remember what a pure function said of the last `size_max` pieces, larger ones than `bytes_max` apart.

    A conversation is sent again with each of its turns: only what is new in it is read.
    """

    def wrap(function: Callable[[bytes], T]) -> Callable[[bytes], T]:
        known = lru_cache(size_max)(function)
        return lambda raw: known(raw) if len(raw) <= bytes_max else function(raw)

    return wrap


@remembered(2_048, 16_384)
def canonical_digest(raw: bytes) -> Digest:
    """Return the digest of a piece's canonical spelling; the piece was read before."""
    return digest(_encode(_decode(raw)))


def bad(name: str, wanted: str, given: Any) -> UsageError:
    """Return the error for a field of a wrong type."""
    return UsageError("bad_request", f"`{name}` must be {wanted}, not `{given!s:.40}`", hint="see the API's reference")


def flag(found: dict[str, Any], name: str) -> bool:
    """Return a field that is true or false; absent or null is false."""
    value = found.get(name)
    if value is not None and not isinstance(value, bool):
        raise bad(name, "`true` or `false`", value)
    return value or False


def count(found: dict[str, Any], name: str) -> int | None:
    """Return a field that is a whole number from 1 to `TOKENS_MAX`, None where it is absent or null."""
    value = found.get(name)
    if value is not None and (type(value) is not int or not 1 <= value <= TOKENS_MAX):
        raise bad(name, f"a whole number from 1 to {TOKENS_MAX}", value)
    return value


def records(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list; what is none is passed over, for the upstream to judge."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(record: Any, name: str) -> str:
    """Return a field that is text, "" where it is absent or something else."""
    value = record.get(name) if isinstance(record, dict) else None
    return value if isinstance(value, str) else ""


def _malformed(what: str, error: Exception) -> UsageError:
    why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error).lower()
    return UsageError("not_json", f"{what} is malformed: {why[:200]}", hint=_MISSPELLED)
