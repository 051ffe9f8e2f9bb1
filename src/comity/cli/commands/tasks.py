"""`comity tasks`: the group, and the commands that only look: ls, show, tail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from comity.cli import complete
from comity.cli.app import App
from comity.cli.grammar import Group, ServerCommand, command

if TYPE_CHECKING:
    from comity.cli.api import Api
    from comity.server.bodies import TasksQuery
    from comity.server.documents import EntryDocument, TaskList

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
    kind=ServerCommand,
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
    from comity.journal.task import State
    from comity.server.bodies import TasksQuery

    app.run(_ls(app, TasksQuery(tuple(map(State, states)), agent, session, tenant), limit))


async def _ls(app: App, which: TasksQuery, limit: int) -> None:
    from comity.cli.screen import STATE_STYLE
    from comity.core.clock import SystemClock
    from comity.runtime.words import age, one_line, short, us_of

    async with app.api() as api:
        found = await _listed(api, which, limit)
    if app.is_json:
        app.screen.document(found)
        return
    if not found.tasks:
        app.screen.say(("no tasks", "dim"))
        return
    now_us = SystemClock().wall_us()
    app.screen.table(
        ("id", "state", "agent", "session", ">age", ">entries", "goal"),
        [
            (
                short(task.id),
                (f"{task.state} ({task.reason})" if task.reason else str(task.state), STATE_STYLE[task.state]),
                one_line(task.agent, 30),
                one_line(task.session or "", 20),
                age(us_of(task.created_at), now_us),
                f"{task.last_seq:,}",
                one_line(task.goal, 120),
            )
            for task in found.tasks
        ],
    )
    if found.has_more:
        app.screen.note((f"there are more; --limit {2 * limit} shows them", "dim"))


async def _listed(api: Api, which: TasksQuery, limit: int) -> TaskList:
    """Return up to `limit` tasks, page by page."""
    from msgspec.structs import replace

    from comity.cli.api import PAGE
    from comity.server import task_operations
    from comity.server.documents import TaskDocument, TaskList

    tasks: list[TaskDocument] = []
    has_more = True
    while has_more and len(tasks) < limit:
        before = tasks[-1].id if tasks else None
        query = replace(which, before=before, limit=min(limit - len(tasks), PAGE))
        page = await api.ask(task_operations.ls, query=query)
        tasks += page.tasks
        has_more = page.has_more
    return TaskList(tasks, has_more)


@command(
    "show", kind=ServerCommand, examples=[("comity tasks show 5f0c93ab", ""), ("comity tasks show 5f0c93ab --json", "")]
)
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
    from comity.core.clock import SystemClock
    from comity.server import task_operations

    async with app.api() as api:
        account = await api.ask(task_operations.show, task=await find_task(api, task))
    steps = next_steps(account)
    if app.is_json:
        next_commands = [{"command": line, "does": text} for line, text in steps]
        app.screen.document({**asdict(account), "next": next_commands})
    else:
        write_page(app.screen, account, SystemClock().wall_us(), steps)


@command(
    "tail",
    kind=ServerCommand,
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
def tail(app: App, *, task: str, is_following: bool, from_seq: int) -> None:
    """Print a task's journal, one line an entry; -f follows it."""
    app.run(_tail(app, task, is_following=is_following, from_seq=from_seq))


async def _tail(app: App, task: str, *, is_following: bool, from_seq: int) -> None:
    from contextlib import aclosing

    from comity.cli.api import entries_of
    from comity.cli.lines import Teller
    from comity.cli.lookup import find_task
    from comity.cli.task_page import write_line

    teller = Teller()
    documents: list[EntryDocument] = []
    async with app.api() as api:
        found = await find_task(api, task)
        async with aclosing(api.follow(found) if is_following else entries_of(api, found)) as entries:
            async for item in entries:
                line = teller.tell(item)
                if item.seq < from_seq:
                    continue
                if not app.is_json:
                    write_line(app.screen, line)
                elif is_following:
                    app.screen.document_line(item)
                else:
                    documents.append(item)
    if app.is_json and not is_following:
        app.screen.document({"entries": documents})
