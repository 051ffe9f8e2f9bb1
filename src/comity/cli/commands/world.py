"""`comity world`: the file that says what agents share: check it, and print its schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from comity.cli.app import App
from comity.cli.exits import Exit, exit_of
from comity.cli.grammar import Group, command
from comity.core.errors import UsageError

if TYPE_CHECKING:
    from comity.coordination.loading_problem import Problem
    from comity.coordination.loading_summary import WorldSummary

_HERE = "comity.cli.commands.world"
COMMANDS = {
    "check": (f"{_HERE}:check", "Tell what is wrong with a world file, line by line."),
    "schema": (f"{_HERE}:schema", "Print the JSON Schema of a world file."),
    "apply": (f"{_HERE}_state:apply", "Put a world file in force."),
    "show": (f"{_HERE}_state:show", "Show what is believed of the world in force."),
    "observe": (f"{_HERE}_state:observe", "Tell what fields are."),
}
_NAMES_SHOWN_MAX = 6


@click.command("world", cls=Group, lazy=COMMANDS)
def world() -> None:
    """Describe what agents share: resources, what must hold of them, and what tools touch.

    `comity rehearse` looks whether agents break it together, before they do.
    """


@command(
    "check",
    examples=[
        ("comity world check world.yaml", ""),
        ("comity world check worlds/*.yaml --quiet", "in a pipeline: the problems alone, and the exit code"),
        ("comity world check world.yaml --json", "with what was understood"),
    ],
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path))
@click.pass_obj
def check(app: App, *, paths: tuple[Path, ...]) -> int:
    """Tell what is wrong with a world file, line by line, and what it was understood to say.

    Every problem is one line, `FILE:LINE: PLACE: …`, and what to write instead below it. A file in which something is
    wrong makes the exit code 1.
    """
    from comity.coordination.loading import load_world
    from comity.coordination.loading_problem import Problem, WorldError
    from comity.coordination.loading_summary import summary

    code = Exit.OK
    documents = []
    for path in paths:
        problems: tuple[Problem, ...] = ()
        understood = None
        try:
            understood = summary(load_world(path).document)
        except WorldError as error:
            problems, code = error.problems, max(code, Exit.FAILED)
        except UsageError as error:
            problems, code = (Problem(0, "", error.message, error.hint),), max(code, exit_of(error))
        documents.append(
            {"file": str(path), "is_valid": understood is not None, "problems": problems, "understood": understood}
        )
        if not app.is_json:
            write_problems(app, str(path), problems)
            if understood is not None:
                _write_summary(app, str(path), understood, is_long=len(paths) == 1)
    if app.is_json:
        app.screen.document({"files": documents})
    return int(code)


@command(
    "schema",
    examples=[
        ("comity world schema > world.schema.json", ""),
        (
            "# yaml-language-server: $schema=world.schema.json",
            "as the first line of a world file: editors complete and check it",
        ),
    ],
)
@click.pass_obj
def schema(app: App) -> None:
    """Print the JSON Schema of a world file."""
    from comity.coordination.loading_schema import json_schema

    app.screen.document(json_schema())


def write_problems(app: App, name: str, problems: tuple[Problem, ...]) -> None:
    """Write what is wrong with a world file, a line for each."""
    for problem in problems:
        place = f"{name}:{problem.line}" if problem.line else name
        where = f"{problem.path}: " if problem.path else ""
        app.screen.answer((f"{place}: ", "bold"), (where, "cyan"), problem.message)
        if problem.hint:
            app.screen.answer(("    hint: ", "dim"), problem.hint)


def _write_summary(app: App, name: str, found: WorldSummary, *, is_long: bool) -> None:
    """Write what was understood: a line for each of many files, tables for one."""
    sizes = (
        (len(found.kinds), "kind", "kinds"),
        (sum(len(kind.fields) for kind in found.kinds), "field", "fields"),
        (len(found.invariants), "invariant", "invariants"),
        (len(found.tools), "tool", "tools"),
    )
    told = ", ".join(f"{count} {one if count == 1 else many}" for count, one, many in sizes)
    app.screen.say((name, "bold"), ": ", ("sound", "green"), f" ({told})")
    if is_long and app.screen.is_talkative:
        _write_tables(app, found)
    if found.uncovered:
        app.screen.say(("no invariant and no tool names: ", "yellow"), _first(found.uncovered))
    if found.only_proposed:
        hint = "; name `poll` or `scrape` in `authority.observe`"
        app.screen.say(("read, but only proposed: ", "yellow"), _first(found.only_proposed), (hint, "dim"))


def _write_tables(app: App, found: WorldSummary) -> None:
    if found.kinds:
        app.screen.say("")
        rows = [((kind.kind, "bold"), kind.id, str(kind.resources), _first(kind.fields)) for kind in found.kinds]
        app.screen.table(("kind", "ids", ">there", "fields"), rows, last_folds=True)
    if found.invariants:
        app.screen.say("")
        app.screen.table(
            ("invariant", "class", "mode", "severity", "holds"),
            [((rule.invariant, "bold"), rule.shape, rule.mode, rule.severity, rule.holds) for rule in found.invariants],
            last_folds=True,
        )
    if found.tools:
        app.screen.say("")
        app.screen.table(
            ("tool", "touches"),
            [((tool.tool, "bold"), _first(tool.touches) or ("nothing", "dim")) for tool in found.tools],
            last_folds=True,
        )


def _first(names: tuple[str, ...]) -> str:
    more = len(names) - _NAMES_SHOWN_MAX
    return ", ".join(names[:_NAMES_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")
