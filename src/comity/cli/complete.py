"""Shell completion: ids of tasks and names of agents, from the store as it is; silent where there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from comity.cli.app import App
from comity.core.errors import ComityError

if TYPE_CHECKING:
    from comity.journal.ports import Store

SHOWN_MAX = 50


def tasks(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the id of a task: its last characters, newest first, with state and goal beside."""

    async def read(store: Store) -> list[CompletionItem]:
        from comity.journal.ports import TaskFilter
        from comity.runtime.words import one_line, short

        rows = await store.tasks(TaskFilter(limit=500))
        found = [row for row in rows if short(row.id).startswith(incomplete.lower())][:SHOWN_MAX]
        return [CompletionItem(short(row.id), help=f"{row.state} {one_line(row.goal, 40)}") for row in found]

    return _asked(ctx, read)


def agents(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a registered agent."""

    async def read(store: Store) -> list[CompletionItem]:
        rows = await store.states("agent", incomplete)
        return [CompletionItem(row.key) for row in rows[:SHOWN_MAX]]

    return _asked(ctx, read)


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


def _asked(ctx: click.Context, read: Callable[[Store], Awaitable[list[CompletionItem]]]) -> list[CompletionItem]:
    app = ctx.find_object(App) or App()

    async def ask() -> list[CompletionItem]:
        async with app.store() as store:
            return await read(store)

    try:
        return asyncio.run(ask())
    except (ComityError, OSError):
        return []
