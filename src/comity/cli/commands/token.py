"""`comity token`: the tokens by which operators come in over HTTP; the store has their hashes only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from comity.cli.app import App
from comity.cli.grammar import Group, command

if TYPE_CHECKING:
    from comity.journal.ports import Store
    from comity.server.auth import Operators

_HERE = "comity.cli.commands.token"
COMMANDS = {
    "ls": (f"{_HERE}:ls", "List tokens: their names and when they expire."),
    "new": (f"{_HERE}:new", "Make a token; it is shown this once."),
    "rotate": (f"{_HERE}:rotate", "Replace a token; the old one is void at once."),
    "revoke": (f"{_HERE}:revoke", "Make a token void."),
}
DAYS = 90


@click.command("token", cls=Group, lazy=COMMANDS)
def token() -> None:
    """Make and revoke the tokens by which operators come in over HTTP."""


@command("ls", examples=[("comity token ls", "")])
@click.pass_obj
def ls(app: App) -> None:
    """List tokens: their names and when they expire."""
    app.run(_ls(app))


async def _ls(app: App) -> None:
    from comity.core.clock import SystemClock
    from comity.runtime.words import age, iso, moment

    async with app.store() as store:
        found = await _operators(store).all()
    if app.is_json:
        listed = [
            {"name": item.name, "created_at": iso(item.created_us), "expires_at": iso(item.expires_us)}
            for item in found
        ]
        app.screen.document({"tokens": listed})
    elif not found:
        app.screen.say(("no tokens", "dim"))
        app.screen.note(("comity token new NAME", "bold"), ("  makes one", "dim"))
    else:
        now_us = SystemClock().wall_us()
        rows = [
            (
                (item.name, "bold"),
                age(item.created_us, now_us),
                _expiry(moment(item.expires_us), is_over=item.expires_us <= now_us) if item.expires_us else "never",
            )
            for item in found
        ]
        app.screen.table(("name", ">age", "expires"), rows)


@command(
    "new",
    examples=[
        ("comity token new ada", "for 90 days"),
        ("comity token new ci --days 7", ""),
        ("export COMITY_TOKEN=$(comity token new ci -q)", ""),
    ],
)
@click.argument("name")
@click.option("--days", default=DAYS, show_default=True, type=click.IntRange(0, 36_500), help="Valid so long; 0: ever.")
@click.pass_obj
def new(app: App, *, name: str, days: int) -> None:
    """Make a token; it is shown this once."""
    app.run(_make(app, name, days, is_new=True))


@command("rotate", examples=[("comity token rotate ci", "")])
@click.argument("name")
@click.option("--days", default=DAYS, show_default=True, type=click.IntRange(0, 36_500), help="Valid so long; 0: ever.")
@click.pass_obj
def rotate(app: App, *, name: str, days: int) -> None:
    """Replace a token; the old one is void at once."""
    app.run(_make(app, name, days, is_new=False))


@command("revoke", examples=[("comity token revoke ci", "")])
@click.argument("name")
@click.pass_obj
def revoke(app: App, name: str) -> None:
    """Make a token void."""
    app.run(_revoke(app, name))


async def _make(app: App, name: str, days: int, *, is_new: bool) -> None:
    async with app.store(may_make=True) as store:
        operators = _operators(store)
        made = await (operators.new if is_new else operators.rotate)(name, days * 86_400)
    if app.is_json:
        app.screen.document({"name": name, "token": made})
        return
    app.screen.answer(made)
    app.screen.note(("shown this once: the store has its hash. Give it as COMITY_TOKEN", "dim"))


async def _revoke(app: App, name: str) -> None:
    async with app.store() as store:
        await _operators(store).revoke(name)
    if app.is_json:
        app.screen.document({"name": name, "revoked": True})
    else:
        app.screen.say(("revoked ", "bold"), name)


def _operators(store: Store) -> Operators:
    from comity.core.clock import SystemClock
    from comity.core.entropy import SystemEntropy
    from comity.server.auth import Operators

    return Operators(store, SystemClock(), SystemEntropy())


def _expiry(text: str, *, is_over: bool) -> tuple[str, str]:
    return (f"{text} (expired)", "red") if is_over else (text, "")
