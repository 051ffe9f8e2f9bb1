"""`comity agents`: who is registered, with what tools, from which file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from comity.cli.app import App
from comity.cli.grammar import Group, ServerCommand, command

if TYPE_CHECKING:
    from comity.server.fleet_documents import AgentDocument

_HERE = "comity.cli.commands.agents"
COMMANDS = {
    "ls": (f"{_HERE}:ls", "List registered agents."),
    "register": (f"{_HERE}:register", "Register the agents of files."),
}


@click.command("agents", cls=Group, lazy=COMMANDS)
def agents() -> None:
    """List and register agents. `comity run` and `comity up FILE` register too."""


@command(
    "ls",
    kind=ServerCommand,
    examples=[("comity agents ls", ""), ("comity agents ls --json", "with every tool and its effect class")],
)
@click.pass_obj
def ls(app: App) -> None:
    """List registered agents."""
    app.run(_ls(app))


async def _ls(app: App) -> None:
    from comity.server import fleet_operations

    async with app.api() as api:
        found = await api.ask(fleet_operations.agents)
    if app.is_json:
        app.screen.document(found)
    elif not found.agents:
        app.screen.say(("no agents", "dim"))
        app.screen.note(("comity agents register FILE", "bold"), ("  enters those of a file", "dim"))
    else:
        _write(app, found.agents)


@command("register", examples=[("comity agents register clerk.py", ""), ("comity agents register agents/*.py", "")])
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.pass_obj
def register(app: App, files: tuple[str, ...]) -> None:
    """Register the agents of files, so that every node of the store can run them.

    The files must be at the same path on every machine. Registering again takes what a file offers now.
    """
    app.run(_register(app, files))


async def _register(app: App, files: tuple[str, ...]) -> None:
    from comity.cli.enlist import read_program, reader_of_files
    from comity.runtime.programs import register as enter
    from comity.server.fleet_documents import agent_document

    async with reader_of_files() as zygotes:
        programs = [await read_program(zygotes, file, app.config) for file in files]
    async with app.store(may_make=True) as store:
        for program in programs:
            await enter(store, program)
    found = [agent_document(spec, program) for program in programs for spec in program.agents]
    if app.is_json:
        app.screen.document({"agents": found})
    elif not app.is_quiet:
        _write(app, found)


def _write(app: App, agents: list[AgentDocument]) -> None:
    from comity.runtime.words import one_line

    app.screen.table(
        ("agent", "kind", "version", "model", "tools", "file"),
        [
            (
                (one_line(item.name, 40), "bold"),
                item.kind,
                one_line(item.version, 20),
                one_line((item.model or "").rpartition(":")[2], 30),
                ", ".join(
                    [
                        *(f"{tool.name} ({tool.effect})" for tool in item.tools),
                        *(f"{name} (unknown)" for name in item.tools_missing),
                    ]
                ),
                (item.file, "dim"),
            )
            for item in agents
        ],
        last_folds=True,
    )
