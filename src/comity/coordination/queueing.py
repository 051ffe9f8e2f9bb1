"""Who was deferred first goes first: so that nobody starves behind calls that ask for less or come more often."""

from __future__ import annotations

from typing import NamedTuple

GRACE_US = 2_000_000
"""So long after its time a deferred call keeps its place without having come again."""
WAITING_MAX = 10_000


class Waiting(NamedTuple):
    """A deferred call: since when, for which invariants, and until when it keeps its place."""

    since_us: int
    keys: frozenset[str]
    until_us: int


class Queue:
    """The deferred calls of a component."""

    def __init__(self) -> None:
        """Begin empty."""
        self.waiting: dict[str, Waiting] = {}

    def wait(self, call: str, keys: set[str], now_us: int, until_us: int) -> None:
        """Let a call wait; it keeps the place that it has."""
        if not keys:
            return
        if len(self.waiting) >= WAITING_MAX:
            self._clear(now_us)
        since_us = self.waiting[call].since_us if call in self.waiting else now_us
        self.waiting[call] = Waiting(since_us, frozenset(keys), until_us + GRACE_US)

    def leave(self, call: str) -> None:
        """Let a call go: it was let through, or turned away for good."""
        self.waiting.pop(call, None)

    def is_behind(self, call: str, keys: set[str], now_us: int) -> bool:
        """Tell whether an older call waits for one of the same invariants."""
        mine = self.waiting.get(call)
        since = (mine.since_us, call) if mine is not None else (now_us, call)
        older = (
            other
            for name, other in self.waiting.items()
            if name != call and (other.since_us, name) < since and other.until_us > now_us
        )
        return any(not other.keys.isdisjoint(keys) for other in older)

    def _clear(self, now_us: int) -> None:
        self.waiting = {name: item for name, item in self.waiting.items() if item.until_us > now_us}
