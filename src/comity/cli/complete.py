"""Shell completion: ids of tasks and names of agents, as they are there; silent where nothing answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from comity.cli.app import App
from comity.core.errors import ComityError

if TYPE_CHECKING:
    from comity.cli.api import Api

SHOWN_MAX = 50
WAITING = ("new", "changed")
"""States of tools that wait to be accepted."""


def tasks(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the id of a task: its last characters, newest first, with state and goal beside."""

    async def read(api: Api) -> list[CompletionItem]:
        from comity.runtime.words import one_line, short
        from comity.server import task_operations
        from comity.server.bodies import TasksQuery

        page = await api.ask(task_operations.ls, query=TasksQuery(limit=500))
        found = [task for task in page.tasks if short(task.id).startswith(incomplete.lower())][:SHOWN_MAX]
        return [CompletionItem(short(task.id), help=f"{task.state} {one_line(task.goal, 40)}") for task in found]

    return _asked(ctx, read)


def agents(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a registered agent."""

    async def read(api: Api) -> list[CompletionItem]:
        from comity.server import fleet_operations

        names = [item.name for item in (await api.ask(fleet_operations.agents)).agents]
        return [CompletionItem(name) for name in names if name.startswith(incomplete)][:SHOWN_MAX]

    return _asked(ctx, read)


def tools(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a tool that programs at the gateway are offered, or that waits."""
    return _tools(ctx, incomplete)


def waiting_tools(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a tool that waits to be accepted."""
    return _tools(ctx, incomplete, WAITING)


def _tools(ctx: click.Context, incomplete: str, states: tuple[str, ...] = ()) -> list[CompletionItem]:
    async def read(api: Api) -> list[CompletionItem]:
        from comity.server import fleet_operations

        found = (await api.ask(fleet_operations.tools)).tools
        shown = [item for item in found if item.name.startswith(incomplete) and (not states or item.state in states)]
        return [CompletionItem(item.name, help=item.state) for item in shown[:SHOWN_MAX]]

    return _asked(ctx, read, has_tools=True)


def fields(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a field of the world in force."""

    async def read(api: Api) -> list[CompletionItem]:
        from comity.server import world_operations
        from comity.server.world_bodies import FieldsQuery

        page = await api.ask(world_operations.show, query=FieldsQuery(limit=1_000))
        return [CompletionItem(it.field) for it in page.fields if it.field.startswith(incomplete)][:SHOWN_MAX]

    return _asked(ctx, read)


def claims(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a claim in force."""

    async def read(api: Api) -> list[CompletionItem]:
        from comity.server import world_operations
        from comity.server.world_bodies import ClaimsQuery

        page = await api.ask(world_operations.claims, query=ClaimsQuery(limit=1_000))
        found = [item for item in page.claims if item.id.startswith(incomplete)][:SHOWN_MAX]
        return [CompletionItem(item.id, help=item.scope) for item in found]

    return _asked(ctx, read)


def detectors(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a detector."""
    from comity.coordination.detectors.panel import KINDS

    return [CompletionItem(name) for name in KINDS if name.startswith(incomplete)]


def scopes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a scope: its kind, then the task or the agent."""
    kind, colon, rest = incomplete.partition(":")
    if not colon:
        return [
            CompletionItem(word)
            for word in ("task:", "agent:", "session:", "tenant:", "fleet")
            if word.startswith(kind)
        ]
    found = {"task": tasks, "agent": agents}.get(kind)
    items = found(ctx, param, rest) if found is not None else []
    return [CompletionItem(f"{kind}:{item.value}", help=item.help) for item in items]


def _asked(
    ctx: click.Context, read: Callable[[Api], Awaitable[list[CompletionItem]]], *, has_tools: bool = False
) -> list[CompletionItem]:
    app = ctx.find_object(App) or App()

    async def ask() -> list[CompletionItem]:
        async with app.api(has_tools=has_tools) as api:
            return await read(api)

    try:
        return asyncio.run(ask())
    except (ComityError, OSError):
        return []
