"""`comity store`: look after the store; nodes may go on using it, `migrate` and `restore` apart."""

from __future__ import annotations

import re
from pathlib import Path

import click

from comity.cli.app import App
from comity.cli.exits import Exit
from comity.cli.grammar import Group, command
from comity.core.errors import UsageError

_HERE = "comity.cli.commands.store"
COMMANDS = {
    "migrate": (f"{_HERE}:migrate", "Bring an older store to this version's schema."),
    "backup": (f"{_HERE}:backup", "Write the store, as it is at one moment, into a file."),
    "restore": (f"{_HERE}:restore", "Make a new store of a backup."),
    "check": (f"{_HERE}:check", "Read everything and verify numbers and hashes."),
    "prune": (f"{_HERE}:prune", "Delete tasks that ended long ago, and what nothing names."),
}
_AGE = re.compile(r"(\d{1,6})([smhdw])")
_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


@click.command("store", cls=Group, lazy=COMMANDS)
def store() -> None:
    """Migrate, back up, restore, check and prune the store."""


@command(
    "migrate",
    examples=[("comity store migrate --preview", "list what would be applied"), ("comity store migrate", "")],
)
@click.option("--preview", "is_preview", is_flag=True, help="List what would be applied, and change nothing.")
@click.pass_obj
def migrate(app: App, *, is_preview: bool) -> None:
    """Bring an older store to this version's schema. Stop every node first, and make a backup."""
    from comity.stores import maintenance

    url = app.config.sections.store.url
    app.look_for_store()
    found = app.run(maintenance.preview(url) if is_preview else maintenance.migrate(url))
    names = [item.name for item in found]
    if app.is_json:
        app.screen.document({"is_preview": is_preview, "migrations": names})
    elif not names:
        app.screen.say("the store has this version's schema")
    else:
        for name in names:
            app.screen.answer("would apply " if is_preview else "applied ", (name, "bold"))


@command("backup", examples=[("comity store backup /backups/comity-monday.db", "")])
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def backup(app: App, file: Path) -> None:
    """Write the store, as it is at one moment, into FILE, which must not exist. Nodes may run meanwhile."""
    from comity.stores import maintenance

    app.look_for_store()
    app.run(maintenance.backup(app.config.sections.store.url, str(file)))
    size = file.stat().st_size
    if app.is_json:
        app.screen.document({"file": str(file.absolute()), "bytes": size})
    else:
        app.screen.say("wrote ", (str(file), "bold"), (f"  {size:,} bytes", "dim"))


@command(
    "restore",
    examples=[("comity store restore /backups/comity-monday.db --store sqlite:////var/lib/comity/again.db", "")],
)
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def restore(app: App, file: Path) -> None:
    """Make a new store of a backup. There must be none yet where --store says.

    What was acknowledged after the backup is gone: calls of its tasks that were made since are not known to the new
    store, so look at what runs in it before a node is started on it.
    """
    from comity.runtime.config_keys import without_password
    from comity.runtime.words import one_line
    from comity.stores import maintenance

    if not file.is_file():
        raise UsageError(
            "no_such_file", f"backup `{one_line(str(file))}` is not there", hint="give the path of a backup"
        )
    url = app.config.sections.store.url
    app.config.make_home()
    app.run(maintenance.restore(str(file), url))
    if app.is_json:
        app.screen.document({"file": str(file.absolute()), "store": without_password(url)})
    else:
        app.screen.say("restored ", (without_password(url), "bold"), (f"  from {file}", "dim"))


@command("check", examples=[("comity store check", "the exit code is 1 where something is wrong")])
@click.pass_obj
def check(app: App) -> int:
    """Read everything and verify it: numbers without gaps, entries and segments that are what their hashes say."""
    from comity.runtime.words import number
    from comity.stores import maintenance

    app.look_for_store()
    found = app.run(maintenance.check(app.config.sections.store.url))
    if app.is_json:
        listed = [{"what": item.what, "where": item.where, "message": item.message} for item in found]
        app.screen.document({"is_sound": not found, "findings": listed})
    elif not found:
        app.screen.say(("✓ ", "green"), "the store is sound")
    else:
        for item in found:
            app.screen.answer((f"✗ {item.what} ", "red"), (item.where, "bold"), f"  {item.message}")
        app.screen.note((f"{number(len(found), 'finding')}; restore a backup, and keep this store to look at", "dim"))
    return Exit.FAILED if found else Exit.OK


@command(
    "prune",
    examples=[
        ("comity store prune --ended 90d", "tasks that ended more than 90 days ago"),
        ("comity store prune --ended 12h --yes", "do not ask"),
    ],
)
@click.option("--ended", "age", required=True, metavar="AGE", help="Delete tasks that ended longer ago: 12h, 90d, 8w.")
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask.")
@click.pass_obj
def prune(app: App, *, age: str, is_sure: bool) -> None:
    """Delete tasks that ended long ago, with their journals and de-duplication keys, and segments that nothing names.

    Tasks of sessions stay: their context lives on.
    """
    from comity.core.clock import SystemClock
    from comity.runtime.words import number
    from comity.stores import maintenance

    found = _AGE.fullmatch(age.strip())
    if found is None:
        raise UsageError("bad_usage", f"`{age}` is no length of time", hint="write for instance `12h`, `90d` or `8w`")
    app.look_for_store()
    if not is_sure:
        app.confirm(f"delete every task that ended more than {age} ago, for ever?", "deleting tasks needs a yes")
    now_us = SystemClock().wall_us()
    before_us = now_us - int(found[1]) * _UNIT_S[found[2]] * 1_000_000

    def tell(text: str) -> None:
        app.screen.note((text, "dim"))

    done = app.run(maintenance.prune(app.config.sections.store.url, before_us, now_us=now_us, progress=tell))
    if app.is_json:
        app.screen.document({name: getattr(done, name) for name in done.__struct_fields__})
    else:
        counts = f"{number(done.tasks, 'task')}, {number(done.entries, 'entry', 'entries')}"
        app.screen.say("deleted ", (counts, "bold"), f", {number(done.segments, 'segment')}")
