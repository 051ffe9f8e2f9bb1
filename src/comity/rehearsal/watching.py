"""The watch over a search: a budget of time, somebody who wants to stop, progress now and then."""

from __future__ import annotations

from collections.abc import Callable

from comity.core.clock import Clock

Show = Callable[[int, float], None]
"""Is given the states that were seen and how many a second."""


class Watching:
    """Called with how many states more were seen; returns why to stop, empty to go on."""

    def __init__(self, clock: Clock, limit_s: float = 0.0, show: Show | None = None, every_s: float = 0.2) -> None:
        """Stop after `limit_s` (0: never); `show` progress every so many seconds."""
        self._clock, self._limit_s, self._show, self._every_s = clock, limit_s, show, every_s
        self._began_s = self._shown_s = clock.monotonic_s()
        self._why = ""
        self.states = 0

    def __call__(self, more: int) -> str:
        """Take note of progress."""
        self.states += max(more, 0)
        now_s = self._clock.monotonic_s()
        if self._show is not None and now_s - self._shown_s >= self._every_s:
            self._shown_s = now_s
            self._show(self.states, self.states / max(now_s - self._began_s, 1e-9))
        if self._limit_s and now_s - self._began_s >= self._limit_s and not self._why:
            self._why = f"what fits in {self._limit_s:g} s"
        return self._why

    def stop(self, by: str) -> None:
        """Stop the search at its next look."""
        self._why = f"what was seen until {by}"
