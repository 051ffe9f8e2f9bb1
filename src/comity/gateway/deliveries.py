"""Up to where a program has got everything that its journal has for it, whatever the order in which it came."""

from __future__ import annotations

from heapq import heappop, heappush


class Deliveries:
    """Outcomes by their order: those that the program is still to get, and how far it has got all."""

    def __init__(self) -> None:
        """Expect nothing."""
        self._missing: set[int] = set()
        self._heap: list[int] = []
        self._last = 0

    @property
    def consumed(self) -> int:
        """Return the greatest order up to which nothing is missing."""
        while self._heap and self._heap[0] not in self._missing:
            heappop(self._heap)
        return min(self._last, self._heap[0] - 1) if self._heap else self._last

    def expect(self, order: int) -> None:
        """Take note of an outcome that the program is to get."""
        if order not in self._missing:
            self._missing.add(order)
            heappush(self._heap, order)

    def arrived(self, order: int) -> None:
        """Take note that the program has got it, or never will."""
        self._missing.discard(order)
        self._last = max(self._last, order)
