"""*Where do loops close*: circles of agents, each acting on what the next one looks at.

Importing this loads networkx; a node that draws nothing does not need it.

Source: elementary circuits of bounded length as networkx finds them (Gupta and Suzumura 2021).
"""

from __future__ import annotations

from itertools import islice

import networkx as nx

from comity.coordination.causality.declared import Declared
from comity.coordination.causality.loop import AgentLoop, AgentLoops, Hop
from comity.coordination.causality.reach import REACH_DEPTH_MAX
from comity.coordination.causality.recorded import Recorded

LOOP_AGENTS_MAX = 5
LOOPS_MAX = 64
SEARCHED_MAX = 1_000
"""At each length so many circles are looked at."""


def find_loops(recorded: Recorded, declared: Declared | None = None) -> AgentLoops:
    """Return where loops close between agents: in what was recorded, then with what is declared.

    Cost: bounded by `SEARCHED_MAX` for each length up to `LOOP_AGENTS_MAX`.
    """
    certain = _recorded_hops(recorded)
    possible = dict(certain)
    if declared is not None:
        for pair, hop in _declared_hops(recorded, declared).items():
            possible.setdefault(pair, hop)
    found: dict[tuple[str, ...], AgentLoop] = {}
    is_cut = False
    for hops in (certain, possible):
        circles, more = _circles(hops)
        is_cut |= more
        for circle in circles:
            pairs = zip(circle, (*circle[1:], circle[0]), strict=True)
            found.setdefault(circle, _loop(tuple(hops[pair] for pair in pairs)))
    in_order = sorted(found.values(), key=lambda it: (it.ground != "recorded", len(it.hops), it.agents))
    return AgentLoops(tuple(in_order[:LOOPS_MAX]), is_cut or len(in_order) > LOOPS_MAX)


def _loop(hops: tuple[Hop, ...]) -> AgentLoop:
    grounds = {hop.ground for hop in hops}
    return AgentLoop(hops, grounds.pop() if len(grounds) == 1 else "mixed")


def _circles(hops: dict[tuple[str, str], Hop]) -> tuple[list[tuple[str, ...]], bool]:
    """Return circles of agents, shorter ones first, and whether there are more."""
    agents = sorted({agent for pair in hops for agent in pair})
    numbers = {agent: number for number, agent in enumerate(agents)}  # sets of numbers have an order that repeats
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_edges_from(sorted((numbers[one], numbers[two]) for one, two in hops))
    found: dict[tuple[str, ...], None] = {}
    for length in range(2, LOOP_AGENTS_MAX + 1):
        for circle in islice(nx.simple_cycles(graph, length_bound=length), SEARCHED_MAX):
            first = circle.index(min(circle))
            found[tuple(agents[number] for number in (*circle[first:], *circle[:first]))] = None
        if len(found) > LOOPS_MAX:
            break
    in_order = sorted(found, key=lambda circle: (len(circle), circle))
    return in_order[:LOOPS_MAX], len(in_order) > LOOPS_MAX


def _recorded_hops(recorded: Recorded) -> dict[tuple[str, str], Hop]:
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for (one, two, field), (count, _) in recorded.pairs.items():
        if one and two:
            counts.setdefault((one, two), {})[field] = count
    return {
        (one, two): Hop(one, fields := tuple(sorted(over)), fields, two, "recorded", sum(over.values()))
        for (one, two), over in sorted(counts.items())
    }


def _declared_hops(recorded: Recorded, declared: Declared) -> dict[tuple[str, str], Hop]:
    writes, reads = _touching(recorded, declared)
    hops: dict[tuple[str, str], Hop] = {}
    for one in sorted(writes):
        behind = {field: _behind(declared, field) for field in sorted(writes[one])}
        for two in sorted(reads):
            if one == two:
                continue
            joined = [(field, seen) for field, ends in behind.items() for seen in ends if seen in reads[two]]
            if joined:
                hops[one, two] = _possible_hop(recorded, one, two, joined)
    return hops


def _possible_hop(recorded: Recorded, one: str, two: str, joined: list[tuple[str, str]]) -> Hop:
    fields = tuple(sorted({field for field, _ in joined}))
    seen_as = tuple(sorted({seen for _, seen in joined}))
    acted = any(one in recorded.fields[field].writes for field in fields if field in recorded.fields)
    looked = any(two in recorded.fields[seen].reads for seen in seen_as if seen in recorded.fields)
    return Hop(one, fields, seen_as, two, "mixed" if acted and looked else "declared")


def _touching(recorded: Recorded, declared: Declared) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    writes: dict[str, set[str]] = {}
    reads: dict[str, set[str]] = {}
    for habit in declared.habits():
        writes.setdefault(habit.agent, set()).update(habit.touches)
        reads.setdefault(habit.agent, set()).update(habit.reads)
    for state in recorded.fields.values():
        for agent in state.writes:
            writes.setdefault(agent, set()).add(state.name)
        for agent in state.reads:
            reads.setdefault(agent, set()).add(state.name)
    writes.pop("", None)
    reads.pop("", None)
    return writes, reads


def _behind(declared: Declared, field: str) -> list[str]:
    """Return the field and what follows from it, at most `REACH_DEPTH_MAX` dependencies away."""
    found, edge = {field: None}, [field]
    for _ in range(REACH_DEPTH_MAX):
        edge = [it.target for name in edge for it in declared.influences(name) if it.target not in found]
        found.update(dict.fromkeys(edge))
    return list(found)
