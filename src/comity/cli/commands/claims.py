"""`comity claim`, `announce`, `claims` and `plan`: what people and agents intend with the shared world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import click
import msgspec

from comity.cli import complete
from comity.cli.app import App
from comity.cli.grammar import Group, ServerCommand, command
from comity.journal.world import ClaimMode

if TYPE_CHECKING:
    from comity.server.world_documents import ClaimDocument

_HERE = "comity.cli.commands.claims"
COMMANDS = {
    "ls": (f"{_HERE}:ls", "List claims in force."),
    "end": (f"{_HERE}:end", "End claims now."),
}
PLAN_COMMANDS = {
    "issue": (f"{_HERE}:issue", "Issue a plan."),
    "ls": (f"{_HERE}:plans", "List the plans in force."),
}
MODES = get_args(ClaimMode)


class ClaimOptions(msgspec.Struct, frozen=True):
    """What was typed."""

    scope: str
    length: str
    reason: str
    mode: str = "leave-as-is"
    since: str = ""
    name: str = ""
    is_change: bool = False


@click.command("claims", cls=Group, lazy=COMMANDS)
def claims() -> None:
    """List and end claims: what somebody intends with a part of the world, which others leave alone.

    `comity claim` makes one.
    """


@click.command("plan", cls=Group, lazy=PLAN_COMMANDS)
def plan() -> None:
    """Issue and list plans: steps that belong together, and are no herd and no oscillation for it."""


@command(
    "claim",
    kind=ServerCommand,
    examples=[
        ("comity claim db/main --mode leave-as-is --reason 'moving it to another host' --for 2h", ""),
        ("comity claim 'service/*.instances' --mode up-only --reason 'sale begins at noon' --for 4h", ""),
    ],
)
@click.argument("scope", shell_complete=complete.fields)
@click.option("--mode", type=click.Choice(MODES), default="exclusive", help="What others may do meanwhile.")
@click.option("--reason", default="", metavar="TEXT", help="Why; people see it, agents do not.")
@click.option("--for", "length", required=True, metavar="TIME", help="How long: 90s, 30m, 2h.")
@click.option("--id", "name", default="", metavar="NAME", help="What to call it; a claim of yours of that name goes.")
@click.pass_obj
def claim(app: App, /, **given: Any) -> None:
    """Claim a part of the world for a while: a field, a resource, or a pattern of fields.

    Modes: exclusive and hands-off let nobody else touch it; shared lets in whoever claims it as shared too; up-only
    and down-only let numbers move one way; leave-as-is says that what is there is meant. No claim holds back a stop,
    or the repair of a broken invariant.
    """
    app.run(_claim(app, ClaimOptions(**given)))


@command(
    "announce",
    kind=ServerCommand,
    examples=[
        (
            "comity announce db/main.connections --reason 'halved by hand' --since 10m --for 1h",
            "so no agent puts it back",
        ),
        ("comity announce 'zone/a' --reason 'drained by the provider' --for 6h", ""),
    ],
)
@click.argument("scope", shell_complete=complete.fields)
@click.option("--reason", required=True, metavar="TEXT", help="What changes; people see it, agents do not.")
@click.option("--since", default="", metavar="MOMENT", help="When it began, or how long ago; now by default.")
@click.option("--for", "length", required=True, metavar="TIME", help="How long it is to be left alone: 30m, 2h.")
@click.option("--id", "name", default="", metavar="NAME", help="What to call it.")
@click.pass_obj
def announce(app: App, /, **given: Any) -> None:
    """Announce a change that is made outside Comity, past or under way, so that nobody corrects it."""
    app.run(_claim(app, ClaimOptions(**given, is_change=True)))


async def _claim(app: App, options: ClaimOptions) -> None:
    from comity.cli.moments import read_moment, read_span
    from comity.core.clock import SystemClock
    from comity.server import world_operations
    from comity.server.world_bodies import ClaimBody

    since = read_moment(options.since, "--since", SystemClock().wall_us()) if options.since else None
    for_s = read_span(options.length, "--for")
    name = options.name or None
    body = ClaimBody(options.scope, for_s, options.mode, options.reason, options.is_change, since, name)  # type: ignore[arg-type]  # click has looked at the mode
    async with app.api() as api:
        made = await api.ask(world_operations.claim, body=body)
    if app.is_json:
        app.screen.document(made)
    else:
        _write_made(app, made)


def _write_made(app: App, made: ClaimDocument) -> None:
    from comity.runtime.words import moment, us_of

    word = "announced " if made.is_change else "claimed "
    app.screen.say((word, "bold green"), made.scope, (f"  {made.mode} until {moment(us_of(made.until))}", "dim"))
    app.screen.note(("end it with ", "dim"), (f"comity claims end {made.id}", "bold"))


@command(
    "ls",
    kind=ServerCommand,
    examples=[
        ("comity claims ls", ""),
        ("comity claims ls --field db/main.connections", "what stands over a field"),
        ("comity claims ls --over", "those too that ended within the last hour"),
    ],
)
@click.option("--field", default="", metavar="FIELD", shell_complete=complete.fields, help="Only those over a field.")
@click.option("--owner", default="", metavar="WHO", help="Only those of agent:NAME or operator:NAME.")
@click.option("--over", "has_over", is_flag=True, help="Also those that are over.")
@click.pass_obj
def ls(app: App, *, field: str, owner: str, has_over: bool) -> None:
    """List claims, and what they are for."""
    app.run(_ls(app, field, owner, has_over=has_over))


async def _ls(app: App, field: str, owner: str, *, has_over: bool) -> None:
    from comity.core.clock import SystemClock
    from comity.runtime.words import age, one_line, us_of
    from comity.server import world_operations
    from comity.server.world_bodies import ClaimsQuery

    async with app.api() as api:
        found = await api.ask(world_operations.claims, query=ClaimsQuery(owner, field, has_over, limit=1_000))
    now_us = SystemClock().wall_us()
    if app.is_json:
        app.screen.document(found)
    elif not found.claims:
        app.screen.say(("nothing is claimed", "dim"))
    else:
        rows = [
            (
                (item.id, "bold"),
                one_line(item.scope, 60),
                "change" if item.is_change else item.mode,
                one_line(item.owner, 40),
                age(now_us, us_of(item.until)) if item.is_in_force else "no more",
                one_line(item.reason, 500),
            )
            for item in found.claims
        ]
        app.screen.table(("claim", "scope", "mode", "owner", ">still", "reason"), rows, last_folds=True)


@command("end", kind=ServerCommand, examples=[("comity claims end 5f0c93ab12cd", "")])
@click.argument("names", nargs=-1, required=True, metavar="CLAIM...", shell_complete=complete.claims)
@click.pass_obj
def end(app: App, *, names: tuple[str, ...]) -> None:
    """End claims now; calls that waited for them go on."""
    app.run(_end(app, names))


async def _end(app: App, names: tuple[str, ...]) -> None:
    from comity.server import world_operations

    ended = []
    async with app.api() as api:
        for name in names:
            found = await api.ask(world_operations.end_claim, claim=name)
            ended.append(found)
            app.screen.say(("ended ", "bold"), found.id, (f"  {found.scope}", "dim"))
    if app.is_json:
        app.screen.document({"ended": ended})


@command(
    "issue",
    kind=ServerCommand,
    examples=[
        ("comity plan issue autumn-sale 'service/*.instances' --steps 40 --for 2h", ""),
        ("comity plan issue shrink 'db/*.instances' --steps 6 --for 1h --direction down --agent planner", ""),
    ],
)
@click.argument("name", metavar="ID")
@click.argument("scope", shell_complete=complete.fields)
@click.option("--steps", type=click.IntRange(1), required=True, help="So many acts are part of it.")
@click.option("--for", "length", required=True, metavar="TIME", help="How long it is valid: 30m, 2h.")
@click.option("--direction", type=click.Choice(["up", "down", "any"]), default="any", help="Which way numbers may go.")
@click.option("--agent", default="", shell_complete=complete.agents, metavar="AGENT", help="Only this agent's acts.")
@click.pass_obj
def issue(app: App, /, **given: Any) -> None:
    """Issue a plan: acts that name it are steps of one intent, and no herd.

    A tool names its plan by the argument that `plan` of the world file says.
    """
    app.run(_issue(app, **given))


async def _issue(app: App, **given: Any) -> None:
    from comity.cli.moments import read_span
    from comity.runtime.words import moment, us_of
    from comity.server import world_operations
    from comity.server.world_bodies import PlanBody

    for_s = read_span(given["length"], "--for")
    body = PlanBody(given["name"], given["scope"], for_s, given["steps"], given["direction"], given["agent"])
    async with app.api() as api:
        made = await api.ask(world_operations.plan, body=body)
    if app.is_json:
        app.screen.document(made)
    else:
        told = f"  {made.steps} steps until {moment(us_of(made.until))}"
        app.screen.say(("issued ", "bold green"), f"{made.id} over {made.scope}", (told, "dim"))


@command("ls", kind=ServerCommand, examples=[("comity plan ls", "")])
@click.pass_obj
def plans(app: App) -> None:
    """List the plans in force."""
    app.run(_plans(app))


async def _plans(app: App) -> None:
    from comity.runtime.words import moment, one_line, us_of
    from comity.server import world_operations
    from comity.server.world_bodies import PlansQuery

    async with app.api() as api:
        found = await api.ask(world_operations.plans, query=PlansQuery(limit=1_000))
    if app.is_json:
        app.screen.document(found)
    elif not found.plans:
        app.screen.say(("no plan is in force", "dim"))
    else:
        rows = [
            (
                (item.id, "bold"),
                one_line(item.scope, 60),
                str(item.steps),
                item.direction,
                item.agent or "any",
                item.issued_by,
                moment(us_of(item.until)),
            )
            for item in found.plans
        ]
        app.screen.table(("plan", "scope", ">steps", "direction", "agent", "issued by", "until"), rows)
