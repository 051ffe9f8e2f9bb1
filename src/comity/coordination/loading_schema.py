"""The JSON Schema of a world file, from the structs: for editors, and for programs that write such files."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from comity.coordination.document import WorldDocument

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Return the schema; descriptions are the structs' docstrings.

    A file that it accepts may still be refused: `load_world` looks at what is only wrong together. Where text is
    wanted, a number or a boolean without quotes is taken as its text, so the schema lets it stand.
    """
    made = msgspec.json.schema(WorldDocument)
    definitions = {name.removesuffix("Section"): item for name, item in made["$defs"].items()}
    root = definitions.pop("WorldDocument")
    whole = {"$schema": DIALECT, **root, "title": "A world file of Comity", "$defs": definitions}
    revised = _revised(whole)
    assert isinstance(revised, dict), "a mapping stays one"
    return revised


def _revised(value: Any) -> Any:
    if isinstance(value, list):
        return [_revised(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {key: item if key == "default" else _revised(item) for key, item in value.items()}
    if isinstance(made.get("description"), str):
        made["description"] = inspect.cleandoc(made["description"])
    for key in ("$ref", "title"):
        if isinstance(made.get(key), str):
            made[key] = made[key].removesuffix("Section")
    if made.get("type") == "string":
        made["type"] = ["string", "number", "boolean"]
    return made
