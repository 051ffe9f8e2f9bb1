"""A diagram as PNG: the SVG in its light colours, drawn by resvg with fonts that are given or the machine's own.

No font is shipped. Where none is found resvg would leave all words out without a sign, so a sample is drawn first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import resvg_py

from comity.coordination.drawing.diagram import Diagram
from comity.coordination.drawing.fonts import FOLDERS, families
from comity.coordination.drawing.svg import FONTS, as_svg
from comity.core.errors import UsageError

ZOOM = 2.0
SIDE_MAX = 12_000
"""Of a picture that would be wider or higher in pixels, the zoom is lowered."""

_SIZE = re.compile(r'<svg [^>]*?width="(\d+)" height="(\d+)"')
_SAMPLE = (
    f'<svg xmlns="http://www.w3.org/2000/svg" width="60" height="20" font-family="{FONTS}">'
    '<text x="2" y="15" font-size="14">Ag1</text></svg>'
)


def as_png(diagram: Diagram, fonts: Sequence[Path] = ()) -> bytes:
    """Return the diagram as a PNG of twice the size of its SVG, less where that is large.

    Raises:
        UsageError: a font that was named is not there, or none was found to draw the labels with.
    """
    given = tuple(str(path) for path in fonts)
    missing = next((path for path in given if not Path(path).exists()), None)
    if missing is not None:
        raise UsageError("no_font", f"`{missing}` is not there", hint="name a folder of fonts, or a file")
    family = font_family(given)
    if family is None:
        raise UsageError(
            "no_font",
            "no font was found on this machine to draw the labels of a picture with",
            hint="install one (`apt-get install fonts-dejavu-core`), name a folder of fonts, or take `svg`",
        )
    svg = as_svg(diagram)
    width, height = (float(side) for side in _SIZE.findall(svg)[0])
    return _drawn(svg, given, family, min(ZOOM, SIDE_MAX / max(width, height)))


@lru_cache(maxsize=8)
def font_family(fonts: tuple[str, ...]) -> str | None:
    """Return the family in which words appear: empty for those that the SVG names, None where there is none.

    Cost: draws small samples, and reads the names in font files where none of the usual families is there; asked once
    for each list of fonts.
    """
    blank = _drawn(_SAMPLE.replace("Ag1", ""), fonts, "", 1.0)
    return next((family for family in _candidates(fonts) if _drawn(_SAMPLE, fonts, family, 1.0) != blank), None)


def _candidates(fonts: tuple[str, ...]) -> Iterator[str]:
    if fonts:
        yield from families(fonts)
    yield ""
    yield from families(FOLDERS)


def _drawn(svg: str, fonts: tuple[str, ...], family: str, zoom: float) -> bytes:
    """Draw with `family` before all others, where it is not empty."""
    folders = [path for path in fonts if Path(path).is_dir()]
    files = [path for path in fonts if not Path(path).is_dir()]
    named = svg.replace(f'font-family="{FONTS}"', f'font-family="{_quoted(family)}, {FONTS}"', 1) if family else svg
    return resvg_py.svg_to_bytes(
        svg_string=named,
        zoom=zoom,
        font_dirs=folders or None,
        font_files=files or None,
        sans_serif_family=family or None,
        serif_family=family or None,
    )


def _quoted(family: str) -> str:
    return "'" + re.sub(r"[^\w .+-]", "", family) + "'"
