"""A diagram as SVG: self-contained, readable on light and dark, with a title and a description for screen readers.

Kinds are told by a word in each box, guesses and loops by a word at the arrow: nothing is told by colour alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final
from xml.sax.saxutils import escape

from comity.coordination.drawing.diagram import Diagram, loops_said, plain
from comity.coordination.drawing.layout import (
    ARROW_SIZE,
    DETAIL_SIZE,
    KIND_SIZE,
    LABEL_SIZE,
    Drawn,
    Flow,
    Layout,
    laid_out,
)
from comity.coordination.drawing.measure import width_of, wrapped
from comity.coordination.drawing.text import PHRASES

MARGIN = 28.0
TITLE_SIZE, ABOUT_SIZE, NOTE_SIZE = 18.0, 12.0, 12.0
NOTE_LINE = 19.0
WIDTH_MIN = 640.0
FONTS: Final = (
    "Inter, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'Liberation Sans', 'Noto Sans', 'DejaVu Sans', sans-serif"
)

# Colours by class: (light, dark), each pair at least 4.5 : 1 for text, 3 : 1 for lines against its ground
_FILLS: Final = {
    "agent": ("#e0ecff", "#17305c"),
    "field": ("#e3f5ee", "#143d33"),
    "invariant": ("#fdf0d5", "#4a3510"),
    "call": ("#eef0f4", "#2b303b"),
    "task": ("#e9e6fb", "#332a5e"),
    "answer": ("#fbe6f0", "#55203b"),
    "observation": ("#e2f3f8", "#123c4a"),
    "claim": ("#f3e8fb", "#44235c"),
    "person": ("#fbe6f0", "#55203b"),
    "operator": ("#fbe6f0", "#55203b"),
    "unknown": ("#ffffff", "#14171d"),
}
_STROKES: Final = {
    "agent": ("#2f66c4", "#7fabf5"),
    "field": ("#1f8464", "#58c9a3"),
    "invariant": ("#a86a08", "#e3ad4c"),
    "call": ("#68707f", "#98a2b3"),
    "task": ("#6554c0", "#a99cf0"),
    "answer": ("#b83272", "#ee86b5"),
    "observation": ("#1d7a95", "#62c3dd"),
    "claim": ("#8442b0", "#c590ea"),
    "person": ("#b83272", "#ee86b5"),
    "operator": ("#b83272", "#ee86b5"),
    "unknown": ("#68707f", "#98a2b3"),
}
_LINES: Final = {
    "wrote": ("#2f66c4", "#7fabf5"),
    "read": ("#1f8464", "#58c9a3"),
    "bounds": ("#a86a08", "#e3ad4c"),
    "declared": ("#1d7a95", "#62c3dd"),
    "guess": ("#8442b0", "#c590ea"),
    "other": ("#596172", "#a7b0bf"),
    "loop1": ("#c2410c", "#ff9a62"),
    "loop2": ("#a21caf", "#e879f9"),
    "loop3": ("#b4235a", "#fb7ba8"),
}
_INK, _SOFT, _GROUND = ("#1a1f29", "#eef1f6"), ("#5a6272", "#aab3c2"), ("#ffffff", "#14171d")


def as_svg(diagram: Diagram) -> str:
    """Return the diagram as an SVG document."""
    sound = diagram.sound()
    layout = laid_out(sound)
    title, about = plain(sound.title), plain(sound.about)
    inner = max(WIDTH_MIN, layout.width, width_of(title, TITLE_SIZE, is_bold=True))
    head = wrapped(about, ABOUT_SIZE, inner)
    top = MARGIN + TITLE_SIZE + (len(head) * 17 + 8 if head else 6) + 18
    legend = list(_legend(layout, inner))
    notes = [line for note in (*sound.notes, *_unplaced(layout)) for line in _note(note, inner)]
    legend_top = top + layout.height + 30
    height = legend_top + (legend[-1][1] + NOTE_LINE if legend else 0) + len(notes) * NOTE_LINE + MARGIN - 8
    width = inner + 2 * MARGIN
    key = hashlib.sha256(f"{title}\0{about}".encode()).hexdigest()[:10]
    lines = [
        _opened(f"{width:.0f}", f"{height:.0f}", key),
        f'<title id="cm-t-{key}">{escape(title)}</title>',
        f'<desc id="cm-d-{key}">{escape(_described(sound))}</desc>',
        f"<style>{_style()}</style>",
        f'<rect class="cm-ground" fill="{_GROUND[0]}" width="{width:.0f}" height="{height:.0f}" rx="10"/>',
        _text(MARGIN, MARGIN + TITLE_SIZE - 3, title, TITLE_SIZE, _STRONG),
    ]
    for number, line in enumerate(head):
        lines.append(_text(MARGIN, MARGIN + TITLE_SIZE + 18 + number * 17, line, ABOUT_SIZE, _PALE))
    left = MARGIN + (inner - layout.width) / 2
    lines.append(f'<g transform="translate({left:.1f} {top:.1f})">')
    lines += [part for flow in layout.flows for part in _line(flow)]
    lines += [part for drawn in layout.boxes for part in _box(drawn)]
    lines += [part for flow in layout.flows for part in _label(flow)]
    lines.append("</g>")
    for x, y, kind, word in legend:
        lines += _sample(MARGIN + x, legend_top + y, kind, word)
    y = legend_top + (legend[-1][1] + NOTE_LINE + 4 if legend else 0)
    for number, line in enumerate(notes):
        lines.append(_text(MARGIN, y + number * NOTE_LINE, line, NOTE_SIZE, _PALE))
    return "\n".join([*lines, "</svg>", ""])


def _opened(width: str, height: str, key: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-labelledby="cm-t-{key} cm-d-{key}" class="cm" font-family="{FONTS}">'
    )


def _style() -> str:
    """Return what changes where the reader prefers dark. Light colours stand at each element, for readers of no CSS."""
    rules = [f".cm text{{fill:{_INK[1]}}}", f".cm .cm-soft{{fill:{_SOFT[1]}}}", f".cm .cm-ground{{fill:{_GROUND[1]}}}"]
    rules.append(f".cm .cm-word{{stroke:{_GROUND[1]}}}")
    rules += [f".cm .cm-{kind}{{fill:{_FILLS[kind][1]};stroke:{_STROKES[kind][1]}}}" for kind in sorted(_FILLS)]
    rules += [
        f".cm .cm-l-{kind}{{stroke:{dark}}}.cm .cm-h-{kind},.cm text.cm-w-{kind}{{fill:{dark}}}"
        for kind, (_, dark) in sorted(_LINES.items())
    ]
    return f"@media (prefers-color-scheme: dark){{{''.join(rules)}}}"


def _text(x: float, y: float, text: str, size: float, more: str = "") -> str:
    """Return a line of text: in ink, unless `more` says otherwise."""
    look = more or f'fill="{_INK[0]}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" {look}>{escape(text)}</text>'


_PALE = f'class="cm-soft" fill="{_SOFT[0]}"'
_STRONG = f'font-weight="600" fill="{_INK[0]}"'
_MIDDLE = ' text-anchor="middle"'


def _box(drawn: Drawn) -> Iterator[str]:
    place, box = drawn.place, drawn.box
    colors = f'fill="{_FILLS[box.kind][0]}" stroke="{_STROKES[box.kind][0]}"'
    round_by = {"agent": 14.0, "person": 14.0, "operator": 14.0, "task": 9.0, "call": 6.0}.get(box.kind, 3.0)
    dashed = ' stroke-dasharray="5 4"' if box.kind == "unknown" else ""
    yield "<g>"
    yield f"<title>{escape(plain(f'{box.kind} {box.label} {box.detail}').strip())}</title>"
    yield (
        f'<rect x="{place.left:.1f}" y="{place.top:.1f}" width="{place.width:.1f}" height="{place.height:.1f}" '
        f'rx="{round_by:g}" class="cm-{box.kind}" {colors} stroke-width="1.5"{dashed}/>'
    )
    if box.kind == "invariant":
        yield (
            f'<rect x="{place.left + 3:.1f}" y="{place.top + 3:.1f}" width="{place.width - 6:.1f}" '
            f'height="{place.height - 6:.1f}" rx="2" class="cm-invariant" {colors} stroke-width="0.8"/>'
        )
    middle = place.left + place.width / 2
    y = place.top + place.height / 2 - (11 if drawn.detail else 3.5)
    yield _text(middle, y, box.kind, KIND_SIZE, _PALE + _MIDDLE)
    yield _text(middle, y + 15, drawn.label, LABEL_SIZE, _STRONG + _MIDDLE)
    if drawn.detail:
        yield _text(middle, y + 30, drawn.detail, DETAIL_SIZE, _PALE + _MIDDLE)
    yield "</g>"


def _line_class(flow: Flow) -> str:
    if flow.arrow.loops:
        return f"loop{(flow.arrow.loops[0] - 1) % 3 + 1}"
    kind = "guess" if flow.arrow.is_guess else flow.arrow.kind
    return kind if kind in _LINES else "other"


def _dashes(kind: str, *, is_guess: bool) -> str:
    if is_guess:
        return ' stroke-dasharray="1.5 4.5" stroke-linecap="round"'
    return ' stroke-dasharray="7 4"' if kind == "declared" else ""


def _line(flow: Flow) -> Iterator[str]:
    arrow, name = flow.arrow, _line_class(flow)
    thick = (2.0 if arrow.loops else 1.3) + min(1.6, 0.35 * max(0.0, arrow.weight - 1) ** 0.5)
    dashes = _dashes(arrow.kind, is_guess=arrow.is_guess)
    words = f"{arrow.source} {PHRASES[arrow.kind]} {arrow.target} {flow.label}"
    x, y = flow.curve.points[-1]
    back = x - 8 * flow.curve.direction
    yield "<g>"
    yield f"<title>{escape(plain(words).strip())}</title>"
    yield _stroke(flow.curve.path, name, thick, dashes)
    yield _tip(f"M{x:g} {y:g} L{back:g} {y - 4.5:g} L{back:g} {y + 4.5:g} Z", name)
    yield "</g>"


def _stroke(path: str, name: str, thick: float, dashes: str) -> str:
    color = _LINES[name][0]
    return f'<path d="{path}" class="cm-l-{name}" fill="none" stroke="{color}" stroke-width="{thick:.2f}"{dashes}/>'


def _tip(path: str, name: str) -> str:
    return f'<path d="{path}" class="cm-h-{name}" fill="{_LINES[name][0]}"/>'


def _label(flow: Flow) -> Iterator[str]:
    place = flow.label_place
    if place is None:
        return
    middle, shown = place.left + place.width / 2, place.width * 0.8  # most fonts are narrower than what was measured
    yield (
        f'<rect x="{middle - shown / 2:.1f}" y="{place.top:g}" width="{shown:.1f}" height="{place.height:g}" '
        f'class="cm-ground" fill="{_GROUND[0]}"/>'
    )
    name = _line_class(flow)
    halo = f'stroke="{_GROUND[0]}" stroke-width="4" stroke-linejoin="round" paint-order="stroke"'
    look = f'class="cm-word cm-w-{name}" fill="{_LINES[name][0]}" {halo}{_MIDDLE}'
    yield _text(middle, place.bottom - 5, flow.label, ARROW_SIZE, look)


def _legend(layout: Layout, width: float) -> Iterator[tuple[float, float, str, str]]:
    """Yield what each sort of line that is there means: x, y, sort, words."""
    words = {
        "wrote": "writes (recorded)",
        "read": "is read by (recorded)",
        "bounds": "stands in an invariant",
        "declared": "declared dependency",
        "guess": "guess: correlation, not recorded",
        "other": "made it happen (recorded)",
        **{f"loop{sort}": f"part of {_loops_of(layout, sort)}" for sort in (1, 2, 3)},
    }
    there = {_line_class(flow) for flow in layout.flows}
    x, y = 0.0, 0.0
    for kind in (kind for kind in words if kind in there):
        wide = 44 + width_of(words[kind], NOTE_SIZE) + 22
        if x and x + wide > width:
            x, y = 0.0, y + NOTE_LINE
        yield x, y, kind, words[kind]
        x += wide


def _loops_of(layout: Layout, sort: int) -> str:
    """Return which loops are drawn in that colour: arrows of several have the colour of the first."""
    numbers = sorted({flow.arrow.loops[0] for flow in layout.flows if flow.arrow.loops})
    drawn = [str(number) for number in numbers if (number - 1) % 3 + 1 == sort]
    return f"loop{'s' if len(drawn) > 1 else ''} {', '.join(drawn)}"


def _sample(x: float, y: float, kind: str, word: str) -> Iterator[str]:
    dashes = _dashes(kind, is_guess=kind == "guess")
    thick = 2.0 if kind.startswith("loop") else 1.5
    yield _stroke(f"M{x:.1f} {y - 4:.1f} h28", kind, thick, dashes)
    yield _tip(f"M{x + 34:.1f} {y - 4:.1f} l-8 -4.5 v9 Z", kind)
    yield _text(x + 42, y, word, NOTE_SIZE, _PALE)


def _note(note: str, width: float) -> list[str]:
    return wrapped(plain(note), NOTE_SIZE, width)


def _unplaced(layout: Layout) -> Iterator[str]:
    """Yield the labels for which there was no room at their arrow, as sentences."""
    names = {drawn.box.id: drawn.box.label for drawn in layout.boxes}
    for flow in layout.flows:
        if flow.label and flow.label_place is None and (flow.arrow.loops or flow.arrow.is_guess):
            yield f"{names[flow.arrow.source]} → {names[flow.arrow.target]}: {flow.label}"


def _described(diagram: Diagram) -> str:
    """Return the picture in words."""
    names = {box.id: f"{box.kind} {box.label}" for box in diagram.boxes}
    arrows = [
        f"{names[it.source]} {PHRASES[it.kind]} {names[it.target]}" + (f" ({loops_said(it)})" if it.loops else "")
        for it in diagram.arrows
    ]
    count = f"{len(diagram.boxes)} boxes, {len(diagram.arrows)} arrows"
    return plain(". ".join(part for part in (diagram.about, count, *arrows[:200], *diagram.notes) if part))
