"""`comity tools`: what programs at the gateway are offered, and what waits until a person has looked at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from comity.cli import complete
from comity.cli.app import App
from comity.cli.grammar import Group, ServerCommand, command

if TYPE_CHECKING:
    from comity.server.fleet_documents import CatalogDocument, CatalogToolDocument

_HERE = "comity.cli.commands.tools"
COMMANDS = {
    "ls": (f"{_HERE}:ls", "List tools, and whether they may be called."),
    "show": (f"{_HERE}:show", "Show a tool, and what its server has changed."),
    "accept": (f"{_HERE}:accept", "Accept what servers say of their tools now."),
}
STYLES = {"accepted": "green", "file": "green", "withdrawn": "dim"}


@click.command("tools", cls=Group, lazy=COMMANDS)
def tools() -> None:
    """List, show and accept the tools that programs at the gateway are offered.

    They are those of `[upstreams.NAME]` with `kind = "mcp"`, and of `[server] tool_files`.
    """


@command(
    "ls",
    kind=ServerCommand,
    examples=[
        ("comity tools ls", ""),
        ("comity tools ls --waiting", "what a server has added or changed"),
        ("comity tools ls --json", "with business keys and the tools that each leans on"),
    ],
)
@click.option("--waiting", "is_waiting", is_flag=True, help="Only those that wait to be accepted.")
@click.pass_obj
def ls(app: App, *, is_waiting: bool) -> None:
    """List tools, and whether they may be called."""
    app.run(_ls(app, is_waiting=is_waiting))


async def _ls(app: App, *, is_waiting: bool) -> None:
    from comity.server import fleet_operations
    from comity.server.fleet_documents import ToolList

    async with app.api(has_tools=True) as api:
        found = (await api.ask(fleet_operations.tools)).tools
    shown = [item for item in found if not is_waiting or item.state in complete.WAITING]
    waiting = [item for item in found if item.state in complete.WAITING]
    if app.is_json:
        app.screen.document(ToolList(shown))
    elif not shown:
        app.screen.say(("nothing waits" if is_waiting and found else "no tools", "dim"))
        if not found:
            app.screen.note(("[upstreams.NAME]", "bold"), (" and `[server] tool_files` in comity.toml add some", "dim"))
    else:
        _write(app, shown)
        if waiting:
            app.screen.note(("look at one with ", "dim"), (f"comity tools show {waiting[0].name}", "bold"))


@command(
    "show",
    kind=ServerCommand,
    examples=[("comity tools show crm.book", ""), ("comity tools show crm.book --json", "with its schemas")],
)
@click.argument("tool", shell_complete=complete.tools)
@click.pass_obj
def show(app: App, *, tool: str) -> None:
    """Show a tool, and what its server has changed since it was accepted."""
    app.run(_show(app, tool))


async def _show(app: App, tool: str) -> None:
    from comity.server import fleet_operations

    async with app.api(has_tools=True) as api:
        found = await api.ask(fleet_operations.tool, tool=tool)
    if app.is_json:
        app.screen.document(found)
        return
    _write_facts(app, found)
    if found.offered is not None:
        _write_changes(app, found)
        app.screen.note(("accept it with ", "dim"), (f"comity tools accept {found.name}", "bold"))


@command(
    "accept",
    kind=ServerCommand,
    examples=[("comity tools accept crm.book", ""), ("comity tools accept crm.book crm.find", "several")],
)
@click.argument("tools", nargs=-1, required=True, metavar="TOOL...", shell_complete=complete.waiting_tools)
@click.pass_obj
def accept(app: App, *, tools: tuple[str, ...]) -> None:
    """Accept what servers say of their tools now: calls of them are made from then on.

    Look at a tool with `comity tools show` first: its words are what models read, and do.
    """
    app.run(_accept(app, tools))


async def _accept(app: App, tools: tuple[str, ...]) -> None:
    from comity.server import fleet_operations

    accepted = []
    async with app.api(has_tools=True) as api:
        for tool in tools:
            found = await api.ask(fleet_operations.accept_tool, tool=tool)
            accepted.append(found)
            app.screen.say(("accepted ", "bold"), f"{found.name} ({found.effect})")
    if app.is_json:
        app.screen.document({"tools": accepted})


def _write(app: App, found: list[CatalogDocument]) -> None:
    from comity.runtime.words import one_line

    app.screen.table(
        ("tool", "effect", "state", "what it says of itself"),
        [
            (
                (one_line(item.name, 60), "bold"),
                str(item.effect),
                (item.state, STYLES.get(item.state, "yellow")),
                (item.problem, "yellow") if item.problem else one_line(item.description or item.title, 200),
            )
            for item in found
        ],
        last_folds=True,
    )


def _write_facts(app: App, found: CatalogToolDocument) -> None:
    from comity.runtime.words import one_line

    accepted = f"{found.accepted_at} by {found.accepted_by}" if found.accepted_by else ""
    app.screen.facts(
        [
            ("tool", (found.name, "bold")),
            ("title", one_line(found.title, 200)),
            ("from", f"upstream {found.server}" if found.server else (found.file or "")),
            ("effect", str(found.effect)),
            ("state", (found.state, STYLES.get(found.state, "yellow"))),
            ("problem", found.problem or ""),
            ("once", f"{', '.join(found.once)} per {found.once_per}" if found.once else ""),
            ("reconcile", found.reconcile or ""),
            ("compensate", found.compensate or ""),
            ("verify", found.verify or ""),
            ("accepted", accepted),
            ("says", found.description),
            ("takes", _json(found.schema)),
            ("gives", _json(found.output)),
            ("hints", _json(found.annotations)),
        ]
    )


def _write_changes(app: App, found: CatalogToolDocument) -> None:
    """Write what waits to be accepted, beside what was."""
    offered = found.offered or {}
    was = {
        "title": found.title,
        "description": found.description,
        "input": found.schema,
        "output": found.output,
        "annotations": found.annotations,
    }
    for name, before in was.items():
        now = offered.get(name, type(before)())
        if found.state == "changed" and now != before:
            app.screen.say("")
            app.screen.say((f"{name} was  ", "dim"), _json(before))
            app.screen.say((f"{name} is   ", "yellow"), _json(now))


def _json(value: Any) -> str:
    import msgspec

    if isinstance(value, str):
        return value
    return msgspec.json.encode(value, order="sorted").decode() if value else ""
