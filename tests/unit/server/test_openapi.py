"""The description of the API and the API itself are the same: every route is in it, and everything in it is a route."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from comity.server.openapi import PATH, described, description
from comity.server.operation import ROOT
from comity.server.table import OPERATIONS
from http_stage import serving

DOCUMENT = description(OPERATIONS)
KEPT = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "openapi.json").read_bytes()


def references(value: Any) -> Iterator[str]:
    """Yield every reference in a document."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


async def test_every_route_is_described_and_every_description_is_a_route(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        routes = {
            (method, route.path_format)
            for route in stage.server.routes
            if isinstance(route, Route) and (route.path.startswith(ROOT) or route.path.count("/") == 1)
            for method in route.methods or ()
            if method != "HEAD" and route.path != "/mcp"
        }
    told = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert told == routes


async def test_the_document_is_served_to_everybody_as_it_is_kept(tmp_path: Path) -> None:
    async with serving(tmp_path) as stage:
        answer = await stage.client.get(PATH, headers={"Authorization": ""})
        assert answer.status_code == 200
        assert answer.content == described(OPERATIONS) == KEPT, "run tools/reference.py"


def test_every_reference_leads_somewhere() -> None:
    for reference in set(references(DOCUMENT)):
        found: Any = DOCUMENT
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]


def test_operations_are_named_once() -> None:
    names = [operation.name for operation in OPERATIONS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_operation_says_what_it_is_for_and_who_may_ask(operation: Any) -> None:
    path = operation.path.replace(":path", "").replace(":int", "")
    told = DOCUMENT["paths"][path][operation.method.lower()]
    assert told["summary"].endswith(".")
    assert ("security" in told) == (operation.access == "open")
    assert ("401" in told["responses"]) == (operation.access != "open")
