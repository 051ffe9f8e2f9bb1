"""The gateway's paths: models under `/v1`, tools under `/mcp`, both also under `/t/TOKEN` where a key cannot be set."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from comity.gateway.door import Door
from comity.gateway.mcp import mcp_routes
from comity.gateway.models import ModelURL
from comity.models.formats import FORMATS


def gateway_routes(door: Door, body_bytes_max: int) -> list[BaseRoute]:
    """Return the routes of both URLs."""
    return [*model_routes(door, body_bytes_max), *mcp_routes(door, body_bytes_max)]


def model_routes(door: Door, body_bytes_max: int) -> list[BaseRoute]:
    """Return the routes of the model URL."""
    routes: list[BaseRoute] = []

    async def models(_request: Request) -> Response:
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "comity"} for name in door.node.models.names]
        return JSONResponse({"object": "list", "data": data})

    for prefix in ("/v1", "/t/{token}/v1"):
        routes += [
            Route(prefix + wire.path, ModelURL(door, wire, body_bytes_max), methods=["POST"])
            for wire in FORMATS.values()
        ]
        routes.append(Route(f"{prefix}/models", models, methods=["GET"]))
    return routes
