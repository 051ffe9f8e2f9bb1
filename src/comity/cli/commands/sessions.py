"""`comity sessions`: conversations, and the tasks that wrote them."""

from __future__ import annotations

import click

from comity.cli.app import App
from comity.cli.grammar import Group, command
from comity.core.errors import UsageError

_HERE = "comity.cli.commands.sessions"
COMMANDS = {
    "ls": (f"{_HERE}:ls", "List sessions."),
    "show": (f"{_HERE}:show", "Show a session: its messages and its tasks."),
}


@click.command("sessions", cls=Group, lazy=COMMANDS)
def sessions() -> None:
    """Look at conversations, which tasks of one agent share."""


@command("ls", examples=[("comity sessions ls", ""), ("comity sessions ls --tenant acme --json", "")])
@click.option("--tenant", default="", metavar="NAME", help="Only of this tenant.")
@click.pass_obj
def ls(app: App, tenant: str) -> None:
    """List sessions."""
    app.run(_ls(app, tenant))


async def _ls(app: App, tenant: str) -> None:
    from comity.kernel.session import NAMESPACE
    from comity.runtime.words import one_line
    from comity.server.fleet_documents import SessionList, session_document

    async with app.store() as store:
        rows = await store.states(NAMESPACE, f"{tenant}/" if tenant else "")
    found = [session_document(row) for row in rows]
    if app.is_json:
        app.screen.document(SessionList(found))
    elif not found:
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
                for item in found
            ],
        )


@command("show", examples=[("comity sessions show ada", ""), ("comity sessions show ada --last 4", "")])
@click.argument("session")
@click.option("--tenant", default="default", metavar="NAME", help="Whose session it is.")
@click.option("--last", default=0, metavar="N", type=click.IntRange(0), help="Only the last messages.")
@click.pass_obj
def show(app: App, *, session: str, tenant: str, last: int) -> None:
    """Show a session: its messages and its tasks."""
    app.run(_show(app, session, tenant, last))


async def _show(app: App, session: str, tenant: str, last: int) -> None:
    from comity.cli.screen import STATE_STYLE
    from comity.core.codec import decode
    from comity.journal.ports import TaskFilter
    from comity.kernel.session import NAMESPACE, read_conversation, session_key
    from comity.runtime.words import one_line, short
    from comity.server.documents import task_document
    from comity.server.fleet_documents import ConversationDocument

    async with app.store() as store:
        row = await store.state(NAMESPACE, session_key(tenant, session))
        tasks = await store.tasks(TaskFilter(session=session, tenant=tenant))
        if row is None and not tasks:
            hint = "`comity sessions ls` lists them; --tenant names another tenant"
            raise UsageError("no_such_session", f"tenant `{tenant}` has no session `{session}`", hint=hint)
        hashes = read_conversation(row.value).segments if row is not None else ()
        messages = [decode(data) for data in await store.segments(tenant, hashes[-last:] if last else hashes)]
    if app.is_json:
        documents = [task_document(task) for task in tasks]
        app.screen.document(ConversationDocument(tenant, session, messages, documents))
        return
    for message in messages:
        role = str(message.get("role", ""))
        style = {"user": "bold cyan", "assistant": "bold green", "system": "dim"}.get(role, "bold")
        calls = ", ".join(str(call.get("function", {}).get("name", "")) for call in message.get("tool_calls") or ())
        app.screen.answer(
            (f"{role:<10}", style), str(message.get("content") or ""), (f"[wants {calls}]" if calls else "", "dim")
        )
    app.screen.say("")
    for task in reversed(tasks):
        goal = (f"  {one_line(task.goal, 100)}", "dim")
        app.screen.say(("task ", "dim"), short(task.id), (f"  {task.state}", STATE_STYLE[task.state]), goal)
