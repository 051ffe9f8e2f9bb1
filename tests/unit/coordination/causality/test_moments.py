"""Circles within one moment, against networkx; and a crowd in one moment."""

from __future__ import annotations

import networkx as nx
from hypothesis import given
from hypothesis import strategies as st

from comity.coordination.causal import CausalMap
from comity.coordination.causality.moments import circles
from comity.journal.world import Acted, Change, Read

PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30)


@given(PAIRS)
def test_circles_are_the_strongly_connected_components_of_more_than_one(pairs: list[tuple[int, int]]) -> None:
    graph = nx.DiGraph()
    graph.add_nodes_from(str(number) for number in range(10))
    graph.add_edges_from((str(effect), str(cause)) for effect, cause in pairs)
    found = circles(sorted(graph), lambda name: sorted(graph[name]))
    groups: dict[int, set[str]] = {}
    for name, number in found.items():
        groups.setdefault(number, set()).add(name)
    expected = [part for part in nx.strongly_connected_components(graph) if len(part) > 1]
    assert sorted(map(sorted, groups.values())) == sorted(map(sorted, expected))


def test_a_chain_of_calls_in_one_moment_is_kept_whole() -> None:
    made = CausalMap()
    for number in range(2_000):
        change = Change("k/r.n", "add", 1, version=number + 1)
        made.feed(Acted(5, f"t{number}/1", f"agent-{number % 7}", "do", (change,), (Read("k/r.n", number),)))
    assert made.odd() == ()
    window = made.window(0, 9, detail="calls", focus="t1000/1", hops=1)
    assert {node.label for node in window.nodes} == {"t999/1", "t1000/1", "t1001/1", "t1000"}


def test_a_circle_through_a_chain_in_one_moment_is_odd_and_the_rest_is_kept() -> None:
    made = CausalMap()
    for one, two in (("a", "b"), ("b", "c"), ("c", "a"), ("d", "c")):
        made.feed(Acted(5, f"{one}/1", one, "do", caused_by=f"{two}/1"))
    assert {odd.effect for odd in made.odd()} == {"call:a/1", "call:b/1", "call:c/1"}
    assert ("call:c/1", "call:d/1") in {(edge.cause, edge.effect) for edge in made.window(0, 9, detail="calls").edges}
