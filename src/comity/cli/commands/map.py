"""`comity map`: who acts on whom, why something happened, and what a call would touch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from comity.cli import complete
from comity.cli.app import App
from comity.cli.grammar import ServerCommand, command
from comity.core.errors import UsageError

if TYPE_CHECKING:
    from comity.coordination.drawing.diagram import Diagram

FORMATS = ("text", "json", "dot", "svg", "png")


class MapOptions(msgspec.Struct, frozen=True):
    """What was typed."""

    format: str
    out: Path | None
    why: str
    would: str
    args: str
    focus: str
    window: str
    hops: int
    detail: str


@command(
    "map",
    kind=ServerCommand,
    examples=[
        ("comity map", "who acted on what within the last hour, and where loops close"),
        ("comity map --focus db/main.connections --format svg --out map.svg", "around a field, as a picture"),
        ("comity map --why db/main.connections", "who made it what it is"),
        ("""comity map --would scale --args '{"name": "web", "by": 2}'""", "what a call would touch, and what follows"),
        ("comity map --detail calls --window 10m", "what made what happen"),
    ],
)
@click.option("--format", "format", type=click.Choice(FORMATS), default="text", help="How to draw it.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it to a file.")
@click.option("--why", default="", metavar="WHAT", help="Why it happened: TASK/CALL, FIELD, FIELD@VERSION.")
@click.option("--would", default="", metavar="TOOL", shell_complete=complete.tools, help="What a call would touch.")
@click.option("--args", "args", default="{}", metavar="JSON", help="With --would: the arguments.")
@click.option("--focus", default="", metavar="NAME", shell_complete=complete.fields, help="Show what is around it.")
@click.option("--hops", type=click.IntRange(0, 20), default=2, show_default=True, help="How far around the focus.")
@click.option("--window", default="1h", metavar="TIME", show_default=True, help="How far back.")
@click.option(
    "--detail", type=click.Choice(["agents", "calls"]), default="agents", help="Who with what, or what made what."
)
@click.pass_obj
def map_(app: App, /, **given: Any) -> None:
    """Draw the causal map: which agents read and write what, and where their loops close.

    Arrows are what was recorded; what numbers only suggest is called a guess. A server tells what its node has seen;
    without one the log is read anew.
    """
    options = MapOptions(**given)
    if options.why and options.would:
        raise UsageError("bad_usage", "`--why` and `--would` ask two things", hint="leave one of them out")
    if options.format == "png" and options.out is None and sys.stdout.isatty():
        raise UsageError("bad_usage", "a PNG is nothing for a terminal", hint="name a file: `--out map.png`")
    app.run(_map(app, options))


async def _map(app: App, options: MapOptions) -> None:
    document, diagram = await _asked(app, options)
    if app.is_json or options.format == "json":
        data = msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
    else:
        from comity.coordination.drawing.render import render

        data = render(diagram, options.format, width=app.screen.console(is_error=False).width)
    if options.out is None:
        sys.stdout.flush()
        stream = getattr(sys.stdout, "buffer", None)
        stream.write(data) if stream is not None else sys.stdout.write(data.decode())
        return
    try:
        options.out.write_bytes(data)
    except OSError as error:
        text = f"`{options.out}` cannot be written: {(error.strerror or str(error)).lower()}"
        raise UsageError("not_written", text, hint="name a file in a folder that is there") from None
    app.screen.say(("wrote ", "bold"), str(options.out))


async def _asked(app: App, options: MapOptions) -> tuple[msgspec.Struct, Diagram]:
    """Return the answer of the map, and how it is drawn."""
    from comity.cli.arguments import read_json
    from comity.cli.moments import read_span
    from comity.coordination.drawing.showing import touch_diagram, why_diagram, window_diagram
    from comity.server import map_operations
    from comity.server.world_bodies import MapQuery, WhyQuery, WouldTouchBody
    from comity.server.world_documents import MapDocument

    async with app.api() as api:
        if options.why:
            told = await api.ask(map_operations.why, query=WhyQuery(options.why))
            return told, why_diagram(told)
        if options.would:
            given = read_json(options.args, "--args")
            if not isinstance(given, dict):
                hint = """write `--args '{"name": "web"}'`"""
                raise UsageError("bad_usage", "`--args` is no object", hint=hint)
            touched = await api.ask(map_operations.would, body=WouldTouchBody(options.would, given))
            return touched, touch_diagram(touched)
        query = MapQuery(
            window_s=read_span(options.window, "--window"),
            focus=options.focus,
            hops=options.hops,
            detail=options.detail,  # type: ignore[arg-type]  # click has looked at it
        )
        found = await api.ask(map_operations.draw, query=query)
        assert isinstance(found, MapDocument), "JSON was asked for"
        return found, window_diagram(found.window, found.loops)
