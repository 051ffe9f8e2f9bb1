"""A diagram as text for a terminal: a tree of what leads to its root, or for each box what goes out of it."""

from __future__ import annotations

from collections.abc import Iterator

from comity.coordination.drawing.diagram import Arrow, ArrowKind, Box, Diagram, columns_of, loops_said, plain, shortened

WIDTH_MIN = 40
PHRASES: dict[ArrowKind, str] = {
    "caused_by": "caused",
    "read_from": "was read by",
    "saw": "was seen by",
    "spawned": "began",
    "answered": "answered",
    "asked": "asked for",
    "made": "did",
    "under": "covered",
    "wrote": "writes",
    "read": "is read by",
    "declared": "moves",
    "bounds": "stands in",
    "guess": "guess",
}


def as_text(diagram: Diagram, width: int = 100) -> str:
    """Return the diagram as lines of at most `width` columns (at least `WIDTH_MIN`), without colours."""
    width = max(width, WIDTH_MIN)
    sound = diagram.sound()
    lines = [sound.title, *([sound.about] if sound.about else []), ""]
    boxes = {box.id: box for box in sound.boxes}
    if sound.root in boxes:
        lines += _tree(sound, boxes)
    else:
        lines += _table(sound, boxes)
    if sound.notes:
        lines += ["", *(f"· {note}" for note in sound.notes)]
    return "\n".join(line for raw in lines for line in _fitted(plain(raw), width)).rstrip() + "\n"


def _named(box: Box) -> str:
    return f"{box.kind} {box.label}" + (f"  ({box.detail})" if box.detail else "")


def _table(diagram: Diagram, boxes: dict[str, Box]) -> Iterator[str]:
    """Yield each box with its arrows, in columns that line up."""
    by_source: dict[str, list[Arrow]] = {}
    for arrow in diagram.arrows:
        by_source.setdefault(arrow.source, []).append(arrow)
    phrase_columns = max((len(_phrase(arrow)) for arrow in diagram.arrows), default=0)
    target_columns = min(44, max((columns_of(_target(arrow, boxes)) for arrow in diagram.arrows), default=0))
    if not boxes:
        yield "nothing to show"
    for box in diagram.boxes:
        yield _named(box)
        arrows = by_source.get(box.id, [])
        for number, arrow in enumerate(arrows, start=1):
            target = shortened(plain(_target(arrow, boxes)), target_columns)
            padding = " " * (target_columns - columns_of(target))
            twig = "└─" if number == len(arrows) else "├─"
            yield f"  {twig} {_phrase(arrow):{phrase_columns}}  {target}{padding}  {_said(arrow)}".rstrip()


def _tree(diagram: Diagram, boxes: dict[str, Box]) -> Iterator[str]:
    """Yield the root, and below each box what leads to it; what was shown before is only named."""
    by_target: dict[str, list[Arrow]] = {}
    for arrow in diagram.arrows:
        by_target.setdefault(arrow.target, []).append(arrow)
    shown: set[str] = set()
    waiting: list[tuple[str, str, str]] = [(diagram.root, "", "")]
    while waiting:
        key, lead, below = waiting.pop()
        causes = by_target.get(key, [])
        is_again = key in shown and bool(causes)
        yield f"{lead}{_named(boxes[key])}" + ("  (above)" if is_again else "")
        if is_again:
            continue
        shown.add(key)
        for number, arrow in enumerate(reversed(causes)):
            twig, trunk = ("└─ ", "   ") if number == 0 else ("├─ ", "│  ")
            waiting.append((arrow.source, f"{below}{twig}[{arrow.label or arrow.kind}] ", f"{below}{trunk}"))


def _phrase(arrow: Arrow) -> str:
    return PHRASES[arrow.kind]


def _target(arrow: Arrow, boxes: dict[str, Box]) -> str:
    return boxes[arrow.target].label


def _said(arrow: Arrow) -> str:
    parts = (
        f"×{arrow.weight:g}" if arrow.weight > 1 else "",
        arrow.label if arrow.kind in {"declared", "guess"} else "",
        loops_said(arrow),
    )
    return "  ".join(part for part in parts if part)


def _fitted(line: str, width: int) -> Iterator[str]:
    """Yield a line cut into lines that fit: at spaces, those after the first set in."""
    bars = line[: len(line) - len(line.lstrip(" │├└─"))]
    lead = bars.replace("├─", "│ ").replace("└─", "  ") + "  "
    while columns_of(line) > width:
        cut = _cut(line, width)
        if line[:cut].strip(" │├└─·") == "":
            yield shortened(line, width)
            return
        yield line[:cut].rstrip()
        line = lead[: width // 2] + line[cut:].lstrip()
    yield line


def _cut(line: str, width: int) -> int:
    """Return where to cut: after the last space that fits, or in the word where there is none."""
    columns, space = 0, 0
    for place, char in enumerate(line):
        columns += columns_of(char)
        if columns > width:
            return space if line[:space].strip() else place
        if char == " ":
            space = place + 1
    return len(line)
