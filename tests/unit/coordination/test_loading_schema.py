"""The JSON Schema of a world file says what the loader takes; what is kept in the reference is current."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

import reference_world
from comity.coordination.loading_schema import json_schema

ROOT = Path(__file__).resolve().parents[3]
REFERENCE = ROOT / "docs" / "reference"
EXAMPLES = [ROOT / "examples" / "coordination" / "world.yaml", Path(__file__).parent / "rich.yaml"]
VALIDATOR = Draft202012Validator(json_schema())


def test_the_reference_is_what_the_structs_say() -> None:
    assert (REFERENCE / "world.schema.json").read_text(encoding="utf-8") == reference_world.schema()
    page = (REFERENCE / "world.md").read_text(encoding="utf-8")
    assert page.endswith(reference_world.page("").partition("## The whole")[2]), "run tools/reference.py"


def test_the_schema_is_one_and_describes_every_section() -> None:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    undescribed = [name for name, item in schema["$defs"].items() if not item.get("description")]
    assert undescribed == []
    assert "Section" not in json.dumps(schema)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_the_schema_takes_the_examples(file: Path) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(file.read_text(encoding="utf-8")))] == []


@pytest.mark.parametrize(
    "odd",
    [
        {"nam": "a"},
        {"version": 2},
        {"kinds": {"a": {"id": "a"}}},
        {"detectors": {"stale": {"mode": "on"}}},
        {"tools": []},
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(odd: dict[str, object]) -> None:
    assert not VALIDATOR.is_valid(odd)
