"""`comity agents`: who is registered, with what tools, from which file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from comity.cli.app import App
from comity.cli.grammar import Group, command

if TYPE_CHECKING:
    from comity.journal.spec import AgentSpec, Program

_HERE = "comity.cli.commands.agents"
COMMANDS = {
    "ls": (f"{_HERE}:ls", "List registered agents."),
    "register": (f"{_HERE}:register", "Register the agents of files."),
}


@click.command("agents", cls=Group, lazy=COMMANDS)
def agents() -> None:
    """List and register agents. `comity run` and `comity up FILE` register too."""


@command("ls", examples=[("comity agents ls", ""), ("comity agents ls --json", "with every tool and its effect class")])
@click.pass_obj
def ls(app: App) -> None:
    """List registered agents."""
    app.run(_ls(app))


async def _ls(app: App) -> None:
    from comity.runtime.programs import StoredPrograms
    from comity.server.fleet_documents import AgentList, agent_document

    async with app.store() as store:
        found = await StoredPrograms(store).all()
    if app.is_json:
        app.screen.document(AgentList([agent_document(spec, program) for spec, program in found]))
    elif not found:
        app.screen.say(("no agents", "dim"))
        app.screen.note(("comity agents register FILE", "bold"), ("  enters those of a file", "dim"))
    else:
        _write(app, found)


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
    from comity.server.fleet_documents import AgentList, agent_document

    async with reader_of_files() as zygotes:
        programs = [await read_program(zygotes, file, app.config) for file in files]
    async with app.store(may_make=True) as store:
        for program in programs:
            await enter(store, program)
    found = [(spec, program) for program in programs for spec in program.agents]
    if app.is_json:
        app.screen.document(AgentList([agent_document(spec, program) for spec, program in found]))
    elif not app.is_quiet:
        _write(app, found)


def _write(app: App, found: list[tuple[AgentSpec, Program]]) -> None:
    from comity.runtime.words import one_line

    app.screen.table(
        ("agent", "kind", "version", "model", "tools", "file"),
        [
            (
                (one_line(spec.name, 40), "bold"),
                spec.kind,
                one_line(program.version(spec), 20),
                one_line(spec.model.rpartition(":")[2], 30),
                ", ".join(f"{name} ({_effect(program, name)})" for name in spec.tools),
                (program.file, "dim"),
            )
            for spec, program in found
        ],
        last_folds=True,
    )


def _effect(program: Program, name: str) -> str:
    tool = program.tool(name)
    return str(tool.effect) if tool is not None else "unknown"
