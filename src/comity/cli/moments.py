"""Moments and lengths of time as they are typed: `2h`, `2026-11-30T02:17:00Z`, or `10m` ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from comity.core.errors import UsageError
from comity.runtime.words import one_line

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def read_span(text: str, option: str) -> float:
    """Return the seconds of a length of time such as `2h`.

    Raises:
        UsageError: it is none, or nothing.
    """
    found = _SPAN.fullmatch(text.strip())
    if found is None or not float(found[1]):
        hint = "write a number and one of s, m, h, d, w: `90s`, `2h`"
        raise UsageError("bad_usage", f"`{option} {one_line(text, 40)}` is no length of time", hint=hint)
    return float(found[1]) * _SECONDS[found[2]]


def read_moment(text: str, option: str, now_us: int) -> datetime:
    """Return a moment: RFC 3339 (local time where it names no zone), or a length of time that it is ago.

    Raises:
        UsageError: it is neither.
    """
    if _SPAN.fullmatch(text.strip()):
        return datetime.fromtimestamp(now_us / 1e6, UTC) - timedelta(seconds=read_span(text, option))
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        hint = "write `2026-11-30T02:17:00Z`, or how long it is ago: `10m`"
        raise UsageError("bad_usage", f"`{option} {one_line(text, 40)}` is no moment", hint=hint) from None
    return found.astimezone(UTC)
