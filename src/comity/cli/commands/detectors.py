"""`comity detectors`: what watches for harm between agents that are each rational."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from comity.cli import complete
from comity.cli.app import App
from comity.cli.grammar import Group, ServerCommand, command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from comity.server.world_documents import AlarmDocument, BaselineDocument

_HERE = "comity.cli.commands.detectors"
COMMANDS = {
    "ls": (f"{_HERE}:ls", "List detectors, and how often each alarmed."),
    "show": (f"{_HERE}:show", "Show a detector with its parameters and newest alarms."),
    "alarms": (f"{_HERE}:alarms", "List alarms."),
    "baseline": (f"{_HERE}:baseline", "Show what is usual, and sign it off."),
}


@click.command("detectors", cls=Group, lazy=COMMANDS)
def detectors() -> None:
    """Look at what watches the shared world: oscillation, conflicts, cascades, herds and their kin.

    `detectors` of the world file sets parameters, mode and action. A server tells what its node has seen; without one
    the log is read anew, in which no call stands that was turned away.
    """


@command("ls", kind=ServerCommand, examples=[("comity detectors ls", "")])
@click.pass_obj
def ls(app: App) -> None:
    """List detectors, and how often each alarmed."""
    app.run(_ls(app))


async def _ls(app: App) -> None:
    from comity.runtime.words import moment, us_of
    from comity.server import map_operations

    async with app.api() as api:
        found = await api.ask(map_operations.detectors)
    if app.is_json:
        app.screen.document(found)
        return
    rows = [
        (
            (item.name, "bold"),
            (item.mode, "green" if item.mode == "enforce" else "dim"),
            item.action,
            (str(item.alarms), "yellow" if item.alarms else "dim"),
            moment(us_of(item.last_at)) if item.last_at else "",
        )
        for item in found.detectors
    ]
    app.screen.table(("detector", "mode", "action", ">alarms", "last"), rows)


@command("show", kind=ServerCommand, examples=[("comity detectors show oscillation", "")])
@click.argument("detector", shell_complete=complete.detectors)
@click.pass_obj
def show(app: App, *, detector: str) -> None:
    """Show a detector with its parameters and newest alarms."""
    app.run(_show(app, detector))


async def _show(app: App, detector: str) -> None:
    from comity.server import map_operations

    async with app.api() as api:
        found = await api.ask(map_operations.detector, detector=detector)
    if app.is_json:
        app.screen.document(found)
        return
    here = found.detector
    app.screen.facts(
        [
            ("detector", (here.name, "bold")),
            ("mode", here.mode),
            ("action", here.action),
            ("alarms", str(here.alarms)),
            *((name, f"{value:g}") for name, value in sorted(here.parameters.items())),
        ]
    )
    if found.recent:
        app.screen.say("")
        _write(app, found.recent)


@command(
    "alarms",
    kind=ServerCommand,
    examples=[("comity detectors alarms", ""), ("comity detectors alarms --since 1h --detector herding", "")],
)
@click.option("--since", default="", metavar="MOMENT", help="After a moment, or within so long.")
@click.option("--detector", default="", shell_complete=complete.detectors, metavar="NAME", help="Of one detector.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=100, show_default=True, help="At most so many.")
@click.pass_obj
def alarms(app: App, *, since: str, detector: str, limit: int) -> None:
    """List what detectors saw, oldest first."""
    app.run(_alarms(app, since, detector, limit))


async def _alarms(app: App, since: str, detector: str, limit: int) -> None:
    from comity.cli.moments import read_moment
    from comity.core.clock import SystemClock
    from comity.server import map_operations
    from comity.server.world_bodies import AlarmsQuery

    moment = read_moment(since, "--since", SystemClock().wall_us()).isoformat() if since else None
    async with app.api() as api:
        found = await api.ask(map_operations.alarms, query=AlarmsQuery(moment, detector, limit))
    if app.is_json:
        app.screen.document(found)
    elif not found.alarms:
        app.screen.say(("no alarms", "dim"))
    else:
        _write(app, found.alarms)


@command(
    "baseline",
    kind=ServerCommand,
    examples=[
        ("comity detectors baseline", "what is in force, and what was learned"),
        ("comity detectors baseline --sign", "take what was learned as usual"),
    ],
)
@click.option("--sign", "is_signed", is_flag=True, help="Sign off what was learned; detectors measure by it.")
@click.pass_obj
def baseline(app: App, *, is_signed: bool) -> None:
    """Show how many agents usually do the same at once, which herding is measured by, and sign it off.

    It is learned all the time and used once somebody signed it; windows around alarms are left out.
    """
    app.run(_baseline(app, is_signed=is_signed))


async def _baseline(app: App, *, is_signed: bool) -> None:
    from comity.server import map_operations

    async with app.api() as api:
        found = await api.ask(map_operations.sign_baseline if is_signed else map_operations.baseline)
    if app.is_json:
        app.screen.document(found)
        return
    if found.in_force is None:
        app.screen.say(("no baseline is in force", "dim"))
    else:
        _write_baseline(app, f"in force, signed by {found.in_force.signed_by}", found.in_force)
    if not is_signed:
        _write_baseline(app, "learned", found.proposed)


def _write_baseline(app: App, title: str, found: BaselineDocument) -> None:
    told = f"  {found.windows} windows of {found.window_s:g} s, {found.excluded} left out"
    app.screen.say((title, "bold"), (told, "dim"))
    if found.usual_agents:
        rows = [(name, f"{count:.2f}") for name, count in sorted(found.usual_agents.items())]
        app.screen.table(("act", ">agents at once"), rows)


def _write(app: App, found: Sequence[AlarmDocument]) -> None:
    from comity.runtime.words import moment, one_line, us_of

    rows = [
        (
            moment(us_of(item.at)),
            (item.detector, "bold"),
            one_line(", ".join(item.fields), 60),
            one_line(", ".join(item.actors), 40),
            one_line(item.text, 500),
        )
        for item in found
    ]
    app.screen.table(("at", "detector", "fields", "by", "what"), rows, last_folds=True)
