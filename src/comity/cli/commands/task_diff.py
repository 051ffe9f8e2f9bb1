"""`comity tasks diff`: the first call at which two tasks part, with the exact difference."""

from __future__ import annotations

import click

from comity.cli import complete
from comity.cli.app import App
from comity.cli.exits import Exit
from comity.cli.grammar import ServerCommand, command


@command(
    "diff",
    kind=ServerCommand,
    examples=[
        ("comity tasks diff 5f0c93ab", "a fork and its origin"),
        ("comity tasks diff 5f0c93ab 81aa02de", "any two tasks"),
    ],
)
@click.argument("task", shell_complete=complete.tasks)
@click.argument("other", required=False, shell_complete=complete.tasks)
@click.pass_obj
def diff(app: App, *, task: str, other: str | None) -> int:
    """Show where two tasks, or a fork and its origin, part. The exit code is 1 where they do."""
    return app.run(_diff(app, task, other))


async def _diff(app: App, task: str, other: str | None) -> int:
    from comity.cli.lookup import find_task
    from comity.runtime.words import number, short
    from comity.server import task_operations
    from comity.server.bodies import DiffQuery

    async with app.api() as api:
        query = DiffQuery(None if other is None else await find_task(api, other))
        found = await api.ask(task_operations.diff, query=query, task=await find_task(api, task))
    code = Exit.FAILED if found.differs else Exit.OK
    if app.is_json:
        app.screen.document(found)
        return code
    screen, first = app.screen, found.first_difference
    for head in found.heads:
        screen.answer((f"{head.name:<9}", "dim"), (head.left, "red"), " → ", (head.right, "green"))
    if first is None:
        screen.answer(f"{number(found.same_calls, 'call')}, all alike")
    else:
        screen.answer((f"{number(found.same_calls, 'call')} alike, then:", "dim"))
        screen.answer((first.call, "bold"), f"  {first.what}")
        for change in first.changes:
            screen.answer((f"  {change.path:<24} ", "dim"), (change.left, "red"), " → ", (change.right, "green"))
    screen.say((f"{short(found.left)} → {short(found.right)}", "dim"))
    return code
