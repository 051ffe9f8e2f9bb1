"""How wide text is, without a font at hand: the advance widths of DejaVu Sans, which is wider than its peers.

Other fonts leave a little more room around a label; none overflows its box.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from comity.coordination.drawing.diagram import is_wide

_WIDTHS: Final = {
    **dict.fromkeys("ijlI|.,:;'`!/\\()[]{}", 0.40),
    **dict.fromkeys('frt-"° ', 0.42),
    **dict.fromkeys("mwMWQO@%&…—×+=<>~^#_", 0.90),
    **dict.fromkeys("ABCDEFGHJKLNPRSTUVXYZ", 0.72),
}
_ANY: Final = 0.64
_BOLD: Final = 1.1


def width_of(text: str, size: float, *, is_bold: bool = False) -> float:
    """Return how wide a line of text is at that font size, in the same unit."""
    total = 0.0
    for char in text:
        if not unicodedata.combining(char):
            total += 1.05 if is_wide(char) else _WIDTHS.get(char, _ANY if ord(char) < 0x2000 else 1.0)
    return total * size * (_BOLD if is_bold else 1.0)


def fitted(text: str, size: float, width: float, *, is_bold: bool = False) -> str:
    """Return text that is at most so wide, its middle left out where it is wider."""
    if width_of(text, size, is_bold=is_bold) <= width:
        return text
    keep = len(text) - 1
    while keep > 1:
        head, tail = (keep + 1) // 2, keep // 2
        short = f"{text[:head]}…{text[len(text) - tail :]}"
        if width_of(short, size, is_bold=is_bold) <= width:
            return short
        keep -= 1
    return "…"


def wrapped(text: str, size: float, width: float) -> list[str]:
    """Return lines of words that are at most so wide; a word that is wider alone is shortened."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(fitted(word, size, width))
    return lines
