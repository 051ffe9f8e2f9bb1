"""A diagram as JSON, with a stable schema: every key of `Diagram`, `Box` and `Arrow` is always there.

`comity_diagram` is the version of the schema. Labels are as their users wrote them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from comity.coordination.drawing.diagram import Diagram

SCHEMA_VERSION = 1


def as_json(diagram: Diagram) -> str:
    """Return the diagram as indented JSON."""
    sound = diagram.sound()
    whole: dict[str, Any] = {
        "comity_diagram": SCHEMA_VERSION,
        "title": sound.title,
        "about": sound.about,
        "boxes": [msgspec.structs.asdict(box) for box in sound.boxes],
        "arrows": [msgspec.structs.asdict(arrow) for arrow in sound.arrows],
        "notes": sound.notes,
        "root": sound.root,
    }
    return msgspec.json.format(msgspec.json.encode(_speakable(whole)), indent=2).decode() + "\n"


def _speakable(value: Any) -> Any:
    """Return it without halves of characters, which no UTF-8 can hold."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {name: _speakable(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_speakable(part) for part in value]
    return value
