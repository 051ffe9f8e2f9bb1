"""Which diagram shows an answer of the map: a window on it, an ancestry, what a call would touch."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from comity.coordination.causality.answer import How, MapEdge, MapNode, NodeKind, node_id
from comity.coordination.causality.loop import AgentLoop, AgentLoops
from comity.coordination.causality.reach import Reached, WouldTouch
from comity.coordination.causality.why import Because, Why
from comity.coordination.causality.window import MapWindow
from comity.coordination.drawing.diagram import Arrow, Box, Diagram

LOOPS_MARKED_MAX = 9
_RANKS: dict[NodeKind, int] = {"agent": 0, "field": 1, "invariant": 2}
_VERBS: dict[How, str] = {"wrote": "writes", "read": "reads"}


def window_diagram(window: MapWindow, loops: AgentLoops | None = None, *, title: str = "") -> Diagram:
    """Return a diagram of a window; arrows of the first `LOOPS_MARKED_MAX` loops are marked, notes tell their way."""
    marked = loops.loops[:LOOPS_MARKED_MAX] if loops is not None else ()
    of_loop = _arrows_of(marked)
    is_overview = window.detail == "agents"
    holds = {edge.effect: edge.evidence[0] for edge in window.edges if edge.how == "bounds"}
    boxes = tuple(_box(node, holds.get(node.id, "")) if is_overview else _event_box(node) for node in window.nodes)
    arrows = [_arrow(edge, of_loop.get((edge.cause, edge.effect), ())) for edge in window.edges]
    for guess in window.guesses:
        said = f"guess r={guess.correlation:.2f}" + (f" after {guess.lag_s:g} s" if guess.lag_s else "")
        ends = node_id("field", guess.source), node_id("field", guess.target)
        arrows.append(Arrow(*ends, "guess", said, is_guess=True))
    notes = [_told(number, loop) for number, loop in enumerate(marked, start=1)]
    if loops is not None and (loops.is_cut or len(loops.loops) > len(marked)):
        notes.append("There are more loops than these.")
    notes += _left_out(window)
    return Diagram(
        title or ("Who acts on what" if is_overview else "What made what happen"),
        f"{moment(window.from_us)} to {moment(window.until_us)} UTC",
        boxes,
        tuple(arrows),
        tuple(notes),
    )


def why_diagram(why: Why) -> Diagram:
    """Return a diagram of an ancestry: causes at the left of what they made happen; as text, a tree."""
    boxes: dict[str, Box] = {}
    arrows: dict[tuple[str, str, str], Arrow] = {}
    asked = node_id("unknown", why.asked)
    several = len(why.trees) != 1
    if several:
        boxes[asked] = Box(asked, "unknown", why.asked)
    for tree in why.trees:
        _grow(tree, boxes, arrows)
        if several:
            arrows[tree.node.id, asked, ""] = Arrow(tree.node.id, asked, "made")
    roots = ", ".join(f"{node.kind} {node.label}" for node in why.roots)
    notes = [f"Begins with: {roots}."] if roots else []
    notes += [
        f"Unknown: {it.name}" + (" (not recorded, or older than the map)." if it.why == "left" else " (not recorded).")
        for it in why.unknown
    ]
    if why.is_cut:
        notes.append("There is more behind what is shown.")
    root = asked if several else why.trees[0].node.id
    return Diagram(f"Why {why.asked}", "", tuple(boxes.values()), tuple(arrows.values()), tuple(notes), root)


def touch_diagram(answer: WouldTouch) -> Diagram:
    """Return a diagram of what a call would touch: the tool, its fields, what follows from them, invariants."""
    call = node_id("call", answer.tool)
    boxes = {call: Box(call, "call", answer.tool, rank=0)}
    arrows: dict[tuple[str, str], Arrow] = {}
    for reached in answer.fields:
        key = node_id("field", reached.field)
        boxes.setdefault(key, Box(key, "field", reached.field, _moved(reached), rank=1 + reached.depth))
        if reached.depth == 0:
            arrows[call, key] = Arrow(call, key, "wrote", reached.op or "")
        else:
            before = node_id("field", reached.path[-2])
            said = f"{reached.relation} after {reached.lag_s:g} s" if reached.lag_s else str(reached.relation)
            arrows[before, key] = Arrow(before, key, "declared", said)
    last = max((box.rank or 0 for box in boxes.values()), default=0) + 1
    for bound in answer.bounds:
        key = node_id("invariant", f"{bound.name} over {', '.join(bound.fields)}")
        boxes[key] = Box(key, "invariant", bound.name, f"{bound.severity}, {bound.mode}", rank=last)
        for field in bound.fields:
            end = node_id("field", field)
            if end in boxes:
                arrows[end, key] = Arrow(end, key, "bounds")
    notes = [f"Agents that read or write these fields: {', '.join(answer.agents)}."] if answer.agents else []
    if answer.rests_on:
        notes.append(f"It rests on: {', '.join(answer.rests_on)}.")
    if answer.is_undeclared:
        notes.append("Nobody declared what this tool touches: unknown.")
    if answer.cut:
        notes.append(f"{answer.cut} fields more are left out.")
    return Diagram(
        f"What {answer.tool} would touch", "", tuple(boxes.values()), tuple(arrows.values()), tuple(notes)
    )  # fmt: skip


def moment(at_us: int) -> str:
    """Return a time of day in UTC, as far as calendars go."""
    if not 0 <= at_us < 253_402_300_800_000_000:
        return f"{at_us} µs"
    return datetime.fromtimestamp(at_us // 1_000_000, tz=UTC).strftime("%H:%M:%S")


def _box(node: MapNode, holds: str) -> Box:
    detail = " · ".join(dict.fromkeys((node.state, holds))) if node.kind == "invariant" else ""
    return Box(node.id, node.kind, node.label, detail, _RANKS.get(node.kind))


def _event_box(node: MapNode) -> Box:
    return Box(node.id, node.kind, _named(node), _circumstances(node))


def _named(node: MapNode) -> str:
    return f"{node.tool} {node.label}" if node.tool else node.label


def _circumstances(node: MapNode) -> str:
    when = moment(node.at_us) if node.at_us else ""
    return " · ".join(part for part in (node.actor, node.state, when) if part)


def _arrow(edge: MapEdge, loops: tuple[int, ...]) -> Arrow:
    if edge.how == "declared":
        return Arrow(edge.cause, edge.effect, "declared", edge.evidence[0], loops=loops)
    if edge.how in _VERBS:
        said = f"{_VERBS[edge.how]} ×{edge.count}"
    else:
        said = "" if edge.how == "bounds" else edge.how.replace("_", " ")
    return Arrow(edge.cause, edge.effect, edge.how, said, float(edge.count), loops=loops)


def _arrows_of(loops: tuple[AgentLoop, ...]) -> dict[tuple[str, str], tuple[int, ...]]:
    """Return which arrow is part of which loops."""
    found: dict[tuple[str, str], dict[int, None]] = {}
    for number, loop in enumerate(loops, start=1):
        for hop in loop.hops:
            agent, other = node_id("agent", hop.agent), node_id("agent", hop.next)
            for field in hop.fields:
                found.setdefault((agent, node_id("field", field)), {})[number] = None
            for field in hop.seen_as:
                found.setdefault((node_id("field", field), other), {})[number] = None
            for field in hop.fields:
                for seen in hop.seen_as:
                    found.setdefault((node_id("field", field), node_id("field", seen)), {})[number] = None
    return {ends: tuple(numbers) for ends, numbers in found.items()}


def _told(number: int, loop: AgentLoop) -> str:
    steps = []
    for hop in loop.hops:
        seen = f" (seen as {', '.join(hop.seen_as)})" if hop.seen_as != hop.fields else ""
        steps.append(f"{hop.agent} → {', '.join(hop.fields)}{seen}")
    return f"Loop {number} ({loop.ground}): {' → '.join([*steps, loop.hops[0].agent])}."


def _left_out(window: MapWindow) -> Iterator[str]:
    if window.nodes_cut or window.edges_cut:
        yield f"Left out: {window.nodes_cut} nodes, {window.edges_cut} edges."
    for odd in window.odd[:5]:
        yield f"Does not fit, left out: {odd.cause} → {odd.effect} ({odd.how}: {odd.why.replace('_', ' ')})."
    for missing in window.missing[:5]:
        yield f"Unknown: {missing.name}, which {missing.effect} names."


def _grow(because: Because, boxes: dict[str, Box], arrows: dict[tuple[str, str, str], Arrow]) -> None:
    node = because.node
    detail = _circumstances(node)
    if because.leaf in {"unknown", "left"}:
        detail = "not recorded" if because.leaf == "unknown" else "older than the map, or not recorded"
    boxes.setdefault(node.id, Box(node.id, node.kind, _named(node), detail))
    for cause in because.causes:
        how: How = cause.how or "made"
        over = f"read {cause.evidence[0]}" if how == "read_from" else how.replace("_", " ")
        _grow(cause, boxes, arrows)
        arrows.setdefault((cause.node.id, node.id, how), Arrow(cause.node.id, node.id, how, over))


def _moved(reached: Reached) -> str:
    if reached.step is not None:
        return f"{reached.step:+g}"
    if reached.op == "set" and reached.value is not None:
        return f"= {reached.value}"
    return ""
