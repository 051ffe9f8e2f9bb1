"""`comity tasks`: the group, and the commands that only look: ls, show, tail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from comity.cli import complete
from comity.cli.app import App
from comity.cli.grammar import Group, command

if TYPE_CHECKING:
    from comity.journal.ports import TaskFilter
    from comity.server.documents import EntryDocument

_HERE = "comity.cli.commands"
COMMANDS = {
    "ls": (f"{_HERE}.tasks:ls", "List tasks, newest first."),
    "show": (f"{_HERE}.tasks:show", "Show a task: its calls, what it used, what to do next."),
    "tail": (f"{_HERE}.tasks:tail", "Print a task's journal, one line an entry; -f follows it."),
    "cancel": (f"{_HERE}.task_orders:cancel", "End a task; what can be undone is undone."),
    "pause": (f"{_HERE}.task_orders:pause", "Park a task once its calls under way have ended."),
    "resume": (f"{_HERE}.task_orders:resume", "Let a parked task go on, perhaps with a higher budget."),
    "retry": (f"{_HERE}.task_orders:retry", "Let a failed task go on: redo its last call, or rethink."),
    "fork": (f"{_HERE}.task_fork:fork", "Go on from an entry of a task with another goal, model or code."),
    "resolve": (f"{_HERE}.task_orders:resolve", "Say how a call in doubt ended."),
    "signal": (f"{_HERE}.task_orders:signal", "Send a signal to a task."),
    "adopt": (f"{_HERE}.task_adopt:adopt", "Take a program that is started elsewhere as a task's."),
    "diff": (f"{_HERE}.task_diff:diff", "Show where two tasks, or a fork and its origin, part."),
}
STATES = ("queued", "running", "waiting", "parked", "cancelling", "succeeded", "failed", "cancelled")


@click.command("tasks", cls=Group, lazy=COMMANDS)
def tasks() -> None:
    """Look at tasks and steer them.

    A task is named by its id, or by the first or last characters of it that are unique.
    """


@command(
    "ls",
    examples=[
        ("comity tasks ls --state parked", "what needs a person"),
        ("comity tasks ls --agent clerk --limit 100 --json", ""),
    ],
)
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Only in this state; repeatable.")
@click.option("--agent", default="", metavar="NAME", shell_complete=complete.agents, help="Only of this agent.")
@click.option("--session", default="", metavar="S", help="Only of this session.")
@click.option("--tenant", default="", metavar="NAME", help="Only of this tenant.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="At most so many.")
@click.pass_obj
def ls(app: App, *, states: tuple[str, ...], agent: str, session: str, tenant: str, limit: int) -> None:
    """List tasks, newest first."""
    from comity.journal.ports import TaskFilter
    from comity.journal.task import State

    which = TaskFilter(tuple(map(State, states)), agent, session, tenant, limit=limit + 1)
    app.run(_ls(app, which))


async def _ls(app: App, which: TaskFilter) -> None:
    from comity.cli.screen import STATE_STYLE
    from comity.runtime.words import age, one_line, short
    from comity.server.documents import task_document

    async with app.store() as store:
        rows = await store.tasks(which)
        now_us = await store.now_us()
    has_more = len(rows) == which.limit
    rows = rows[: which.limit - 1]
    if app.is_json:
        app.screen.document({"tasks": [task_document(row) for row in rows], "has_more": has_more})
        return
    if not rows:
        app.screen.say(("no tasks", "dim"))
        return
    app.screen.table(
        ("id", "state", "agent", "session", ">age", ">entries", "goal"),
        [
            (
                short(row.id),
                (f"{row.state} ({row.reason})" if row.reason else str(row.state), STATE_STYLE[row.state]),
                one_line(row.agent, 30),
                one_line(row.session, 20),
                age(row.created_us, now_us),
                f"{row.last_seq:,}",
                one_line(row.goal, 120),
            )
            for row in rows
        ],
    )
    if has_more:
        app.screen.note((f"there are more; --limit {2 * len(rows)} shows them", "dim"))


@command("show", examples=[("comity tasks show 5f0c93ab", ""), ("comity tasks show 5f0c93ab --json", "")])
@click.argument("task", shell_complete=complete.tasks)
@click.pass_obj
def show(app: App, task: str) -> None:
    """Show a task: its calls, what it used, what to do next."""
    app.run(_show(app, task))


async def _show(app: App, task: str) -> None:
    from msgspec.structs import asdict

    from comity.cli.lookup import find_task
    from comity.cli.next_steps import next_steps
    from comity.cli.task_page import write_page
    from comity.server.task_operations import read_document

    async with app.orders() as (store, orders):
        row = await find_task(store, task)
        account = await read_document(store, orders, row)
        steps = next_steps(account)
        if app.is_json:
            next_commands = [{"command": line, "does": text} for line, text in steps]
            app.screen.document({**asdict(account), "next": next_commands})
        else:
            write_page(app.screen, account, await store.now_us(), steps)


@command(
    "tail",
    examples=[
        ("comity tasks tail 5f0c93ab -f", "follow it until it has ended"),
        ("comity tasks tail 5f0c93ab --from 120", "begin at entry 120"),
        ("comity tasks tail 5f0c93ab -f --json", "one JSON document a line"),
    ],
)
@click.argument("task", shell_complete=complete.tasks)
@click.option("-f", "--follow", "is_following", is_flag=True, help="Go on until the task has ended.")
@click.option("--from", "from_seq", default=1, type=click.IntRange(1), metavar="SEQ", help="Begin at this entry.")
@click.pass_obj
def tail(app: App, *, task: str, is_following: bool, from_seq: int) -> int:
    """Print a task's journal, one line an entry; -f follows it."""
    return app.run(_tail(app, task, is_following=is_following, from_seq=from_seq))


async def _tail(app: App, task: str, *, is_following: bool, from_seq: int) -> int:
    from comity.cli.follow import Bell, Follower
    from comity.cli.lines import Teller
    from comity.cli.lookup import find_task
    from comity.cli.task_page import write_line
    from comity.server.documents import entry_document

    async with app.store() as store:
        row = await find_task(store, task)
        follower, bell, teller = Follower(store, row.id), Bell(store), Teller()
        documents: list[EntryDocument] = []
        while True:
            now = await store.task(row.id) or row
            for item in await follower.more():
                line = teller.tell(entry_document(item))
                if item.seq < from_seq:
                    continue
                if not app.is_json:
                    write_line(app.screen, line)
                elif is_following:
                    app.screen.document_line(entry_document(item))
                else:
                    documents.append(entry_document(item))
            if not is_following or now.state.ended:
                break
            await bell.wait()
        bell.close()
        if app.is_json and not is_following:
            app.screen.document({"entries": documents})
    return 0
