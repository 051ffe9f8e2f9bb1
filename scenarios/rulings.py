"""What became of an agent's calls, read from its journal: trimmed, deferred, refused, and why; how long acts took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from comity.server.documents import EntryDocument

PREFIX = "coordination."
FITS = "what fits"
FLIGHT = "what is in flight"


class Ruled(msgspec.Struct, frozen=True):
    """A call that was not performed as it was asked, or not at once; `became` has its arguments where trimmed.

    The journal names no rule for what was trimmed or deferred: `FITS` and `FLIGHT` stand for it.
    """

    agent: str
    tool: str
    args: dict[str, Any]
    verdict: Literal["trimmed", "deferred", "refused"]
    rule: str
    reason: str = ""
    became: dict[str, Any] | None = None


def ruled(agent: str, entries: Sequence[EntryDocument]) -> Iterator[Ruled]:
    """Yield what was ruled on an agent's calls, in the order in which it was."""
    for entry in entries:
        body: dict[str, Any] = dict(entry.body)
        asked = body.get("asked") or {}
        if entry.type == "intent" and body.get("performed"):
            became = body["args"]
            yield Ruled(agent, asked["name"], asked["args"], "trimmed", FITS, f"it became {became}", became)
        elif entry.type == "waiting" and entry.kind == "tool" and asked:
            yield Ruled(agent, asked["name"], asked["args"], "deferred", FLIGHT, "another act is under way")
        elif entry.type == "outcome" and body.get("status") == "refused" and asked:
            problem = body["problem"]
            rule = str(problem["code"]).removeprefix(PREFIX)
            yield Ruled(agent, asked["name"], asked["args"], "refused", rule, problem["error"])


def acts(entries: Sequence[EntryDocument]) -> int:
    """Return how many effects were let happen."""
    return sum(1 for entry in entries if entry.type == "intent" and dict(entry.body)["effect"] not in ("read", "pure"))


def took_ms(entries: Sequence[EntryDocument]) -> Iterator[float]:
    """Yield how long each act took, from the outcome that the agent acted upon to its own: judged, meant, performed."""
    began: datetime | None = None
    under_way: dict[int, datetime] = {}
    for entry in entries:
        if entry.at is None:
            continue
        at, body = datetime.fromisoformat(entry.at), dict(entry.body)
        if entry.type == "intent" and began is not None:
            under_way[entry.seq] = began
        elif entry.type == "outcome":
            if body["call"] in under_way:
                yield (at - under_way.pop(body["call"])) / timedelta(milliseconds=1)
            began = at
