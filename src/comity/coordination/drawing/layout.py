"""Where everything of a diagram goes: boxes in columns, arrows as curves between them, labels where nothing else is.

All measures are in pixels from the top left. The same diagram gives the same layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from comity.coordination.drawing.curves import Curve, Rectangle, curve_of, level_curve
from comity.coordination.drawing.diagram import Arrow, Box, Diagram, loops_said, plain
from comity.coordination.drawing.measure import fitted, width_of
from comity.coordination.drawing.ranks import Column, Slot, ordered, ranked
from comity.coordination.drawing.room import Passing, Taken

LABEL_SIZE, KIND_SIZE, DETAIL_SIZE, ARROW_SIZE = 13.0, 10.0, 11.0, 11.0
BOX_WIDTH_MIN, BOX_WIDTH_MAX = 96.0, 300.0
PORT_GAP = 15.0
ROW_GAP = 26.0
BEND_HEIGHT = 10.0
ARROW_LABEL_MAX = 250.0
LABELS_MAX = 160


class Drawn(msgspec.Struct, frozen=True):
    """A box in its place, with its lines of text as they fit."""

    box: Box
    place: Rectangle
    label: str
    detail: str


class Flow(msgspec.Struct, frozen=True):
    """An arrow as a curve, with its label and the place found for that (None: there was none)."""

    arrow: Arrow
    curve: Curve
    label: str
    label_place: Rectangle | None


class Layout(msgspec.Struct, frozen=True):
    """The whole picture, of that width and height."""

    width: float
    height: float
    boxes: tuple[Drawn, ...]
    flows: tuple[Flow, ...]


def laid_out(diagram: Diagram) -> Layout:
    """Return the layout of a sound diagram.

    Cost: about linear in its arrows, times the number of sweeps; labels are held against each other.
    """
    rank_of = ranked(diagram)
    numbers = {box.id: number for number, box in enumerate(diagram.boxes)}
    ends = [(numbers[it.source], numbers[it.target]) for it in diagram.arrows]
    columns, paths = ordered(len(diagram.boxes), rank_of, ends)
    labels = [fitted(arrow_label(arrow), ARROW_SIZE, ARROW_LABEL_MAX) for arrow in diagram.arrows]
    heights = _heights(diagram, rank_of, ends)
    lefts, widths = _columns_across(diagram, columns, (ends, paths, rank_of), labels)
    centres = _centres(columns, heights, paths)
    places = [
        Rectangle(lefts[rank], centres[number, -1] - heights[number, -1] / 2, widths[rank], heights[number, -1])
        for number, rank in enumerate(rank_of)
    ]
    boxes = tuple(_drawn(box, place) for box, place in zip(diagram.boxes, places, strict=True))
    curves = _curves(ends, paths, places, centres, (lefts, widths))
    flows = _labelled(diagram.arrows, curves, labels, places)
    right = max((place.right for place in places), default=0.0)
    right = max([right, *(point[0] for flow in flows for point in flow.curve.points)])
    right = max([right, *(flow.label_place.right for flow in flows if flow.label_place)])
    bottom = max((place.bottom for place in places), default=0.0)
    bottom = max([bottom, *(flow.label_place.bottom for flow in flows if flow.label_place)])
    return Layout(right, bottom, boxes, flows)


def arrow_label(arrow: Arrow) -> str:
    """Return what is written at an arrow."""
    parts = (plain(arrow.label), loops_said(arrow))
    return " · ".join(part for part in parts if part)


def _drawn(box: Box, place: Rectangle) -> Drawn:
    inner = place.width - 24
    label = fitted(plain(box.label), LABEL_SIZE, inner, is_bold=True)
    return Drawn(box, place, label, fitted(plain(box.detail), DETAIL_SIZE, inner))


def _box_width(box: Box) -> float:
    label, detail = plain(box.label), plain(box.detail)
    widest = max(
        width_of(label, LABEL_SIZE, is_bold=True), width_of(detail, DETAIL_SIZE), width_of(box.kind, KIND_SIZE)
    )
    return min(BOX_WIDTH_MAX, max(BOX_WIDTH_MIN, widest + 26))


def _heights(diagram: Diagram, rank_of: Sequence[int], ends: Sequence[tuple[int, int]]) -> dict[Slot, float]:
    """Return how high each box is: its text, and room for the arrows at its busier side."""
    sides: dict[tuple[int, bool], int] = {}
    for one, two in ends:
        for here, there in ((one, two), (two, one)):
            is_right = rank_of[there] >= rank_of[here]
            sides[here, is_right] = sides.get((here, is_right), 0) + 1
    heights: dict[Slot, float] = {}
    for number, box in enumerate(diagram.boxes):
        ports = max(sides.get((number, False), 0), sides.get((number, True), 0))
        heights[number, -1] = max(62.0 if box.detail else 46.0, ports * PORT_GAP + 12)
    return heights


def _columns_across(
    diagram: Diagram,
    columns: Sequence[Column],
    routes: tuple[Sequence[tuple[int, int]], Sequence[Sequence[Slot]], Sequence[int]],
    labels: Sequence[str],
) -> tuple[list[float], list[float]]:
    """Return the left side and the width of each column; gaps grow with what is written and how many arrows pass."""
    widths = [
        max((_box_width(diagram.boxes[number]) for number, bend in column if bend < 0), default=0.0)
        for column in columns
    ]
    ends, paths, rank_of = routes
    gaps = [70.0] * len(columns)
    passing = [0] * len(columns)
    for number, path in enumerate(paths):
        written = width_of(labels[number], ARROW_SIZE)
        first = rank_of[ends[number][0]] if not path else rank_of[path[0][0]]
        for rank in range(first, first + max(1, len(path) - 1)):
            passing[rank] += 1
            gaps[rank] = max(gaps[rank], written + (70 if path else 110))
    lefts, x = [], 0.0
    for rank, width in enumerate(widths):
        lefts.append(x)
        x += width + gaps[rank] + min(160.0, 9.0 * passing[rank])
    return lefts, widths


def _centres(
    columns: Sequence[Column], heights: dict[Slot, float], paths: Sequence[Sequence[Slot]]
) -> dict[Slot, float]:
    """Return the vertical centre of each box and bend: near its neighbours, in order, with room between."""
    beside: dict[Slot, list[Slot]] = {}
    for path in paths:
        for left, right in pairwise(path):
            beside.setdefault(left, []).append(right)
            beside.setdefault(right, []).append(left)
    centres: dict[Slot, float] = {}
    for column in columns:
        spaced = _spaced(column, heights)
        middle = (spaced[0] + spaced[-1]) / 2 if spaced else 0.0
        centres.update({slot: y - middle for slot, y in zip(column, spaced, strict=True)})
    for turn in range(8):
        for column in columns if turn % 2 else reversed(columns):
            wanted = [
                sum(centres[other] for other in beside[slot]) / len(beside[slot]) if slot in beside else centres[slot]
                for slot in column
            ]
            settled = _settled(wanted, _spaced(column, heights))
            centres.update(zip(column, settled, strict=True))
    top = min((centres[slot] - heights.get(slot, BEND_HEIGHT) / 2 for slot in centres), default=0.0)
    return {slot: round(y - top, 1) for slot, y in centres.items()}


def _spaced(column: Column, heights: dict[Slot, float]) -> list[float]:
    """Return the centres of a column that is packed from the top."""
    found, y = [], 0.0
    for slot in column:
        height = heights.get(slot, BEND_HEIGHT)
        found.append(y + height / 2)
        y += height + ROW_GAP
    return found


def _settled(wanted: Sequence[float], packed: Sequence[float]) -> list[float]:
    """Return the centres nearest to the wanted ones (least squares) that keep the distances of the packed ones.

    Source: isotonic regression by pooling adjacent violators (Barlow et al. 1972).
    """
    pools: list[tuple[float, int]] = []
    for want, place in zip(wanted, packed, strict=True):
        mean, size = want - place, 1
        while pools and pools[-1][0] > mean:
            other, count = pools.pop()
            mean, size = (other * count + mean * size) / (count + size), count + size
        pools.append((mean, size))
    shifts = [mean for mean, size in pools for _ in range(size)]
    return [place + shift for place, shift in zip(packed, shifts, strict=True)]


def _curves(
    ends: Sequence[tuple[int, int]],
    paths: Sequence[Sequence[Slot]],
    places: Sequence[Rectangle],
    centres: dict[Slot, float],
    across: tuple[list[float], list[float]],
) -> list[Curve]:
    ports = _ports(ends, paths, places, centres)
    lefts, widths = across
    curves: list[Curve] = []
    for number, (one, two) in enumerate(ends):
        path = paths[number]
        if not path:
            curves.append(level_curve(places[one].right, ports[number, one, 0], ports[number, two, 1]))
            continue
        left, right = path[0][0], path[-1][0]
        points = [(places[left].right, ports[number, left, 0])]
        for bend in path[1:-1]:
            y, x = centres[bend], lefts[bend[1]]
            points += [(x, y), (x + widths[bend[1]], y)]
        points.append((places[right].left, ports[number, right, 0]))
        curves.append(curve_of(points if left == one else points[::-1]))
    return curves


def _ports(
    ends: Sequence[tuple[int, int]],
    paths: Sequence[Sequence[Slot]],
    places: Sequence[Rectangle],
    centres: dict[Slot, float],
) -> dict[tuple[int, int, int], float]:
    """Return where each arrow meets its boxes: (arrow, box, 0 or 1 for the second end of one within a column) → y.

    Arrows at one side of a box stand in the order of where they go.
    """
    sides: dict[tuple[int, str], list[tuple[float, int, int]]] = {}
    for number, (one, two) in enumerate(ends):
        path = paths[number]
        if path:
            (left, _), (right, _) = path[0], path[-1]
            sides.setdefault((left, "right"), []).append((centres[path[1]], number, 0))
            sides.setdefault((right, "left"), []).append((centres[path[-2]], number, 0))
        else:
            sides.setdefault((one, "right"), []).append((centres[two, -1], number, 0))
            sides.setdefault((two, "right"), []).append((centres[one, -1], number, 1))
    ports: dict[tuple[int, int, int], float] = {}
    for (box, _), meeting in sides.items():
        place = places[box]
        step = min(PORT_GAP, (place.height - 10) / max(1, len(meeting)))
        first = place.top + place.height / 2 - step * (len(meeting) - 1) / 2
        for index, (_, number, end) in enumerate(sorted(meeting)):
            ports[number, box, end] = round(first + index * step, 1)
    return ports


def _labelled(
    arrows: Sequence[Arrow], curves: Sequence[Curve], labels: Sequence[str], places: Sequence[Rectangle]
) -> tuple[Flow, ...]:
    """Find a place on each curve for its label where no box and no other label is, and few other curves pass.

    AgentLoops are labelled first; where there are more than `LABELS_MAX` arrows, only they and guesses are.
    """
    taken, passing = Taken(place.grown(5) for place in places), Passing(curves)
    found: dict[int, Rectangle | None] = {}
    for number in sorted(range(len(arrows)), key=lambda number: (not arrows[number].loops, number)):
        arrow, label = arrows[number], labels[number]
        if label and (len(arrows) <= LABELS_MAX or arrow.loops or arrow.is_guess):
            spot = _spot(number, curves[number], (width_of(label, ARROW_SIZE) + 6, ARROW_SIZE + 6), taken, passing)
            if spot is not None:
                found[number] = spot
                taken.add(spot.grown(2))
    return tuple(
        Flow(arrow, curve, label, found.get(number))
        for number, (arrow, curve, label) in enumerate(zip(arrows, curves, labels, strict=True))
    )


def _spot(number: int, curve: Curve, size: tuple[float, float], taken: Taken, passing: Passing) -> Rectangle | None:
    width, height = size
    fewest, best = 1_000_000, None
    for x, y in curve.stations():
        left = x + 6 if curve.is_level else x - width / 2
        spot = Rectangle(round(left, 1), round(y - height / 2, 1), round(width, 1), height)
        if spot.left < 0 or spot.top < 0 or taken.meets(spot):
            continue
        count = passing.through(spot, number)
        if count < fewest:
            fewest, best = count, spot
        if count == 0:
            break
    return best
