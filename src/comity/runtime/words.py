"""How values are written for people: short ids, ages, money, one-line previews that cannot speak to a terminal."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from comity.core.ids import Id, show_id
from comity.journal.budget import Cost

SHORT_CHARS = 8
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def short(id: Id | str) -> str:
    """Return the last characters of an id, which people type."""
    return (id if isinstance(id, str) else show_id(id))[-SHORT_CHARS:]


def clean(text: str) -> str:
    """Return `text` with control characters written as escapes; lines and tabs stay."""
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def one_line(text: str, chars_max: int = 100) -> str:
    """Return `text` on one line, cut with an ellipsis."""
    flat = clean(" ".join(text.split()))
    return flat if len(flat) <= chars_max else flat[: chars_max - 1] + "…"


def preview(value: Any, chars_max: int = 100) -> str:
    """Return a decoded JSON value on one line; text without quotes."""
    return one_line(value if isinstance(value, str) else msgspec.json.encode(value).decode(), chars_max)


def arguments(value: Any, chars_max: int = 80) -> str:
    """Return a call's arguments as a call is written: `order=7, amount=5`."""
    if isinstance(value, dict):
        return one_line(
            ", ".join(f"{key}={msgspec.json.encode(item).decode()}" for key, item in value.items()), chars_max
        )
    return "" if value is None else preview(value, chars_max)


def span(seconds: float) -> str:
    """Return a length of time in its two largest units: `2 h 5 min`, `12 s`, `350 ms`."""
    if 0 < seconds < 0.9995:
        return f"{seconds * 1_000:.0f} ms"
    left = int(seconds + 0.0005)
    words: list[str] = []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count and len(words) < 2:
            words.append(f"{count} {unit}")
    return " ".join(words) or "0 s"


def age(at_us: int, now_us: int) -> str:
    """Return how long ago something was, in its largest unit."""
    return " ".join(span(max(now_us - at_us, 0) // 1_000_000).split(" ")[:2])


def moment(at_us: int) -> str:
    """Return date and time in the local time zone."""
    return _local(at_us).strftime("%Y-%m-%d %H:%M:%S")


def time_of_day(at_us: int) -> str:
    """Return the local time to the millisecond."""
    return _local(at_us).strftime("%H:%M:%S.%f")[:-3]


def iso(at_us: int) -> str | None:
    """Return RFC 3339 in UTC, for programs; None for a moment that was not set."""
    if at_us <= 0:
        return None
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def us_of(moment: str | None) -> int:
    """Return the microseconds that `iso` wrote; 0 for a moment that was not set."""
    return round(datetime.fromisoformat(moment).timestamp() * 1e6) if moment else 0


def usd(micro: int) -> str:
    """Return millionths of a dollar as dollars: `$0.0042`, `$12.50`."""
    dollars = micro / 1e6
    return f"${dollars:.2f}" if micro % 10_000 == 0 or dollars >= 10 else f"${dollars:.6f}".rstrip("0")


def cost(value: Cost) -> str:
    """Return what was used: `1,204 tokens, $0.0042`; empty where nothing was."""
    tokens = value.tokens_in + value.tokens_out
    parts = [f"{tokens:,} tokens"] if tokens else []
    return ", ".join([*parts, usd(value.usd_micro)] if value.usd_micro else parts)


def model_name(name: str) -> str:
    """Return the name of a model; of a scripted one without its file."""
    return one_line(name.rpartition(":")[2] if name.startswith("scripted:") else name, 60)


def number(count: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun: `1 task`, `2 tasks`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def _local(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us / 1e6, UTC).astimezone()
