"""Write docs/reference/ from the program itself: commands, configuration, API, world file.

Run from the repository: `python tools/reference.py` writes the pages, `--check` fails where they are not what it would
write.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

import reference_world
from comity.cli.commands.run import Run
from comity.cli.exits import table
from comity.cli.grammar import SHARED_TITLE
from comity.cli.main import root
from comity.runtime.config_init import init_text
from comity.server import openapi
from comity.server.table import OPERATIONS

FOLDER = Path("docs/reference")
WIDTH = 100
WRITTEN_BY = "<!-- Written by tools/reference.py; change the program, then run it. -->\n"


def pages() -> dict[str, str]:
    """Return each page by the name of its file."""
    return {
        "cli.md": command_line(),
        "config.md": configuration(),
        "openapi.json": openapi.described(OPERATIONS).decode(),
        "world.md": reference_world.page(WRITTEN_BY),
        "world.schema.json": reference_world.schema(),
    }


def command_line() -> str:
    """Return the page on the command line."""
    parts = [f"# The command line\n\n{WRITTEN_BY}"]
    shared = ""
    for name, text in helps(root, "comity"):
        own, shared_here = split(text)
        shared = shared or shared_here
        parts.append(f"## `{name}`\n\n```text\n{own}\n```\n")
    parts.insert(1, f"## Options of every command\n\n```text\n{shared}\n```\n")
    rows = "\n".join(f"| {code} | {meaning} |" for code, meaning in table())
    parts.append(f"## Exit codes\n\n| code | meaning |\n|---|---|\n{rows}\n")
    return "\n".join(parts)


def helps(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    """Give the name and the help of a command and of all below it."""
    word = name.rsplit(" ", 1)[-1]
    settings = {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    context = click.Context(command, parent=parent, info_name=word, **settings)
    yield name, command.get_help(context)
    if isinstance(command, Run):
        yield f"{name} --", command.program().get_help(click.Context(command.program(), parent, word, **settings))
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None and not found.hidden:
                yield from helps(found, f"{name} {child}", context)


def split(text: str) -> tuple[str, str]:
    """Return a help text without the options of every command, and those."""
    sections = text.split("\n\n")
    shared = [section for section in sections if section.startswith(f"{SHARED_TITLE}:")]
    own = [section for section in sections if section not in shared and not section.startswith("Exit codes:")]
    return "\n\n".join(own), "\n".join(shared[0].splitlines()[1:]) if shared else ""


def configuration() -> str:
    """Return the page on the configuration."""
    intro = (
        "`--config` wins over `COMITY_CONFIG`, that over `./comity.toml`, that over `~/.config/comity/comity.toml`. In"
        " the\nenvironment a key is `COMITY_SECTION__KEY`. `comity config show` tells where each value came from,"
        " `comity init` writes\nthis file:\n"
    )
    return f"# The configuration\n\n{WRITTEN_BY}\n{intro}\n```toml\n{init_text()}```\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the pages, and return the exit code."""
    parser = argparse.ArgumentParser(prog="reference", description="write docs/reference/")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page is out of date")
    options = parser.parse_args(arguments)
    folder = Path(__file__).resolve().parent.parent / FOLDER
    stale = []
    for name, text in pages().items():
        file = folder / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not options.check:
                file.write_text(text, encoding="utf-8")
    for name in stale:
        print(f"{FOLDER / name} {'is out of date: run tools/reference.py' if options.check else 'was written'}")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
