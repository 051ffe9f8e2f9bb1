"""`comity tasks fork`: another life of a task, from one of its entries, rehearsed unless it is made live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from comity.cli import complete
from comity.cli.app import App
from comity.cli.grammar import command
from comity.core.errors import UsageError

if TYPE_CHECKING:
    from comity.runtime.account import Account


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
    examples=[
        ("comity tasks fork 5f0c93ab --at 42", "go on from entry 42 with the code as it is now; nothing is performed"),
        ("comity tasks fork 5f0c93ab --goal 'refund only order 7'", "begin again with another goal"),
        ("comity tasks fork 5f0c93ab --at 42 --model large --live", "and really perform what follows"),
    ],
)
@click.argument("task", shell_complete=complete.tasks)
@click.option("--at", type=int, default=None, metavar="SEQ", help="Keep entries up to this one; all by default.")
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
    from comity.core.codec import canonical
    from comity.core.ids import show_id
    from comity.kernel.fork import Changes, could_happen_again
    from comity.runtime.account import read_account
    from comity.runtime.words import short
    from comity.server.documents import ForkDocument

    async with app.orders() as (store, orders):
        row = await find_task(store, options.task)
        account = await read_account(store, row)
        at = _entry(account, options)
        goal = b"" if options.goal is None else canonical(options.goal, "goal")
        changes = Changes(_small(goal), options.model, options.is_live)
        again = could_happen_again(row.id, account.entries, at)
        if options.is_live and again and not options.is_sure:
            _confirm(app, again)
        made, _ = await orders.fork(row.id, at, changes)
    if app.is_json:
        at_risk = again if options.is_live else []
        app.screen.document(ForkDocument(show_id(made), show_id(row.id), at, options.is_live, at_risk))
        return
    app.screen.answer(*((show_id(made),) if app.is_quiet else ("forked as task ", (short(made), "bold"))))
    mode = "live: its effects are performed" if options.is_live else "rehearsed: no effect is performed"
    app.screen.say((f"from entry {at} of {short(row.id)}, {mode}", "dim"))
    app.screen.say(("next  ", "dim"), (f"comity run --task {short(made)}", "bold"))
    app.screen.say(("      ", "dim"), (f"comity tasks diff {short(made)}", "bold"))


def _small(goal: bytes) -> bytes:
    from comity.core.limits import GOAL_BYTES_MAX

    if len(goal) > GOAL_BYTES_MAX:
        text = f"the goal has {len(goal)} bytes, at most {GOAL_BYTES_MAX} fit"
        raise UsageError("goal_too_large", text, hint="put the material into a file that a tool reads")
    return goal


def _entry(account: Account, options: ForkOptions) -> int:
    """Return the entry to fork at: what was asked, 1 for another goal, else the last before the task's end."""
    from comity.core.ids import show_id
    from comity.journal.entry import Ended, Moved

    if options.at is None:
        if options.goal is not None:
            return 1
        kept = [item.seq for item in account.entries if not isinstance(item.read(), Ended | Moved)]
        return kept[-1]
    if not 1 <= options.at <= len(account.entries):
        raise UsageError(
            "no_such_entry",
            f"task `{show_id(account.row.id)}` has no entry `{options.at}`",
            hint=f"it has 1 to {len(account.entries)}; `comity tasks tail {options.task}` lists them",
        )
    return options.at


def _confirm(app: App, again: list[str]) -> None:
    app.screen.note(("these effects could happen again:", "bold yellow"))
    for line in again:
        app.screen.note(f"  {line}")
    app.confirm("fork it live?", f"a live fork could repeat effects: {'; '.join(again)}")
