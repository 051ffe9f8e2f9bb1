"""Arguments against schemas: the place and the expectation are told, and no schema can hold up the node."""

from __future__ import annotations

from typing import Any

import pytest

from comity.gateway.mcp_schema import misfit, without_headers

ORDER = {
    "type": "object",
    "properties": {
        "order": {"$ref": "#/$defs/order"},
        "kind": {"enum": ["new", "used", 3]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "size": {"type": ["integer", "null"], "minimum": 1},
    },
    "required": ["order"],
    "additionalProperties": False,
    "$defs": {"order": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}},
}


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ({"order": {"id": 1}, "kind": 3, "tags": ["a"], "size": None}, ""),
        ({}, "`arguments`: `order` is missing"),
        ({"order": {}}, "`arguments.order`: `id` is missing"),
        ({"order": {"id": "1"}}, '`arguments.order.id`: expected integer, got `"1"`'),
        ({"order": {"id": True}}, "`arguments.order.id`: expected integer, got `true`"),
        ({"order": {"id": 1}, "tags": ["a", 2]}, "`arguments.tags[1]`: expected string, got `2`"),
        ({"order": {"id": 1}, "kind": "x"}, '`arguments.kind`: expected one of `"new"`, `"used"`, `3`, got `"x"`'),
        ({"order": {"id": 1}, "size": "x"}, '`arguments.size`: expected integer or null, got `"x"`'),
        ({"order": {"id": 1}, "size": 0}, "`arguments.size`: 0 is less than the minimum of 1"),
        ({"order": {"id": 1}, "x": 1}, "`arguments`: `x` is not among `kind`, `order`, `size`, `tags`"),
    ],
)
def test_a_misfit_is_told_with_its_place(args: Any, told: str) -> None:
    assert misfit(ORDER, args) == told


def test_a_property_may_be_judged_by_the_schema_of_others() -> None:
    schema = {"type": "object", "additionalProperties": {"type": "integer"}}
    assert misfit(schema, {"a": 1}) == ""
    assert misfit(schema, {"a": "1"}) == '`arguments.a`: expected integer, got `"1"`'


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"type": "strng"}}},
        {"properties": {"a": {"$ref": "https://example.com/schema.json"}}},
        {"properties": {"a": {"$ref": "#/$defs/none"}}},
        {"properties": {"a": {"$ref": "#/properties/a"}}},
        {"type": 7},
        {"$schema": "https://example.com/draft", "properties": {"a": {}}},
    ],
)
def test_a_schema_that_cannot_be_judged_by_judges_nothing(schema: dict[str, Any]) -> None:
    assert misfit(schema, {"a": 1}) == ""


def test_nothing_is_fetched_for_a_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[object] = []
    monkeypatch.setattr("urllib.request.urlopen", fetched.append)
    misfit({"properties": {"a": {"$ref": "http://127.0.0.1/schema.json"}}}, {"a": 1})
    assert not fetched


def test_a_bad_pattern_does_not_hold_up_the_node() -> None:
    evil = "^(a+)+$"
    hostile = "a" * 60 + "!"
    assert misfit({"properties": {"a": {"pattern": evil}}}, {"a": hostile}) == ""
    by_name = {"patternProperties": {evil: {}}, "additionalProperties": False, "unevaluatedProperties": False}
    assert misfit(by_name, {hostile: 1}) == ""
    assert misfit({"propertyNames": {"pattern": evil}}, {hostile: 1}) == ""


def test_a_long_list_does_not_hold_up_the_node() -> None:
    schema = {"properties": {"a": {"type": "array", "uniqueItems": True}}}
    assert misfit(schema, {"a": [{"n": number} for number in range(50_000)]}) == ""


def test_a_long_value_is_told_in_short() -> None:
    assert len(misfit(ORDER, {"order": {"id": "x" * 10_000}})) < 200
    assert len(misfit(ORDER, {"order": {"id": 1}, "y" * 10_000: 1})) <= 300


def test_arguments_are_not_asked_for_in_headers() -> None:
    schema = {
        "type": "object",
        "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "x-mcp-header": {"type": "string", "default": {"x-mcp-header": "kept"}},
            "deep": {"items": [{"x-mcp-header": "Bad"}], "anyOf": [{"properties": {"a": {"x-mcp-header": "A"}}}]},
        },
        "required": ["x-mcp-header"],
    }
    assert without_headers(schema) == {
        "type": "object",
        "properties": {
            "region": {"type": "string"},
            "x-mcp-header": {"type": "string", "default": {"x-mcp-header": "kept"}},
            "deep": {"items": [{}], "anyOf": [{"properties": {"a": {}}}]},
        },
        "required": ["x-mcp-header"],
    }
