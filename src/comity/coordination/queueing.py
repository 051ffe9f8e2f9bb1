"""Who was deferred first goes first: so that nobody starves behind calls that ask for less or come more often."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

GRACE_US = 2_000_000
"""So long after its time a deferred call keeps its place without having come again."""
WAITING_MAX = 10_000
"""So many calls may wait in order; one more waits all the same, but has no place."""


class Waiting(NamedTuple):
    """A deferred call: since when, for what (invariants, fields), and until when it keeps its place.

    `defers` is how often in a row it was deferred behind the same flight; a new one is progress.
    """

    since_us: int
    keys: frozenset[str]
    until_us: int
    behind: str = ""
    defers: int = 0


class _Line:
    """The calls that wait for one thing; who is first, and when the next one loses its place, is kept."""

    __slots__ = ("_ends_us", "_first", "calls")

    def __init__(self) -> None:
        self.calls: dict[str, Waiting] = {}
        self._first: tuple[int, str] | None = None
        self._ends_us: int | None = None

    @property
    def first(self) -> tuple[int, str]:
        """Return since when the first call waits, and which it is."""
        if self._first is None:
            self._first = min((item.since_us, call) for call, item in self.calls.items())
        return self._first

    @property
    def ends_us(self) -> int:
        """Return when the next call loses its place."""
        if self._ends_us is None:
            self._ends_us = min(item.until_us for item in self.calls.values())
        return self._ends_us

    def enter(self, call: str, waiting: Waiting) -> None:
        """Let a call wait."""
        if self.calls:
            self._first = min(self.first, (waiting.since_us, call))
            self._ends_us = min(self.ends_us, waiting.until_us)
        self.calls[call] = waiting

    def leave(self, call: str) -> None:
        """Let a call go."""
        del self.calls[call]
        self._first = self._ends_us = None


class Queue:
    """The deferred calls of a component."""

    def __init__(self) -> None:
        """Begin empty."""
        self.waiting: dict[str, Waiting] = {}
        self._lines: dict[str, _Line] = {}

    def defers(self, call: str, behind: str) -> int:
        """Return how often in a row a call was deferred behind the same flight, or behind none."""
        found = self.waiting.get(call)
        return found.defers if found is not None and found.behind == behind else 0

    def wait(self, call: str, keys: Iterable[str], now_us: int, until_us: int, behind: str = "") -> None:
        """Let a call wait; it keeps the place that it has."""
        defers = self.defers(call, behind) + 1
        before = self.waiting.get(call)
        self.leave(call)
        if len(self.waiting) >= WAITING_MAX:
            self._clear(now_us)
        wanted = frozenset(keys)
        if len(self.waiting) >= WAITING_MAX:
            return
        since_us = before.since_us if before is not None else now_us
        self.waiting[call] = waiting = Waiting(since_us, wanted, until_us + GRACE_US, behind, defers)
        for key in wanted:
            self._lines.setdefault(key, _Line()).enter(call, waiting)

    def leave(self, call: str) -> None:
        """Let a call go: it was let through, or turned away for good."""
        found = self.waiting.pop(call, None)
        for key in found.keys if found is not None else ():
            line = self._lines[key]
            line.leave(call)
            if not line.calls:
                del self._lines[key]

    def place(self, call: str) -> int:
        """Return the place of a call among all that wait, from 1; one that does not wait yet is the last."""
        mine = self.waiting.get(call)
        if mine is None:
            return len(self.waiting) + 1
        return 1 + sum((other.since_us, name) < (mine.since_us, call) for name, other in self.waiting.items())

    def leave_task(self, task: str) -> None:
        """Let all calls of a task go: it has ended, or nobody works on it."""
        for call in [call for call in self.waiting if call.startswith(f"{task}/")]:
            self.leave(call)

    def ahead(self, call: str, keys: Iterable[str], now_us: int) -> tuple[set[str], set[str]]:
        """Return those of `keys` that older calls wait for, and the flights that those are behind."""
        mine = self.waiting.get(call)
        since = (mine.since_us, call) if mine is not None else (now_us, call)
        found: set[str] = set()
        behind: set[str] = set()
        for key in keys:
            line = self._lines.get(key)
            if line is None:
                continue
            if line.ends_us <= now_us:
                for name in [name for name, item in line.calls.items() if item.until_us <= now_us and name != call]:
                    self.leave(name)
            if line.calls and line.first < since:
                found.add(key)
                behind.update([item.behind for name, item in line.calls.items() if (item.since_us, name) < since])
        return found, behind - {""}

    def _clear(self, now_us: int) -> None:
        for name in [name for name, item in self.waiting.items() if item.until_us <= now_us]:
            self.leave(name)
