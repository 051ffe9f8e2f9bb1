"""Places and curves: rectangles that may not meet, smooth lines from box to box, points along them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec

Point = tuple[float, float]

_STEPS = 24


class Rectangle(msgspec.Struct, frozen=True):
    """A rectangle."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Its right side."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """Its lower side."""
        return self.top + self.height

    def grown(self, by: float) -> Rectangle:
        """Return it with a margin."""
        return Rectangle(self.left - by, self.top - by, self.width + 2 * by, self.height + 2 * by)

    def meets(self, other: Rectangle) -> bool:
        """Return whether they overlap."""
        is_beside = self.left >= other.right or other.left >= self.right
        return not (is_beside or self.top >= other.bottom or other.top >= self.bottom)

    def holds(self, point: Point) -> bool:
        """Return whether the point lies in it."""
        return self.left < point[0] < self.right and self.top < point[1] < self.bottom


class Curve(msgspec.Struct, frozen=True):
    """A line as an SVG path from its start to its end; `points` lie along it, the tip points `direction` (±1) in x.

    One that `is_level` runs beside a column: its label stands at its right.
    """

    path: str
    points: tuple[Point, ...]
    direction: int
    is_level: bool = False

    def stations(self) -> Iterator[Point]:
        """Yield points where a label may stand, from the middle outwards: on the line, then beside it."""
        middle = (len(self.points) - 1) / 2
        by_distance = sorted(range(len(self.points)), key=lambda index: abs(index - middle))
        for lift in (0.0, -9.0, 9.0):
            for index in by_distance:
                x, y = self.points[index]
                yield x, y + lift


def curve_of(points: Sequence[Point]) -> Curve:
    """Return a curve through gaps (from even to odd points) that crosses columns (odd to even) in straight lines."""
    (x, y), path, along = points[0], "", []
    path = f"M{x:g} {y:g}"
    for step, (start, end) in enumerate(pairwise(points)):
        if step % 2:
            path += f" L{end[0]:g} {end[1]:g}"
            continue
        reach = (end[0] - start[0]) * 0.45
        one, two = (round(start[0] + reach, 1), start[1]), (round(end[0] - reach, 1), end[1])
        path += f" C{one[0]:g} {one[1]:g} {two[0]:g} {two[1]:g} {end[0]:g} {end[1]:g}"
        along += [_cubic(start, one, two, end, part / _STEPS) for part in range(_STEPS + 1)]
    return Curve(path, tuple(along), 1 if points[-1][0] > points[0][0] else -1)


def level_curve(x: float, start: float, end: float) -> Curve:
    """Return a curve between two boxes of one column, out and back at their right side."""
    reach = 34.0 + min(60.0, abs(end - start) * 0.12)
    points = ((x, start), (x + reach, start), (x + reach, end), (x, end))
    path = f"M{x:g} {start:g} C{x + reach:g} {start:g} {x + reach:g} {end:g} {x:g} {end:g}"
    return Curve(path, tuple(_cubic(*points, part / _STEPS) for part in range(_STEPS + 1)), -1, is_level=True)


def _cubic(one: Point, two: Point, three: Point, four: Point, t: float) -> Point:
    s = 1 - t
    weights = (s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t)
    points = (one, two, three, four)
    x = sum(weight * point[0] for weight, point in zip(weights, points, strict=True))
    y = sum(weight * point[1] for weight, point in zip(weights, points, strict=True))
    return round(x, 1), round(y, 1)
