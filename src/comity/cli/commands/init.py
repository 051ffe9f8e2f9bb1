"""`comity init`: a commented comity.toml to begin with."""

from __future__ import annotations

from pathlib import Path

import click

from comity.cli.app import App
from comity.cli.grammar import command
from comity.core.errors import UsageError


@command("init", examples=[("comity init", "write ./comity.toml"), ("comity init ops/comity.toml", "")])
@click.argument("file", default="comity.toml", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", "is_forced", is_flag=True, help="Write over a file that is there.")
@click.pass_obj
def init(app: App, *, file: Path, is_forced: bool) -> None:
    """Write a commented comity.toml: every key, its default and a word on it."""
    from comity.runtime.config_init import init_text

    if file.exists() and not is_forced:
        raise UsageError("file_exists", f"`{file}` is there already", hint="--force writes over it")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(init_text(), encoding="utf-8")
    if app.is_json:
        app.screen.document({"file": str(file.absolute())})
        return
    app.screen.say("wrote ", (str(file), "bold"))
    app.screen.say(("next  ", "dim"), ("comity doctor", "bold"), ("  check what Comity stands on", "dim"))
