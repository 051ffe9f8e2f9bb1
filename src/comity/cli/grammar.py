"""Commands as Comity writes them: loaded when they are typed, with examples, and options that every command takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, TypeVar

import click

from comity.cli.app import App
from comity.core.errors import UsageError

Made = TypeVar("Made", bound=Callable[..., Any])
HELP_WIDTH = 100
CONTEXT = {"max_content_width": HELP_WIDTH, "help_option_names": ["-h", "--help"]}
SHARED_TITLE = "Options of every command"


def _remember(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def keep(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
        app = context.ensure_object(App)
        if value not in (None, False):
            setattr(app, name, value)

    return keep


def _shared(flags: Sequence[str], name: str, text: str, **how: Any) -> click.Option:
    declared = [*flags, f"shared_{name}"]
    return click.Option(declared, callback=_remember(name), expose_value=False, is_eager=True, help=text, **how)


SHARED: list[click.Parameter] = [
    _shared(["--json"], "is_json", "Answer with one JSON document.", is_flag=True),
    _shared(["-q", "--quiet"], "is_quiet", "Write the answer alone.", is_flag=True),
    _shared(["--config"], "config_file", "Read this file instead of ./comity.toml.", metavar="FILE"),
    _shared(["--store"], "store_url", "Use this store: sqlite:///FILE or postgresql://…", metavar="URL"),
    _shared(["--log-format"], "log_format", "How logs are written on stderr.", type=click.Choice(["text", "json"])),
    _shared(
        ["--log-level"],
        "log_level",
        "What is logged.",
        type=click.Choice(["debug", "info", "warning", "error"]),
    ),
    _shared(["--debug"], "is_debug", "Log everything, and show where an error comes from.", is_flag=True),
]


SERVER = _shared(
    ["--server"], "server_url", "Ask this server, by COMITY_TOKEN; else COMITY_SERVER, else the store.", metavar="URL"
)


class Command(click.Command):
    """A command with `examples`: (command line, what it does)."""

    def __init__(self, *given: Any, examples: Sequence[tuple[str, str]] = (), **settings: Any) -> None:
        """Keep the examples for `--help`."""
        settings["context_settings"] = {**CONTEXT, **settings.get("context_settings", {})}
        super().__init__(*given, **settings)
        self.examples = examples

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return its own parameters, then those of every command."""
        return [*super().get_params(ctx), *SHARED]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write examples, its own options, those of every command."""
        write_sections(self, ctx, formatter, self.examples)


class ServerCommand(Command):
    """A command that asks a server where one is named, else the store."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return its own parameters, the server, then those of every command."""
        own = super().get_params(ctx)
        return [*own[: -len(SHARED)], SERVER, *SHARED]


class Group(click.Group):
    """Commands by name, each the place of its object (`module:name`) and a line on it: `--help` loads none."""

    def __init__(
        self,
        *given: Any,
        lazy: Mapping[str, tuple[str, str]],
        examples: Sequence[tuple[str, str]] = (),
        **settings: Any,
    ) -> None:
        """Keep the places."""
        settings["context_settings"] = {**CONTEXT, **settings.get("context_settings", {})}
        super().__init__(*given, **settings)
        self._lazy = lazy
        self.examples = examples

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which they are written."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        if cmd_name not in self._lazy:
            return None
        module, _, name = self._lazy[cmd_name][0].partition(":")
        found = getattr(import_module(module), name)
        assert isinstance(found, click.Command), "a place names a command"
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was typed.

        Raises:
            UsageError: there is none of that name.
        """
        name = args[0]
        if name not in self._lazy and not name.startswith("-") and not ctx.resilient_parsing:
            from comity.runtime.config_keys import guess

            raise UsageError(
                "no_such_command", f"there is no command `{ctx.command_path} {name}`", hint=guess(name, self._lazy)
            )
        return super().resolve_command(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return its own parameters, then those of every command."""
        return [*super().get_params(ctx), *SHARED]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, then as for a command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._lazy.items()])
        write_sections(self, ctx, formatter, self.examples)


def write_sections(
    made: click.Command, ctx: click.Context, formatter: click.HelpFormatter, examples: Sequence[tuple[str, str]]
) -> None:
    """Write the sections of a help page that follow the description."""
    own = [param for param in made.get_params(ctx) if param not in SHARED and isinstance(param, click.Option)]
    for title, params in (("Options", own), (SHARED_TITLE, SHARED)):
        rows = [record for param in params if (record := param.get_help_record(ctx)) is not None]
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)
    if examples:
        with formatter.section("Examples"):
            for line, text in examples:
                formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
                if text:
                    formatter.write(f"{'':>{formatter.current_indent}}    {text}\n")


def command(
    name: str, *, examples: Sequence[tuple[str, str]] = (), kind: type[Command] = Command
) -> Callable[[Made], Command]:
    """Make a function a command; its docstring is the help."""
    return click.command(name, cls=kind, examples=examples)
