"""One description of a picture, whatever it is drawn as: boxes and arrows, with what they are and how they rank.

Labels come from users: renderers show them by `plain`, escaped for their own format; JSON alone keeps them as they are.
"""

from __future__ import annotations

import unicodedata
from typing import Literal

import msgspec

from comity.coordination.causality.answer import How, NodeKind

ArrowKind = How | Literal["guess"]


class Box(msgspec.Struct, frozen=True, omit_defaults=True):
    """A thing: `label` names it, `detail` is a second line. `rank` is its column, from 0 on (None: from its arrows)."""

    id: str
    kind: NodeKind
    label: str
    detail: str = ""
    rank: int | None = None


class Arrow(msgspec.Struct, frozen=True, omit_defaults=True):
    """An arrow from `source` to `target`; `weight` is how often. `loops` numbers the loops that it is part of.

    `is_guess`: nobody recorded it; it is drawn dotted, and called a guess.
    """

    source: str
    target: str
    kind: ArrowKind
    label: str = ""
    weight: float = 1.0
    is_guess: bool = False
    loops: tuple[int, ...] = ()


class Diagram(msgspec.Struct, frozen=True, omit_defaults=True):
    """A picture. `notes` are sentences below it; with a `root`, text is a tree of what leads to that box."""

    title: str
    about: str = ""
    boxes: tuple[Box, ...] = ()
    arrows: tuple[Arrow, ...] = ()
    notes: tuple[str, ...] = ()
    root: str = ""

    def sound(self) -> Diagram:
        """Return it with each box once, and without arrows to boxes that are not there."""
        boxes = {box.id: box for box in self.boxes}
        arrows = (it for it in self.arrows if it.source in boxes and it.target in boxes)
        return msgspec.structs.replace(self, boxes=tuple(boxes.values()), arrows=tuple(arrows))


def loops_said(arrow: Arrow) -> str:
    """Return which loops an arrow is part of, in words."""
    if not arrow.loops:
        return ""
    shown = ", ".join(str(number) for number in arrow.loops[:3]) + ("…" if len(arrow.loops) > 3 else "")
    return f"loop {shown}" if len(arrow.loops) == 1 else f"loops {shown}"


def plain(text: str) -> str:
    """Return text that shows nothing but itself: no control, direction or formatting characters, no line breaks."""
    return "".join(" " if char in "\n\r\t" else "�" if _is_hidden(char) else char for char in text)


def shortened(text: str, columns: int) -> str:
    """Return text of at most that many columns, its middle left out where it is longer."""
    if columns_of(text) <= columns:
        return text
    if columns < 2:
        return text[: max(columns, 0)]
    head, tail = (columns - 1 + 1) // 2, (columns - 1) // 2
    start, end = "", ""
    for char in text:
        if columns_of(start + char) > head:
            break
        start += char
    for char in reversed(text):
        if columns_of(char + end) > tail:
            break
        end = char + end
    return f"{start}…{end}"


def columns_of(text: str) -> int:
    """Return how many columns of a terminal the text takes."""
    return sum(0 if unicodedata.combining(char) else 2 if is_wide(char) else 1 for char in text)


def is_wide(char: str) -> bool:
    """Return whether a character is two columns wide."""
    return unicodedata.east_asian_width(char) in "WF"


def _is_hidden(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
