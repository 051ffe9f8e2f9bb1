"""`comity mcp`: an MCP server by which an agent operates Comity as its person would."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from comity.cli.app import App
from comity.cli.grammar import ServerCommand, command
from comity.core.errors import ComityError

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

    from comity.cli.desk import Desk

IRREVOCABLE = ("cancel_task",)
ABOUT = (
    "Comity runs agents whose every call is journaled. Look with list_tasks and get_task; a parked task says why. "
    "get_world, list_claims, get_map and explain show what agents share and who acts on whom. Answering, stopping, "
    "pausing, resuming, cancelling and claiming are an operator's acts: do what your person asked for."
)


@command(
    "mcp",
    kind=ServerCommand,
    examples=[
        ("comity mcp --read-only", "as the command of an MCP server in your agent's settings"),
        ("COMITY_TOKEN=… comity mcp --server https://comity.example.com", "of a server elsewhere"),
    ],
)
@click.option("--read-only", "is_read_only", is_flag=True, help="Offer only the tools that look.")
@click.pass_obj
def mcp(app: App, *, is_read_only: bool) -> None:
    """Serve MCP on standard input and output: tasks, questions, stops and the shared world, for an agent.

    It may what its token may, or who may open the store.
    """
    app.set_up_logs("warning")
    app.run(_serve(app, is_read_only=is_read_only))


async def _serve(app: App, *, is_read_only: bool) -> None:
    from comity.cli.desk import Desk

    async with app.api() as api:
        await server_of(Desk(api), is_read_only=is_read_only).run_stdio_async()


def server_of(desk: Desk, *, is_read_only: bool) -> MCPServer:
    """Return the server of a desk's tools, or of those alone that look."""
    from importlib.metadata import version

    from mcp.server.mcpserver import MCPServer
    from mcp.types import ToolAnnotations

    from comity.cli.desk import LOOKING, ORDERING

    server = MCPServer("comity", version=version("comity"), instructions=ABOUT, log_level="WARNING")
    for name in LOOKING if is_read_only else (*LOOKING, *ORDERING):
        hints = ToolAnnotations(
            read_only_hint=name in LOOKING, destructive_hint=name in IRREVOCABLE, open_world_hint=False
        )
        about = (getattr(desk, name).__doc__ or "").partition("\n")[0]
        server.add_tool(_told(getattr(desk, name)), name=name, description=about, annotations=hints)
    return server


def _told(ask: Callable[..., Awaitable[dict[str, Any]]]) -> Callable[..., Awaitable[dict[str, Any]]]:
    """Return a tool that says why it is refused, and what to do about it."""
    from mcp.server.mcpserver.exceptions import ToolError

    @functools.wraps(ask)
    async def tool(**given: Any) -> dict[str, Any]:
        try:
            return await ask(**given)
        except ComityError as error:
            raise ToolError(f"{error.message} ({error.code}); {error.hint}") from None

    return tool
