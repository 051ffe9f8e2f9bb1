"""A diagram as DOT, the language of Graphviz."""

from __future__ import annotations

from comity.coordination.drawing.diagram import Arrow, Box, Diagram, loops_said, plain

_SHAPES = {"agent": "box", "field": "box", "invariant": "hexagon", "claim": "note", "unknown": "box"}


def as_dot(diagram: Diagram) -> str:
    """Return the diagram as one directed graph, each rank a column."""
    sound = diagram.sound()
    names = {box.id: f"n{number}" for number, box in enumerate(sound.boxes)}
    lines = [
        "digraph comity {",
        f"  graph [rankdir=LR, label={_quoted(sound.title)}, labelloc=t, fontname={_quoted('sans-serif')}];",
        '  node [shape=box, fontname="sans-serif"];',
        '  edge [fontname="sans-serif", fontsize=10];',
        *(_box(box, names[box.id]) for box in sound.boxes),
    ]
    ranks = sorted({box.rank for box in sound.boxes if box.rank is not None})
    for rank in ranks:
        same = " ".join(f"{names[box.id]};" for box in sound.boxes if box.rank == rank)
        lines.append(f"  {{ rank=same; {same} }}")
    lines += [_arrow(arrow, names) for arrow in sound.arrows]
    return "\n".join([*lines, "}", ""])


def _box(box: Box, name: str) -> str:
    label = "\\n".join(_escaped(part) for part in (box.kind, box.label, box.detail) if part)
    style = {"agent": "rounded", "unknown": "dashed"}.get(box.kind, "solid")
    shape = _SHAPES.get(box.kind, "box")
    return f'  {name} [label="{label}", shape={shape}, style={style}, tooltip={_quoted(box.id)}];'


def _arrow(arrow: Arrow, names: dict[str, str]) -> str:
    label = " ".join(part for part in (arrow.label, loops_said(arrow)) if part)
    style = "dotted" if arrow.is_guess else "dashed" if arrow.kind == "declared" else "solid"
    color = ', color="#c2410c"' if arrow.loops else ""
    ends = f"{names[arrow.source]} -> {names[arrow.target]}"
    return f"  {ends} [label={_quoted(label)}, style={style}{color}, tooltip={_quoted(arrow.kind)}];"


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    r"""Escape backslashes too: `\N` and its like stand for other text in a label."""
    return plain(text).replace("\\", "\\\\").replace('"', '\\"')
