"""A window on the map for a console: what there was between two moments, around a focus, at most so many nodes.

*agents*: who reads and writes which fields, what follows from them as declared, which invariants read them; this graph
has circles where agents close loops. *calls*: what made what happen; it has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec

from comity.coordination.causality.answer import How, MapEdge, MapNode, Missing, NodeKind, Odd, is_principal, node_id
from comity.coordination.causality.correlation import Guess
from comity.coordination.causality.declared import Declared
from comity.coordination.causality.happening import Happening
from comity.coordination.causality.origins import origins
from comity.coordination.causality.recorded import Recorded

WINDOW_NODES_MAX = 300
EVIDENCE_MAX = 3
"""An edge of the agents' graph lists its latest calls, this many."""

Detail = Literal["agents", "calls"]


class MapWindow(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the window shows, and how much it leaves out. `guesses` are labelled as such and are no edges.

    `edges_cut` counts edges from what is shown, or could have been, to what is not.
    """

    from_us: int
    until_us: int
    detail: Detail
    nodes: tuple[MapNode, ...] = ()
    edges: tuple[MapEdge, ...] = ()
    guesses: tuple[Guess, ...] = ()
    missing: tuple[Missing, ...] = ()
    odd: tuple[Odd, ...] = ()
    nodes_cut: int = 0
    edges_cut: int = 0


class Look(msgspec.Struct, frozen=True):
    """What to look at: happenings from `from_us` up to and with `until_us`, within `hops` of `focus` (empty: all)."""

    from_us: int
    until_us: int
    focus: str = ""
    hops: int = 2
    limit: int = WINDOW_NODES_MAX
    detail: Detail = "agents"


def look(recorded: Recorded, declared: Declared | None, guesses: Sequence[Guess], asked: Look) -> MapWindow:
    """Return that window. An unknown focus gives an empty one.

    Cost: linear in what the map holds.
    """
    inside = [it for it in recorded.in_order() if it.last_us >= asked.from_us and it.at_us <= asked.until_us]
    surplus = 0
    if asked.detail == "calls":
        if not asked.focus:  # only the latest can be shown: no need to look at the causes of the others
            latest = sorted(inside, key=lambda it: (it.last_us, it.at_us, it.id))[-_limit(asked) :]
            surplus = len(inside) - len(latest)
            inside = sorted(latest, key=lambda it: (it.at_us, it.id))
        nodes, edges, missing, odd = _of_calls(recorded, inside)
    else:
        nodes, edges = _of_agents(declared, inside)
        missing, odd = [], []
    kept = _kept(nodes, edges, asked, _resolved(recorded, nodes, asked.focus))
    shown = [edge for edge in edges if edge.cause in kept and edge.effect in kept]
    of_fields = {node.label for key, node in nodes.items() if key in kept and node.kind == "field"}
    return MapWindow(
        asked.from_us,
        asked.until_us,
        asked.detail,
        tuple(node for key, node in nodes.items() if key in kept),
        tuple(shown),
        tuple(it for it in guesses if it.source in of_fields and it.target in of_fields),
        tuple(it for it in missing if it.effect in kept),
        tuple(it for it in odd if it.effect in kept),
        len(nodes) - len(kept) + surplus,
        len(edges) - len(shown),
    )


def _resolved(recorded: Recorded, nodes: dict[str, MapNode], focus: str) -> str:
    if not focus or focus in nodes:
        return focus
    found = recorded.find(focus)
    if found is not None and found.id in nodes:
        return found.id
    kinds: tuple[NodeKind, ...] = ("agent", "field", "invariant")
    return next((key for kind in kinds if (key := node_id(kind, focus)) in nodes), focus)


def _of_calls(
    recorded: Recorded, inside: Iterable[Happening]
) -> tuple[dict[str, MapNode], list[MapEdge], list[Missing], list[Odd]]:
    nodes = {it.id: it.node() for it in inside}
    edges: list[MapEdge] = []
    missing: list[Missing] = []
    odd: list[Odd] = []
    for key in list(nodes):
        found = origins(recorded, recorded.happenings[key])
        missing += found.missing
        odd += found.odd
        edges += found.edges
        for edge in found.edges:
            kind, _, name = edge.cause.partition(":")
            if is_principal(edge.cause):
                known = nodes.get(edge.cause)
                at_us = min(known.at_us, edge.at_us) if known else edge.at_us
                nodes[edge.cause] = MapNode(edge.cause, kind, name, at_us, edge.at_us)  # type: ignore[arg-type]  # a principal's kind is a node's
    in_order = sorted(nodes.values(), key=lambda it: (it.at_us, not is_principal(it.id), it.id))
    return {node.id: node for node in in_order}, edges, missing, odd


def _of_agents(declared: Declared | None, inside: Iterable[Happening]) -> tuple[dict[str, MapNode], list[MapEdge]]:
    seen: dict[tuple[NodeKind, str], list[Happening]] = {}
    met: dict[tuple[str, str, How], list[Happening]] = {}
    for call in (it for it in inside if it.is_acted and it.actor):
        agent = node_id("agent", call.actor)
        seen.setdefault(("agent", call.actor), []).append(call)
        for name in dict.fromkeys(change.field for change in call.changes.values()):
            seen.setdefault(("field", name), []).append(call)
            met.setdefault((agent, node_id("field", name), "wrote"), []).append(call)
        for name in dict.fromkeys(read.field for read in call.reads.values()):
            seen.setdefault(("field", name), []).append(call)
            met.setdefault((node_id("field", name), agent, "read"), []).append(call)
    nodes = {
        node_id(kind, name): MapNode(
            node_id(kind, name), kind, name, at_us=calls[0].at_us, until_us=calls[-1].at_us, count=len(calls)
        )
        for (kind, name), calls in seen.items()
    }
    edges = {
        ends: MapEdge(*ends, tuple(call.name for call in calls[-EVIDENCE_MAX:]), calls[-1].at_us, len(calls))
        for ends, calls in met.items()
    }
    if declared is not None:
        _declared(declared, nodes, edges)
    return nodes, list(edges.values())


def _declared(declared: Declared, nodes: dict[str, MapNode], edges: dict[tuple[str, str, How], MapEdge]) -> None:
    """Add what was declared of the fields that are there: invariants over them, dependencies between them."""
    for field in sorted(node.label for node in nodes.values() if node.kind == "field"):
        here = node_id("field", field)
        for influence in declared.influences(field):
            there = node_id("field", influence.target)
            if there in nodes:
                evidence = (f"{influence.relation} ×{influence.gain:g} after {influence.lag_s:g} s",)
                edges[here, there, "declared"] = MapEdge(here, there, "declared", evidence)
        for bound in declared.bounds(field):
            key = node_id("invariant", f"{bound.name} over {', '.join(bound.fields)}")
            nodes.setdefault(key, MapNode(key, "invariant", bound.name, state=bound.severity))
            edges[here, key, "bounds"] = MapEdge(here, key, "bounds", (bound.holds or bound.name,))


def _kept(nodes: dict[str, MapNode], edges: Sequence[MapEdge], asked: Look, focus: str) -> set[str]:
    """Return the ids to show: those nearest to the focus, else the busiest (agents) or the latest (calls)."""
    distance = _distances(edges, focus, asked.hops) if focus else dict.fromkeys(nodes, 0)
    by_weight: Callable[[str], tuple[int, int, int, str]] = (
        (lambda key: (distance[key], -nodes[key].until_us, -nodes[key].at_us, key))
        if asked.detail == "calls"
        else (lambda key: (distance[key], -nodes[key].count, -nodes[key].until_us, key))
    )
    return set(sorted((key for key in nodes if key in distance), key=by_weight)[: _limit(asked)])


def _limit(asked: Look) -> int:
    return max(1, min(asked.limit, WINDOW_NODES_MAX))


def _distances(edges: Sequence[MapEdge], focus: str, hops: int) -> dict[str, int]:
    beside: dict[str, set[str]] = {}
    for edge in edges:
        beside.setdefault(edge.cause, set()).add(edge.effect)
        beside.setdefault(edge.effect, set()).add(edge.cause)
    distance, ring = {focus: 0}, [focus]
    for hop in range(1, hops + 1):
        ring = sorted({there for here in ring for there in beside.get(here, ())} - set(distance))
        distance.update(dict.fromkeys(ring, hop))
    return distance
