"""Who was deferred first goes first: so that nobody starves behind calls that ask for less or come more often."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

GRACE_US = 2_000_000
"""So long after its time a deferred call keeps its place without having come again."""
WAITING_MAX = 10_000
"""So many calls may wait in order; one more waits all the same, but has no place."""


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
        self._by_key: dict[str, set[str]] = {}

    def wait(self, call: str, keys: Iterable[str], now_us: int, until_us: int) -> None:
        """Let a call wait; it keeps the place that it has."""
        before = self.waiting.get(call)
        self.leave(call)
        if len(self.waiting) >= WAITING_MAX:
            self._clear(now_us)
        wanted = frozenset(keys)
        if not wanted or len(self.waiting) >= WAITING_MAX:
            return
        since_us = before.since_us if before is not None else now_us
        self.waiting[call] = Waiting(since_us, wanted, until_us + GRACE_US)
        for key in wanted:
            self._by_key.setdefault(key, set()).add(call)

    def leave(self, call: str) -> None:
        """Let a call go: it was let through, or turned away for good."""
        found = self.waiting.pop(call, None)
        for key in found.keys if found is not None else ():
            there = self._by_key[key]
            there.discard(call)
            if not there:
                del self._by_key[key]

    def is_behind(self, call: str, keys: Iterable[str], now_us: int) -> bool:
        """Tell whether an older call waits for one of the same invariants."""
        if not self.waiting:
            return False
        mine = self.waiting.get(call)
        since = (mine.since_us, call) if mine is not None else (now_us, call)
        for key in keys:
            for name in list(self._by_key.get(key, ())):
                other = self.waiting[name]
                if other.until_us <= now_us:
                    self.leave(name)
                elif name != call and (other.since_us, name) < since:
                    return True
        return False

    def _clear(self, now_us: int) -> None:
        for name in [name for name, item in self.waiting.items() if item.until_us <= now_us]:
            self.leave(name)
