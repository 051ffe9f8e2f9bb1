"""Which column each box stands in, and in which order: layers by longest path, few crossings by barycentres.

Source: Sugiyama, Tagawa, Toda 1981, with networkx for the layering.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from itertools import pairwise

import networkx as nx

from comity.coordination.drawing.diagram import Diagram

SWEEPS = 12

Slot = tuple[int, int]
"""A box by its number and -1, or a bend: the number of its arrow and the column that it passes."""
Column = list[Slot]


def ranked(diagram: Diagram) -> list[int]:
    """Return the column of each box: its rank, else one more than the farthest that leads to it."""
    numbers = {box.id: number for number, box in enumerate(diagram.boxes)}
    if all(box.rank is not None for box in diagram.boxes):
        used = sorted({box.rank for box in diagram.boxes if box.rank is not None})
        return [used.index(box.rank) for box in diagram.boxes if box.rank is not None]
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(range(len(diagram.boxes)))
    graph.add_edges_from((numbers[it.source], numbers[it.target]) for it in diagram.arrows if not it.is_guess)
    whole = nx.condensation(graph)  # circles become one, so that there is a longest path
    of = [0] * len(diagram.boxes)
    for rank, generation in enumerate(nx.topological_generations(whole)):
        for part in generation:
            for number in whole.nodes[part]["members"]:
                of[number] = rank
    return of


def ordered(
    count: int, rank_of: Sequence[int], ends: Sequence[tuple[int, int]]
) -> tuple[list[Column], list[list[Slot]]]:
    """Return the columns from top to bottom, and the path of each arrow through them, from left to right.

    Args:
        count: Number of boxes.
        rank_of: Column of each.
        ends: Source and target of each arrow, as numbers of boxes. One within a column has no path.
    """
    columns: list[Column] = [[] for _ in range(max(rank_of, default=-1) + 1)]
    for number in range(count):
        columns[rank_of[number]].append((number, -1))
    paths: list[list[Slot]] = []
    for number, (one, two) in enumerate(ends):
        left, right = (one, two) if rank_of[one] <= rank_of[two] else (two, one)
        bends = [(number, rank) for rank in range(rank_of[left] + 1, rank_of[right])]
        for bend in bends:
            columns[bend[1]].append(bend)
        is_level = rank_of[one] == rank_of[two]
        paths.append([] if is_level else [(left, -1), *bends, (right, -1)])
    links = [(path[step], path[step + 1]) for path in paths for step in range(len(path) - 1)]
    return _untangled(columns, links), paths


def _untangled(columns: list[Column], links: list[tuple[Slot, Slot]]) -> list[Column]:
    before: dict[Slot, list[Slot]] = {}
    after: dict[Slot, list[Slot]] = {}
    for left, right in links:
        after.setdefault(left, []).append(right)
        before.setdefault(right, []).append(left)
    best, fewest = [list(column) for column in columns], _crossings(columns, after)
    for sweep in range(SWEEPS):
        is_forward = sweep % 2 == 0
        beside = before if is_forward else after
        for rank in range(len(columns)) if is_forward else reversed(range(len(columns))):
            neighbour = rank - 1 if is_forward else rank + 1
            if 0 <= neighbour < len(columns):
                columns[rank] = _by_barycentre(columns[rank], columns[neighbour], beside)
        crossings = _crossings(columns, after)
        if crossings < fewest:
            best, fewest = [list(column) for column in columns], crossings
    return best


def _by_barycentre(column: Column, neighbour: Column, beside: Mapping[Slot, list[Slot]]) -> Column:
    place = {slot: float(index) for index, slot in enumerate(neighbour)}
    own = {slot: float(index) for index, slot in enumerate(column)}
    scale = len(neighbour) / max(1, len(column))

    def centre(slot: Slot) -> float:
        found = [place[other] for other in beside.get(slot, ()) if other in place]
        return sum(found) / len(found) if found else own[slot] * scale

    return sorted(column, key=lambda slot: (centre(slot), own[slot]))


def _crossings(columns: Sequence[Column], after: Mapping[Slot, list[Slot]]) -> int:
    """Count crossings between neighbouring columns: inversions of the ends, taken in the order of the starts."""
    total = 0
    for left, right in pairwise(columns):
        place = {slot: index for index, slot in enumerate(right)}
        seen: list[int] = []
        for slot in left:
            ends = sorted(place[end] for end in after.get(slot, ()))
            total += sum(len(seen) - bisect_left(seen, end + 1) for end in ends)
            for end in ends:
                insort(seen, end)
    return total
