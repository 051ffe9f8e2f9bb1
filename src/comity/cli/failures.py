"""Errors as people and programs read them: `error: …`, then `hint: …`, on stderr; a stack trace only with `--debug`."""

from __future__ import annotations

import re
import sys
import traceback

import click

from comity.cli.app import App
from comity.cli.exits import Exit, exit_of
from comity.core.errors import ComityError, UsageError

_QUOTED = re.compile(r"(?<![\w`])'([^']*)'")
_MEANT = re.compile(r"\s*\(?Did you mean (?:one of: )?(.*?)\??\)?$")


def report(error: ComityError, app: App) -> int:
    """Tell of an error; return the exit code."""
    if app.is_debug:
        traceback.print_exception(error)
    _write(app, error.code, error.message, error.hint)
    return exit_of(error)


def report_os(error: OSError, app: App) -> int:
    """Tell of what the operating system refused; return the exit code."""
    if app.is_debug:
        traceback.print_exception(error)
    why = (error.strerror or str(error)).lower()
    _write(app, "os_error", f"`{error.filename}`: {why}" if error.filename else why, "")
    return Exit.USAGE


def report_bug(error: BaseException, app: App) -> int:
    """Tell of an error that nobody foresaw; return the exit code."""
    if app.is_debug:
        traceback.print_exception(error)
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    _write(app, "bug", f"something went wrong inside Comity ({text})", "run it again with --debug to see where")
    return Exit.BUG


def of_click(error: click.ClickException) -> UsageError:
    """Return a click error as one of ours: lower case, values in backticks, the way out apart."""
    text = _QUOTED.sub(r"`\1`", error.format_message()).strip()
    hint = ""
    meant = _MEANT.search(text)
    if meant is not None:
        text, hint = text[: meant.start()], f"did you mean {meant.group(1).rstrip('?')}?"
    context = getattr(error, "ctx", None)
    if not hint and context is not None:
        hint = f"`{context.command_path} --help` tells what it takes"
    text = text.strip().rstrip(".")
    return UsageError("bad_usage", text[:1].lower() + text[1:], hint=hint)


def _write(app: App, code: str, message: str, hint: str) -> None:
    if app.is_json:
        app.screen.document({"error": {"code": code, "message": message, "hint": hint}})
    sys.stdout.flush()
    console = app.screen.console(is_error=True)
    from comity.cli.screen import assembled

    console.print(assembled((("error: ", "bold red"), message)), soft_wrap=True)
    if hint:
        console.print(assembled((("hint: ", "dim"), hint)), soft_wrap=True)
