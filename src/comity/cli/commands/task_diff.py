"""`comity tasks diff`: the first call at which two tasks part, with the exact difference."""

from __future__ import annotations

import click

from comity.cli import complete
from comity.cli.app import App
from comity.cli.exits import Exit
from comity.cli.grammar import command
from comity.core.errors import UsageError


@command(
    "diff",
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
    from comity.runtime.account import read_account
    from comity.runtime.compare import compare
    from comity.runtime.words import number, short
    from comity.server.documents import diff_document

    async with app.store() as store:
        right = await read_account(store, await find_task(store, task))
        if other is not None:
            left, right = right, await read_account(store, await find_task(store, other))
        else:
            origin = right.created.forked_from
            row = await store.task(origin) if origin else None
            if row is None:
                hint = "name two tasks: `comity tasks diff TASK OTHER`"
                raise UsageError("not_a_fork", f"task `{task}` is no fork of another", hint=hint)
            left = await read_account(store, row)
        found = await compare(store, left, right)
    if app.is_json:
        app.screen.document(diff_document(left, right, found))
        return Exit.FAILED if found.differs else Exit.OK
    screen = app.screen
    for name, before, after in found.heads:
        screen.answer((f"{name:<9}", "dim"), (before, "red"), " → ", (after, "green"))
    if found.call is None:
        screen.answer(f"{number(found.same, 'call')}, all alike")
    else:
        screen.answer((f"{number(found.same, 'call')} alike, then:", "dim"))
        screen.answer((found.call, "bold"), f"  {found.what}")
        for change in found.changes:
            screen.answer((f"  {change.path:<24} ", "dim"), (change.left, "red"), " → ", (change.right, "green"))
    screen.say((f"{short(left.row.id)} → {short(right.row.id)}", "dim"))
    return Exit.FAILED if found.differs else Exit.OK
