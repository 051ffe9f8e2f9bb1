"""Tells watchers that something was committed: coalesced, on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class News:
    """The watchers of a store."""

    def __init__(self) -> None:
        """Start without watchers."""
        self._watchers: list[Callable[[], None]] = []
        self._is_due = False

    def watch(self, on_news: Callable[[], None]) -> Callable[[], None]:
        """Add a watcher; return what removes it."""
        self._watchers.append(on_news)

        def end() -> None:
            if on_news in self._watchers:
                self._watchers.remove(on_news)

        return end

    def tell(self) -> None:
        """Call every watcher soon, once however often this is called until then."""
        if self._watchers and not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._tell)

    def clear(self) -> None:
        """Forget all watchers."""
        self._watchers.clear()

    def _tell(self) -> None:
        self._is_due = False
        for on_news in tuple(self._watchers):
            on_news()
