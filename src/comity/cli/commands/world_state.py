"""`comity world apply`, `show` and `observe`: the world in force, and what is believed of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from comity.cli import complete
from comity.cli.app import App
from comity.cli.exits import Exit
from comity.cli.grammar import ServerCommand, command
from comity.core.errors import UsageError

if TYPE_CHECKING:
    from comity.server.world_documents import FieldDocument, WorldDocumentPage

TAKEN_STYLES = {"observed": "green", "proposed": "yellow", "older": "dim"}
FIELDS_MAX = 1_000


@command(
    "apply",
    kind=ServerCommand,
    examples=[("comity world apply world.yaml", ""), ("comity world apply world.yaml --json", "with what is believed")],
)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.pass_obj
def apply(app: App, *, file: Path) -> int:
    """Put a world file in force: every call is judged by it from then on, and what is in flight still counts.

    The same file again changes nothing. A new rule only observes until its mode is `enforce`.
    """
    from comity.cli.commands.world import write_problems
    from comity.coordination.loading import load_world
    from comity.coordination.loading_problem import WorldError

    try:
        text = load_world(file).text
    except WorldError as error:
        if app.is_json:
            app.screen.document({"applied": False, "problems": error.problems})
        else:
            write_problems(app, str(file), error.problems)
        return int(Exit.FAILED)
    app.run(_apply(app, str(file), text))
    return int(Exit.OK)


async def _apply(app: App, name: str, text: str) -> None:
    from comity.server import world_operations
    from comity.server.world_bodies import WorldBody

    async with app.api() as api:
        found = await api.ask(world_operations.put, body=WorldBody(text, name[-200:]))
    if app.is_json:
        app.screen.document(found)
        return
    called = f"{found.name} " if found.name else ""
    app.screen.say(("in force ", "bold green"), f"{called}version {found.version}")
    modes = [rule.get("mode", "observe") for rule in found.document.get("invariants", {}).values()]
    if modes and "enforce" not in modes:
        app.screen.note(("every invariant only observes; `mode: enforce` makes one hold", "dim"))


@command(
    "show",
    kind=ServerCommand,
    examples=[
        ("comity world show", "all fields that are there"),
        ("comity world show db/main.connections 'service/*'", "one field, and all of a kind"),
        ("comity world show --in-flight", "which calls are under way, and on what"),
        ("comity world show --json", "with the world file in force"),
    ],
)
@click.argument("fields", nargs=-1, metavar="[FIELD]...", shell_complete=complete.fields)
@click.option("--in-flight", "is_in_flight", is_flag=True, help="List the calls that are in flight instead.")
@click.pass_obj
def show(app: App, *, fields: tuple[str, ...], is_in_flight: bool) -> None:
    """Show the world in force: what is believed of each field, and what it will be once all in flight has happened.

    FIELD is a field, a resource, or a pattern with `*`. A value in brackets was only proposed: whoever said it may not
    observe the field.
    """
    app.run(_show_flights(app, fields) if is_in_flight else _show(app, fields))


async def _show(app: App, fields: tuple[str, ...]) -> None:
    from comity.server import world_operations
    from comity.server.world_bodies import FieldsQuery

    async with app.api() as api:
        found = await api.ask(world_operations.show, query=FieldsQuery(fields, limit=FIELDS_MAX))
    if app.is_json:
        app.screen.document(found)
    else:
        _write_world(app, found)


async def _show_flights(app: App, fields: tuple[str, ...]) -> None:
    from comity.runtime.words import age, one_line, short, us_of
    from comity.server import world_operations
    from comity.server.world_bodies import ReservationsQuery

    if len(fields) > 1:
        raise UsageError("bad_usage", "`--in-flight` takes one field at most", hint="give a pattern: `db/*`")
    query = ReservationsQuery(fields[0] if fields else "", limit=FIELDS_MAX)
    async with app.api() as api:
        found = await api.ask(world_operations.reservations, query=query)
    if app.is_json:
        app.screen.document(found)
    elif not found.reservations:
        app.screen.say(("nothing is in flight", "dim"))
    else:
        now_us = _now_us()
        rows = [
            (
                short(item.task),
                one_line(item.agent, 30),
                one_line(item.tool, 30),
                (item.phase, "yellow" if item.phase == "doubt" else ""),
                age(us_of(item.since), now_us),
                ", ".join(f"{effect.field} {effect.op} {_said(effect.value)}" for effect in item.effects),
            )
            for item in found.reservations
        ]
        app.screen.table(("task", "agent", "tool", "phase", ">for", "changes"), rows, last_folds=True)


@command(
    "observe",
    kind=ServerCommand,
    examples=[
        ("comity world observe db/main.connections=41", ""),
        ("comity world observe db/main.state=down service/web.instances=3 --at 2m", "as it was two minutes ago"),
        ("""comity world observe 'zone/a.drained=["r1", "r2"]'""", "a set"),
    ],
)
@click.argument("values", nargs=-1, required=True, metavar="FIELD=VALUE...", shell_complete=complete.fields)
@click.option("--at", "at", default="", metavar="MOMENT", help="When it was seen, or how long ago; now by default.")
@click.pass_obj
def observe(app: App, *, values: tuple[str, ...], at: str) -> None:
    """Tell what fields are: it counts as observed where the world file lets operators observe them, else as proposed.

    VALUE is JSON (`5`, `true`, `["a"]`), and anything else is text; a text that looks like JSON is quoted.
    """
    app.run(_observe(app, values, at))


async def _observe(app: App, values: tuple[str, ...], at: str) -> None:
    from comity.cli.moments import read_moment
    from comity.server import world_operations
    from comity.server.world_bodies import ObservationBody, ObservationsBody

    moment = read_moment(at, "--at", _now_us()) if at else None
    body = ObservationsBody(tuple(ObservationBody(*_read(text), at=moment) for text in values))
    async with app.api() as api:
        found = await api.ask(world_operations.observe, body=body)
    if app.is_json:
        app.screen.document(found)
        return
    for item in found.observations:
        said = f"  {item.why}" if item.why else ""
        app.screen.answer((f"{item.taken:<9}", TAKEN_STYLES[item.taken]), item.field, (said, "dim"))


def _read(text: str) -> tuple[str, Any]:
    from comity.cli.arguments import read_json
    from comity.runtime.words import one_line

    field, equals, value = text.partition("=")
    if not equals or not field.strip():
        hint = "write `db/main.connections=41`"
        raise UsageError("bad_usage", f"`{one_line(text, 60)}` names no field and value", hint=hint)
    try:
        return field.strip(), read_json(value, "VALUE")
    except UsageError:
        return field.strip(), value


def _write_world(app: App, found: WorldDocumentPage) -> None:
    from comity.runtime.words import moment, us_of

    applied = f"version {found.version}, by {found.applied_by}, {moment(us_of(found.applied_at))}"
    app.screen.say((found.name or "the world", "bold"), (f"  {applied}, {found.in_flight} in flight", "dim"))
    if not found.fields:
        app.screen.say(("no such fields", "dim"))
        return
    rows = [
        (
            (item.field, "bold"),
            _value(item),
            _said(item.target) if item.in_flight else "",
            str(item.version),
            _seen(item),
            item.unit,
        )
        for item in found.fields
    ]
    app.screen.table(("field", "value", "target", ">version", "observed", "unit"), rows)
    if found.has_more:
        app.screen.note(("there are more; name some: `comity world show 'db/*'`", "dim"))


def _value(item: FieldDocument) -> str:
    said = _said(item.value) if item.observed_at or item.version else f"({_said(item.value)})"
    return f"{said} ({_said(item.proposed)} proposed)" if item.proposed is not None else said


def _seen(item: FieldDocument) -> tuple[str, str]:
    from comity.runtime.words import age, us_of

    if item.observed_at is None:
        return "never", "dim"
    ago = f"{age(us_of(item.observed_at), _now_us())} ago by {item.observed_by}"
    return (f"{ago}: too long", "yellow") if item.is_stale else (ago, "")


def _said(value: Any) -> str:
    from comity.runtime.words import preview

    return "unknown" if value is None else preview(list(value) if isinstance(value, tuple) else value, 40)


def _now_us() -> int:
    from comity.core.clock import SystemClock

    return SystemClock().wall_us()
