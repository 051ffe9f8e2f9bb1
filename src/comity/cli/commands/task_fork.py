"""`comity tasks fork`: another life of a task, from one of its entries, rehearsed unless it is made live."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from comity.cli import complete
from comity.cli.app import App
from comity.cli.grammar import ServerCommand, command


class ForkOptions(msgspec.Struct, frozen=True):
    """What was typed."""

    task: str
    at: int | None
    goal: str | None
    model: str
    is_live: bool
    is_sure: bool


@command(
    "fork",
    kind=ServerCommand,
    examples=[
        ("comity tasks fork 5f0c93ab --at 42", "go on from entry 42 with the code as it is now; nothing is performed"),
        ("comity tasks fork 5f0c93ab --goal 'refund only order 7'", "begin again with another goal"),
        ("comity tasks fork 5f0c93ab --at 42 --model large --live", "and really perform what follows"),
    ],
)
@click.argument("task", shell_complete=complete.tasks)
@click.option(
    "--at", type=click.IntRange(1), default=None, metavar="SEQ", help="Keep entries up to this one; all by default."
)
@click.option("--goal", default=None, help="Another goal; then --at is 1 by default.")
@click.option("--model", default="", metavar="NAME", help="Another model.")
@click.option("--live", "is_live", is_flag=True, help="Perform effects; otherwise they are answered from the origin.")
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask before effects may happen again.")
@click.pass_obj
def fork(app: App, /, **given: Any) -> None:
    """Go on from an entry of a task with another goal, model or code.

    A fork is rehearsed: effects behind its entry are answered from the origin's journal and never performed. With
    --live they are performed; those that could so happen again are listed first.
    """
    app.run(_fork(app, ForkOptions(**given)))


async def _fork(app: App, options: ForkOptions) -> None:
    from comity.cli.lookup import find_task
    from comity.runtime.words import short
    from comity.server import order_operations
    from comity.server.bodies import ForkBody, ForkQuery

    async with app.api() as api:
        task = await find_task(api, options.task)
        if options.is_live and not options.is_sure:
            query = ForkQuery(options.at, options.goal is not None)
            preview = await api.ask(order_operations.preview_fork, query=query, task=task)
            if preview.could_happen_again:
                _confirm(app, preview.could_happen_again)
        goal = msgspec.UNSET if options.goal is None else options.goal
        body = ForkBody(options.at, goal, options.model, options.is_live)
        made = await api.ask(order_operations.fork, body=body, task=task)
    if app.is_json:
        app.screen.document(made)
        return
    app.screen.answer(*((made.task,) if app.is_quiet else ("forked as task ", (short(made.task), "bold"))))
    mode = "live: its effects are performed" if made.is_live else "rehearsed: no effect is performed"
    app.screen.say((f"from entry {made.at} of {short(made.origin)}, {mode}", "dim"))
    app.screen.say(("next  ", "dim"), (f"comity run --task {short(made.task)}", "bold"))
    app.screen.say(("      ", "dim"), (f"comity tasks diff {short(made.task)}", "bold"))


def _confirm(app: App, again: list[str]) -> None:
    app.screen.note(("these effects could happen again:", "bold yellow"))
    for line in again:
        app.screen.note(f"  {line}")
    app.confirm("fork it live?", f"a live fork could repeat effects: {'; '.join(again)}")
