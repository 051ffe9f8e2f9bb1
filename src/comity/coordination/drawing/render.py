"""A diagram as bytes, by the name of a format. Import this where something is drawn: it loads networkx."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, get_args

from comity.coordination.drawing.diagram import Diagram
from comity.coordination.drawing.dot import as_dot
from comity.coordination.drawing.exchange import as_json
from comity.coordination.drawing.png import as_png
from comity.coordination.drawing.svg import as_svg
from comity.coordination.drawing.text import as_text
from comity.core.errors import UsageError

Format = Literal["text", "json", "dot", "svg", "png"]

_WRITERS: Final[Mapping[str, Callable[[Diagram], str]]] = {"json": as_json, "dot": as_dot, "svg": as_svg}


def render(diagram: Diagram, format: str, *, width: int = 100, fonts: Sequence[Path] = ()) -> bytes:
    """Return the diagram in a format: `text`, `json`, `dot`, `svg` or `png`. The same diagram gives the same bytes.

    Args:
        diagram: What to draw.
        format: One of the formats.
        width: Columns of a terminal, for text.
        fonts: Folders or files of fonts to draw labels with, for PNG, before those of the system.

    Raises:
        UsageError: there is no such format, or no font to draw a PNG's labels with.
    """
    if format == "text":
        return as_text(diagram, width).encode()
    if format == "png":
        return as_png(diagram, fonts)
    if format in _WRITERS:
        return _WRITERS[format](diagram).encode()
    known = ", ".join(f"`{name}`" for name in get_args(Format))
    raise UsageError("unknown_format", f"`{format}` is no format to draw in", hint=f"there are: {known}")
