"""Whether a program has the outcome of an effect that was sent to it: what it tells its model of that call says so.

The last byte of an answer may be lost on its way, or come a moment after its client gave up: then the answer went out,
and the program tells its model that the tool timed out. Nothing else tells the two apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from comity.core.codec import decode

SIGNS_MAX = 64
_SIGN = re.compile(r"[A-Za-z0-9_]{4,}")
"""Runs of plain letters stay what they are however often a text is quoted inside another."""


def is_unheard(name: str, args: bytes, outcome: bytes, results: Sequence[bytes]) -> bool:
    """Tell whether `results`, as a program tells them its model, know nothing of an outcome (canonical JSON).

    They do as soon as one word of the outcome is in them. A word of the call itself proves nothing: an error may quote
    it. Where the outcome has no word of its own, or no result is told, nobody can tell: False.
    """
    known = name + args.decode()
    signs = [sign for sign in _signs(outcome) if sign not in known]
    told = b"\n".join(results).decode(errors="replace")
    return bool(signs) and bool(told) and not any(sign in told for sign in signs)


def _signs(outcome: bytes) -> list[str]:
    found: list[str] = []
    for text in _texts(_content(decode(outcome))):
        found += _SIGN.findall(text)
        if len(found) >= SIGNS_MAX:
            break
    return found[:SIGNS_MAX]


def _content(value: Any) -> Any:
    """Return what an outcome says: of an MCP server's answer the texts and the structured content."""
    if not isinstance(value, dict) or not isinstance(value.get("content"), list):
        return value
    texts = [block.get("text") for block in value["content"] if isinstance(block, dict)]
    return [*texts, value.get("structuredContent")]


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts and numbers of a JSON value; the names of its fields say nothing of this outcome."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)
