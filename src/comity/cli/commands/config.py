"""`comity config show`: every setting, and where it comes from."""

from __future__ import annotations

import click

from comity.cli.app import App
from comity.cli.grammar import Group, command

COMMANDS = {"show": ("comity.cli.commands.config:show", "Show every setting and where it comes from.")}


@click.command("config", cls=Group, lazy=COMMANDS)
def config() -> None:
    """Look at the configuration.

    A value comes from a flag, else from COMITY_SECTION__KEY, else from comity.toml, else it is a default.
    """


@command(
    "show",
    examples=[("comity config show", ""), ("COMITY_NODE__WORKERS=2 comity config show --json", "")],
)
@click.option("--set", "is_set_only", is_flag=True, help="Leave defaults out.")
@click.pass_obj
def show(app: App, *, is_set_only: bool) -> None:
    """Show every setting and where it comes from."""
    found = app.config
    lines = [line for line in found.show() if not (is_set_only and line.source == "default")]
    if app.is_json:
        file = str(found.file) if found.file else None
        app.screen.document({"file": file, "settings": [line._asdict() for line in lines]})
        return
    if found.file is None:
        app.screen.note(("no comity.toml was found; `comity init` writes one", "dim"))
    app.screen.table(
        ("key", "value", "from"),
        [(line.key, line.value, (line.source, "dim" if line.source == "default" else "cyan")) for line in lines],
    )
