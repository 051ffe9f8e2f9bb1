"""Tells watchers that something was committed: coalesced, on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class News:
    """The watchers of a store."""

    def __init__(self) -> None:
        """Start without watchers."""
        self._watchers: list[Callable[[], None]] = []
        self._eager: list[Callable[[], None]] = []
        self._is_due = False
        self._is_for_all = False

    def watch(self, on_news: Callable[[], None], *, every: bool = False) -> Callable[[], None]:
        """Add a watcher, with `every` one that also hears what concerns nobody else; return what removes it."""
        watchers = self._eager if every else self._watchers
        watchers.append(on_news)

        def end() -> None:
            if on_news in watchers:
                watchers.remove(on_news)

        return end

    def tell(self, *, concerns_others: bool = True) -> None:
        """Call the watchers soon, once however often this is called until then."""
        if self._eager or (self._watchers and concerns_others):
            self._is_for_all = self._is_for_all or concerns_others
            if not self._is_due:
                self._is_due = True
                asyncio.get_running_loop().call_soon(self._tell)

    def clear(self) -> None:
        """Forget all watchers."""
        self._watchers.clear()
        self._eager.clear()

    def _tell(self) -> None:
        told = (*self._eager, *(self._watchers if self._is_for_all else ()))
        self._is_due = self._is_for_all = False
        for on_news in told:
            on_news()
