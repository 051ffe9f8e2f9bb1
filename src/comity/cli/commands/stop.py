"""`comity stop`: nothing starts in a scope any more, and you see when that is certain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from comity.cli import complete
from comity.cli.app import App
from comity.cli.grammar import ServerCommand, command
from comity.core.errors import UsageError

if TYPE_CHECKING:
    from comity.cli.api import Api
    from comity.server.fleet_documents import StoppedDocument

LOOK_S, LOOK_S_MAX = 0.05, 1.0
"""How long to wait between two looks at a stop, the first time and at most."""


class StopOptions(msgspec.Struct, frozen=True):
    """What was typed."""

    scope: str
    is_lift: bool
    is_list: bool
    may_wait: bool


@command(
    "stop",
    kind=ServerCommand,
    examples=[
        ("comity stop agent:clerk", "nothing of this agent starts, until it is lifted"),
        ("comity stop task:5f0c93ab --no-wait", "return once the stop is committed"),
        ("comity stop agent:clerk --lift", "and go on"),
        ("comity stop --list", "what is stopped, since when, by whom"),
    ],
)
@click.argument("scope", default="", shell_complete=complete.scopes, metavar="SCOPE")
@click.option("--lift", "is_lift", is_flag=True, help="Lift the stop; its tasks go on.")
@click.option("--list", "is_list", is_flag=True, help="List what is stopped.")
@click.option("--wait/--no-wait", "may_wait", default=True, help="Wait until the scope is quiet.")
@click.pass_obj
def stop(app: App, /, **given: Any) -> None:
    """Stop a task, an agent, a session, a tenant or the fleet.

    SCOPE is task:ID, agent:NAME, session:ID, tenant:NAME or fleet. `committed` says that no call will be allowed
    there; `quiesced` that none which was allowed before can still start. What was on the wire by then is listed: its
    outcome is still recorded.
    """
    options = StopOptions(**given)
    if not options.is_list and not options.scope:
        hint = "`comity stop agent:clerk`, `comity stop fleet`, or `comity stop --list`"
        raise UsageError("bad_usage", "no scope was named", hint=hint)
    app.run(_list(app) if options.is_list else _lift(app, options) if options.is_lift else _stop(app, options))


async def _list(app: App) -> None:
    from comity.runtime.words import moment, us_of
    from comity.server import fleet_operations

    async with app.api() as api:
        found = await api.ask(fleet_operations.stopped)
    if app.is_json:
        app.screen.document(found)
    elif not found.stopped:
        app.screen.say(("nothing is stopped", "dim"))
    else:
        rows = [(item.scope, item.by or "", moment(us_of(item.at))) for item in found.stopped]
        app.screen.table(("scope", "by", "since"), rows)


async def _lift(app: App, options: StopOptions) -> None:
    from comity.cli.lookup import find_scope
    from comity.server import fleet_operations

    async with app.api() as api:
        lifted = await api.ask(fleet_operations.lift, scope=await find_scope(api, options.scope))
    if app.is_json:
        app.screen.document(lifted)
    else:
        app.screen.say(("lifted ", "bold green"), lifted.scope)


async def _stop(app: App, options: StopOptions) -> None:
    from comity.cli.lines import at_hand
    from comity.cli.lookup import find_scope
    from comity.core.clock import SystemClock
    from comity.runtime.words import arguments, short, span
    from comity.server import fleet_operations
    from comity.server.bodies import StopBody

    clock = SystemClock()
    async with app.api() as api:
        scope = await find_scope(api, options.scope)
        started_s = clock.monotonic_s()
        stopped = await api.ask(fleet_operations.stop, body=StopBody(scope))
        app.screen.say(("committed ", "bold"), scope, (f"  generation {stopped.generation}", "dim"))
        if options.may_wait:
            stopped = await _quiesced(app, api, stopped)
            app.screen.say(("quiesced  ", "bold green"), (f"after {span(clock.monotonic_s() - started_s)}", "dim"))
    if app.is_json:
        app.screen.document(stopped)
        return
    if not stopped.on_the_wire:
        app.screen.say(("nothing was on the wire", "dim"))
    for item in stopped.on_the_wire:
        effect = f"  {item.effect}" if item.effect is not None else ""
        head, given = f"task {short(item.task)} call {item.call} ", arguments(at_hand(item.args))
        app.screen.answer(("on the wire  ", "yellow"), (head, "dim"), f"{item.name}({given})", (effect, "dim"))


async def _quiesced(app: App, api: Api, stopped: StoppedDocument) -> StoppedDocument:
    """Return how a stop stands once nothing can start in its scope."""
    from comity.core.clock import SystemClock
    from comity.runtime.words import number
    from comity.server import fleet_operations

    pause_s = LOOK_S
    while not stopped.quiesced:
        await SystemClock().sleep(pause_s)
        late = stopped.waits_for
        stopped = await api.ask(fleet_operations.show_stop, scope=stopped.scope)
        if pause_s == LOOK_S and not stopped.quiesced:
            app.screen.note((f"waits for {number(late, 'node')} to acknowledge, or for its lease to end", "dim"))
        pause_s = min(pause_s * 2, LOOK_S_MAX)
    return stopped
