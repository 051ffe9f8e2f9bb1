"""The gateway's paths: models under `/v1`, tools under `/mcp`, both also under `/t/TOKEN` where a key cannot be set."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route, WebSocketRoute

from comity.gateway.door import Door
from comity.gateway.mcp import mcp_routes
from comity.gateway.model_list import ModelList, NotServed
from comity.gateway.models import ModelURL
from comity.models.formats import FORMATS


def gateway_routes(door: Door, body_bytes_max: int) -> list[BaseRoute]:
    """Return the routes of both URLs."""
    return [*model_routes(door, body_bytes_max), *mcp_routes(door, body_bytes_max)]


def model_routes(door: Door, body_bytes_max: int) -> list[BaseRoute]:
    """Return the routes of the model URL."""
    routes: list[BaseRoute] = []
    listed, other = ModelList(door, body_bytes_max), NotServed(door, body_bytes_max)
    for prefix in ("/v1", "/t/{token}/v1"):
        routes += [
            Route(prefix + wire.path, ModelURL(door, wire, body_bytes_max), methods=["POST"])
            for wire in FORMATS.values()
        ]
        routes += [
            Route(f"{prefix}/models", listed, methods=["GET"]),
            Route(f"{prefix}/{{rest:path}}", other),
            WebSocketRoute(f"{prefix}/{{rest:path}}", other),
        ]
    return routes
