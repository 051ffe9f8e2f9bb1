"""A thread that looks after a hand while its tools run: one that blocks the loop must not make it deaf."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

PERIOD_S = 0.2


class Guardian:
    """Calls `look` each `PERIOD_S` while `is_busy`; without anything to guard it sleeps, and costs nothing."""

    def __init__(self, is_busy: Callable[[], bool], look: Callable[[], None]) -> None:
        self._is_busy = is_busy
        self._look = look
        self._awake = threading.Event()

    def start(self) -> None:
        """Begin, as a thread that keeps no process alive."""
        threading.Thread(target=self._watch, name="comity-guardian", daemon=True).start()

    def wake(self) -> None:
        """Say that there is something to guard."""
        if not self._awake.is_set():
            self._awake.set()

    def _watch(self) -> None:
        while self._awake.wait():
            time.sleep(PERIOD_S)
            if self._is_busy():
                self._look()
                continue
            self._awake.clear()
            if self._is_busy():  # it became so between question and sleep
                self._awake.set()
