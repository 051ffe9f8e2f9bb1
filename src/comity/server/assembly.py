"""The one place where server, gateway and feed of a node are put together."""

from __future__ import annotations

from comity.gateway.door import Door
from comity.gateway.routes import gateway_routes
from comity.gateway.tokens import TaskTokens
from comity.runtime.node import Node
from comity.server.app import Server
from comity.server.auth import Operators
from comity.server.listening import Listening


async def server_of(node: Node, listening: Listening, operators: Operators) -> Server:
    """Return the server of a node, which is not started yet."""
    tokens = await TaskTokens.of_store(node.store, node.entropy)
    door = Door(node, tokens)
    routes = gateway_routes(door, node.config.sections.server.body_bytes_max)
    server = Server(node, listening, operators, tokens, routes)
    server.after_drain.append(door.forwarder.aclose)
    return server
