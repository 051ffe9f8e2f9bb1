"""Serve a plant: `python serve.py NAME SEED [FD FD]`, on two sockets that it is given, or on its own.

It prints its two ports as a line of JSON, and ends with whoever began it.

At the first port sensors and actuators are tools of an MCP server (`/mcp`), and plain POST requests (`/sensors`,
`/act/NAME`) for tools that are no MCP clients. The second one is the driver's: `/step`, `/grant`, `/state`, `/over`.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

import uvicorn
from constants import FEATURES_BENIGN, FLEET_BENIGN, SHOP_BENIGN
from dns_plans import DnsPlans
from features import Features
from fleet import Fleet
from front_door import FrontDoor
from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations
from plant import Plant
from shop import Shop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from turns_desk import Turns

from comity.core.entropy import Generator, generator

PLANTS: dict[str, Callable[[Generator], Plant]] = {
    "0217": Shop,
    "0217-benign": lambda chance: Shop(chance, SHOP_BENIGN),
    "dynamodb-dns": DnsPlans,
    "dynamodb-dns-benign": DnsPlans,
    "front-door": FrontDoor,
    "front-door-benign": FrontDoor,
    "bot-management": Features,
    "bot-management-benign": lambda chance: Features(chance, FEATURES_BENIGN),
    "drift-corrector": Fleet,
    "drift-corrector-benign": lambda chance: Fleet(chance, FLEET_BENIGN),
}


class Hall:
    """A plant with its tools and its driver's controls."""

    def __init__(self, name: str, seed: str) -> None:
        """Set up the plant."""
        self._make = PLANTS[name]
        self.name = name
        self.reset(seed)

    def reset(self, seed: str) -> None:
        """Begin anew."""
        self.plant = self._make(generator(f"plant {self.name} {seed}".encode()))
        self.turns = Turns()

    def tools(self) -> MCPServer:
        """Return the MCP server of sensors, actuators and turns, with the plain requests beside it."""
        server = MCPServer("plant", version="1", log_level="WARNING")
        reads = ToolAnnotations(read_only_hint=True)
        server.tool(annotations=reads)(self.next_turn)
        server.tool(annotations=reads)(self.look)
        for name in self.plant.ACTUATORS:
            server.tool(name=name, annotations=ToolAnnotations(idempotent_hint=True))(self._actuator(name))
        server.custom_route("/turn", ["POST"])(self._turn)
        server.custom_route("/sensors", ["POST"])(self._sensors)
        server.custom_route("/act/{name}", ["POST"])(self._act)
        return server

    async def next_turn(self, agent: str) -> dict[str, bool]:
        """Wait until something is to be looked at again; `over` says that there is nothing more."""
        return {"over": await self.turns.wait(agent)}

    async def look(self, agent: str) -> dict[str, Any]:
        """Return what the sensors show."""
        return self.plant.sensors()

    def _actuator(self, name: str) -> Callable[..., int]:
        """Return an actuator of whichever plant there is, with its signature."""

        def act(**args: Any) -> int:
            return int(getattr(self.plant, name)(**args))

        method = getattr(self.plant, name)
        act.__signature__ = inspect.signature(method, eval_str=True)  # type: ignore[attr-defined]
        act.__annotations__ = {key: item.annotation for key, item in act.__signature__.parameters.items()}  # type: ignore[attr-defined]
        act.__doc__ = method.__doc__
        return act

    async def _turn(self, request: Request) -> JSONResponse:
        return JSONResponse(await self.next_turn((await request.json())["agent"]))

    async def _sensors(self, request: Request) -> JSONResponse:
        return JSONResponse(self.plant.sensors())

    async def _act(self, request: Request) -> JSONResponse:
        name = request.path_params["name"]
        if name not in self.plant.ACTUATORS:
            return JSONResponse({"error": f"there is no actuator `{name}`"}, 404)
        return JSONResponse(getattr(self.plant, name)(**await request.json()))

    # The driver's side

    def controls(self) -> Starlette:
        """Return the app of the driver's port."""
        return Starlette(routes=[Route("/{order}", self._order, methods=["POST"])])

    async def _order(self, request: Request) -> JSONResponse:
        body = json.loads(await request.body() or b"{}")
        match request.path_params["order"]:
            case "reset":
                self.turns.end()
                self.reset(str(body["seed"]))
            case "ready":
                await self.turns.all_wait(body["agents"])
            case "grant":
                await self.turns.grant(body["agent"])
            case "step":
                self.plant.step()
            case "over":
                self.turns.end()
            case "state":
                pass
            case other:
                return JSONResponse({"error": f"there is no order `{other}`"}, 404)
        plant = self.plant
        return JSONResponse({"lost": plant.is_lost, "state": dict(plant.state()), "goals": dict(plant.goals())})


async def serve(hall: Hall, given: list[int]) -> None:
    """Serve both ports until the end."""
    apps = (hall.tools().streamable_http_app(), hall.controls())
    sockets = [socket.socket(fileno=fd) for fd in given] or [socket.create_server(("127.0.0.1", 0)) for _ in apps]
    ports = [item.getsockname()[1] for item in sockets]
    sys.stdout.write(json.dumps({"tools": ports[0], "control": ports[1]}) + "\n")
    sys.stdout.flush()
    servers = [uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_keep_alive=600)) for app in apps]
    await asyncio.gather(*(one.serve([item]) for one, item in zip(servers, sockets, strict=True)))


def end_with_parent() -> None:
    """End this process when its standard input is closed: whoever began it is gone."""
    threading.Thread(target=lambda: os._exit(0 if os.read(0, 1) else 1), daemon=True).start()


if __name__ == "__main__":
    end_with_parent()
    asyncio.run(serve(Hall(sys.argv[1], sys.argv[2]), [int(text) for text in sys.argv[3:]]))
