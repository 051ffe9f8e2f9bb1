"""`comity sessions`: conversations, and the tasks that wrote them."""

from __future__ import annotations

import click

from comity.cli.app import App
from comity.cli.grammar import Group, ServerCommand, command

_HERE = "comity.cli.commands.sessions"
COMMANDS = {
    "ls": (f"{_HERE}:ls", "List sessions."),
    "show": (f"{_HERE}:show", "Show a session: its messages and its tasks."),
}


@click.command("sessions", cls=Group, lazy=COMMANDS)
def sessions() -> None:
    """Look at conversations, which tasks of one agent share."""


@command(
    "ls", kind=ServerCommand, examples=[("comity sessions ls", ""), ("comity sessions ls --tenant acme --json", "")]
)
@click.option("--tenant", default="", metavar="NAME", help="Only of this tenant.")
@click.pass_obj
def ls(app: App, tenant: str) -> None:
    """List sessions."""
    app.run(_ls(app, tenant))


async def _ls(app: App, tenant: str) -> None:
    from comity.runtime.words import one_line
    from comity.server import fleet_operations
    from comity.server.bodies import SessionsQuery

    async with app.api() as api:
        found = await api.ask(fleet_operations.sessions, query=SessionsQuery(tenant))
    if app.is_json:
        app.screen.document(found)
    elif not found.sessions:
        app.screen.say(("no sessions", "dim"))
    else:
        app.screen.table(
            ("session", "tenant", "agent", ">tasks", ">messages"),
            [
                (
                    one_line(item.session, 60),
                    item.tenant,
                    one_line(item.agent, 40),
                    f"{item.tasks:,}",
                    f"{item.messages:,}",
                )
                for item in found.sessions
            ],
        )


@command(
    "show", kind=ServerCommand, examples=[("comity sessions show ada", ""), ("comity sessions show ada --last 4", "")]
)
@click.argument("session")
@click.option("--tenant", default="default", metavar="NAME", help="Whose session it is.")
@click.option("--last", default=0, metavar="N", type=click.IntRange(0), help="Only the last messages.")
@click.pass_obj
def show(app: App, *, session: str, tenant: str, last: int) -> None:
    """Show a session: its messages and its tasks."""
    app.run(_show(app, session, tenant, last))


async def _show(app: App, session: str, tenant: str, last: int) -> None:
    from comity.cli.screen import STATE_STYLE
    from comity.runtime.words import one_line, short
    from comity.server import fleet_operations
    from comity.server.bodies import SessionQuery

    async with app.api() as api:
        found = await api.ask(fleet_operations.session, query=SessionQuery(tenant, last), session=session)
    if app.is_json:
        app.screen.document(found)
        return
    for message in found.messages:
        role = str(message.get("role", ""))
        style = {"user": "bold cyan", "assistant": "bold green", "system": "dim"}.get(role, "bold")
        calls = ", ".join(str(call.get("function", {}).get("name", "")) for call in message.get("tool_calls") or ())
        app.screen.answer(
            (f"{role:<10}", style), str(message.get("content") or ""), (f"[wants {calls}]" if calls else "", "dim")
        )
    app.screen.say("")
    for task in reversed(found.tasks):
        goal = (f"  {one_line(task.goal, 100)}", "dim")
        app.screen.say(("task ", "dim"), short(task.id), (f"  {task.state}", STATE_STYLE[task.state]), goal)
