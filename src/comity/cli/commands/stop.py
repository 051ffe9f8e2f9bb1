"""`comity stop`: nothing starts in a scope any more, and you see when that is certain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from comity.cli import complete
from comity.cli.app import App
from comity.cli.grammar import command
from comity.core.errors import UsageError

if TYPE_CHECKING:
    from comity.journal.ports import Store
    from comity.runtime.orders import Orders


class StopOptions(msgspec.Struct, frozen=True):
    """What was typed."""

    scope: str
    is_lift: bool
    is_list: bool
    may_wait: bool


@command(
    "stop",
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
    from comity.runtime.words import moment
    from comity.server.fleet_documents import StopList, stop_document

    async with app.orders() as (_, orders):
        found = await orders.stopped()
    if app.is_json:
        app.screen.document(StopList([stop_document(scope, said) for scope, said in found]))
    elif not found:
        app.screen.say(("nothing is stopped", "dim"))
    else:
        rows = [(scope, str(said.get("by", "")), moment(int(said.get("at_us") or 0))) for scope, said in found]
        app.screen.table(("scope", "by", "since"), rows)


async def _lift(app: App, options: StopOptions) -> None:
    from comity.cli.lookup import find_scope
    from comity.server.fleet_documents import LiftedDocument

    async with app.orders() as (store, orders):
        scope = await find_scope(store, options.scope)
        generation = await orders.lift(scope)
    if app.is_json:
        app.screen.document(LiftedDocument(scope, generation))
    else:
        app.screen.say(("lifted ", "bold green"), scope)


async def _stop(app: App, options: StopOptions) -> None:
    from comity.cli.lookup import find_scope
    from comity.core.clock import SystemClock
    from comity.runtime.on_wire import on_the_wire
    from comity.runtime.words import arguments, short, span
    from comity.server.documents import wire_document
    from comity.server.fleet_documents import StoppedDocument

    clock = SystemClock()
    async with app.orders() as (store, orders):
        scope = await find_scope(store, options.scope)
        started_s = clock.monotonic_s()
        generation = await orders.stop(scope)
        app.screen.say(("committed ", "bold"), scope, (f"  generation {generation}", "dim"))
        if options.may_wait:
            await _quiesce(app, store, orders, generation)
            app.screen.say(("quiesced  ", "bold green"), (f"after {span(clock.monotonic_s() - started_s)}", "dim"))
        calls = await on_the_wire(store, scope)
    if app.is_json:
        listed = [wire_document(row, record) for row, record in calls]
        app.screen.document(
            StoppedDocument(scope, generation, committed=True, quiesced=options.may_wait, on_the_wire=listed)
        )
        return
    if not calls:
        app.screen.say(("nothing was on the wire", "dim"))
    for row, record in calls:
        from comity.runtime.account import at_hand

        given = arguments(at_hand(record.args))
        effect = f"  {record.effect}" if record.effect is not None else ""
        head = f"task {short(row.id)} call {record.seq} "
        app.screen.answer(("on the wire  ", "yellow"), (head, "dim"), f"{record.key.name}({given})", (effect, "dim"))


async def _quiesce(app: App, store: Store, orders: Orders, generation: int) -> None:
    from comity.cli.follow import Bell
    from comity.runtime.words import number

    bell, is_told = Bell(store), False
    while not await orders.is_quiesced(generation):
        await bell.wait()
        late = [node for node in await store.nodes() if node.alive and node.stop_generation < generation]
        if late and not is_told:
            app.screen.note((f"waits for {number(len(late), 'node')} to acknowledge, or for its lease to end", "dim"))
            is_told = True
    bell.close()
