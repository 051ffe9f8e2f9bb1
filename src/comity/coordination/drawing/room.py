"""What is where already: rectangles that are taken and curves that pass, found by the cells of a grid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from comity.coordination.drawing.curves import Curve, Point, Rectangle

CELL = 48.0


class Taken:
    """Rectangles that nothing else may meet."""

    def __init__(self, places: Iterable[Rectangle]) -> None:
        """Begin with these."""
        self._cells: dict[tuple[int, int], list[Rectangle]] = {}
        for place in places:
            self.add(place)

    def add(self, place: Rectangle) -> None:
        """Take one more."""
        for cell in _cells(place):
            self._cells.setdefault(cell, []).append(place)

    def meets(self, spot: Rectangle) -> bool:
        """Return whether one of them overlaps the spot."""
        return any(spot.meets(place) for cell in _cells(spot) for place in self._cells.get(cell, ()))


class Passing:
    """Curves, by the points along them."""

    def __init__(self, curves: Sequence[Curve]) -> None:
        """Know these."""
        self._cells: dict[tuple[int, int], list[tuple[int, Point]]] = {}
        for number, curve in enumerate(curves):
            for x, y in curve.points:
                self._cells.setdefault((int(x // CELL), int(y // CELL)), []).append((number, (x, y)))

    def through(self, spot: Rectangle, own: int) -> int:
        """Return how many points of other curves than `own` lie in the spot."""
        points = (found for cell in _cells(spot) for found in self._cells.get(cell, ()))
        return sum(1 for number, point in points if number != own and spot.holds(point))


def _cells(place: Rectangle) -> Iterator[tuple[int, int]]:
    for x in range(int(place.left // CELL), int(place.right // CELL) + 1):
        for y in range(int(place.top // CELL), int(place.bottom // CELL) + 1):
            yield x, y
