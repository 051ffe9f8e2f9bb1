"""`comity doctor`: is everything sound that Comity stands on?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from comity.cli.app import App
from comity.cli.exits import Exit
from comity.cli.grammar import command

if TYPE_CHECKING:
    from comity.cli.checkup import Check

_MARKS = {"ok": ("✓", "green"), "note": ("·", "dim"), "warning": ("!", "yellow"), "error": ("✗", "red")}


@command(
    "doctor",
    examples=[("comity doctor", ""), ("comity doctor --json", "the exit code is 1 where something is wrong")],
)
@click.pass_obj
def doctor(app: App) -> int:
    """Check that everything Comity stands on is sound: machine, store, clocks, agent files."""
    checks = app.run(_examine(app))
    has_error = any(check.mark == "error" for check in checks)
    if app.is_json:
        app.screen.document({"is_sound": not has_error, "checks": [check._asdict() for check in checks]})
        return Exit.FAILED if has_error else Exit.OK
    width = max(len(check.name) for check in checks)
    before = ""
    for check in checks:
        if app.is_quiet and check.mark in {"ok", "note"}:
            continue
        mark, style = _MARKS[check.mark]
        name = "" if check.name == before else check.name
        before = check.name
        app.screen.answer((f"{mark} ", style), (f"{name:<{width}}  ", "dim"), check.text)
        if check.hint:
            app.screen.answer((f"{'':<{width + 4}}{check.hint}", "dim"))
    return Exit.FAILED if has_error else Exit.OK


async def _examine(app: App) -> list[Check]:
    from comity.cli import checkup
    from comity.core.errors import ComityError, StoreError
    from comity.runtime.config_keys import without_password

    checks = list(checkup.machine(app.config))
    url = app.config.sections.store.url
    try:
        app.look_for_store()
    except StoreError as error:
        checks.append(checkup.Check("store", "note", error.message, error.hint))
        return checks
    try:
        checks.append(checkup.Check("store", "ok", without_password(url)))
        checks += [check async for check in checkup.durability(url)]
        async with app.orders() as (store, orders):
            checks += [check async for check in checkup.store_at_work(store, orders)]
    except ComityError as error:
        checks = [check for check in checks if check.name != "store"]
        checks.append(checkup.unreachable(error))
    return checks
