"""`comity version`."""

from __future__ import annotations

import platform
from importlib.metadata import version as version_of

import click

from comity.cli.app import App
from comity.cli.grammar import command


@command("version", examples=[("comity version --json", "with the versions of what it runs on")])
@click.pass_obj
def version(app: App) -> None:
    """Print the version."""
    ours = version_of("comity")
    if app.is_json:
        import apsw

        python, sqlite = platform.python_version(), apsw.sqlite_lib_version()
        app.screen.document({"comity": ours, "python": python, "sqlite": sqlite, "platform": platform.platform()})
    else:
        click.echo(f"comity {ours}")
