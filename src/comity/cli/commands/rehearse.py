"""`comity rehearse`: explore what the agents of a world can do together, before they do it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from comity.cli.app import App
from comity.cli.exits import Exit
from comity.cli.grammar import command
from comity.core.errors import UsageError

if TYPE_CHECKING:
    from comity.coordination.loading import LoadedWorld
    from comity.rehearsal.report import Fix, Report

TICK_S = 0.2


@dataclass
class RehearseOptions:
    """What was typed."""

    path: str
    budget: str
    html: Path | None
    promela: Path | None
    test: Path | None
    agents: str
    seed: int
    is_coordinated: bool
    apply: int | None
    yes: bool


@command(
    "rehearse",
    examples=[
        ("comity rehearse world.yaml", "which agents together break an invariant, how, and what helps"),
        ("comity rehearse world.yaml --coordinated", "the same, with every call passing admission"),
        ("comity rehearse world.yaml --apply 1", "write the first fix into the file, after a look at the difference"),
        ("comity rehearse world.yaml --budget 30s --json", "in a pipeline: the exit code is 1 where it is not safe"),
        ("comity rehearse world.yaml --html rehearsal.html", "with the sequence diagram"),
    ],
)
@click.argument("path", type=click.Path(path_type=str))
@click.option("--budget", default="", metavar="TIME", help="Stop after this time, say 30s or 5m; the verdict says so.")
@click.option(
    "--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with pictures to this file."
)
@click.option(
    "--promela", type=click.Path(dir_okay=False, path_type=Path), help="Write the model for SPIN to this file."
)
@click.option(
    "--test", type=click.Path(dir_okay=False, path_type=Path), help="Write a pytest that replays the counterexample."
)
@click.option("--agents", default="", metavar="A,B", help="Rehearse these agents only.")
@click.option("--seed", default=0, metavar="N", help="Of the random schedules beyond the bound of states.")
@click.option("--coordinated", "is_coordinated", is_flag=True, help="Let every call pass admission.")
@click.option("--apply", type=click.IntRange(1), metavar="N", help="Write the N-th fix into the world file.")
@click.option("--yes", is_flag=True, help="Apply without asking.")
@click.pass_obj
def rehearse(app: App, /, **typed: Any) -> int:
    """Explore what the agents of a world file can do together: every interleaving, with faults.

    The verdict is `safe`, `violated` (with the smallest set of agents, the shortest counterexample and the fixes that
    help), `lasso` (agents chase each other) or `starvation`. The exit code is 0 where it is safe, 1 where not, 2 where
    the file is wrong.
    """
    from comity.coordination.loading import load_world

    options = RehearseOptions(**typed)
    loaded = load_world(options.path)
    if options.promela is not None:
        _write_promela(app, options, loaded)
    report = _rehearsed(app, options, loaded)
    _write_files(app, options, report)
    if options.apply is not None:
        return _apply(app, options, loaded, report)
    if app.is_json:
        from comity.rehearsal.document import as_document

        app.screen.document(as_document(report))
    elif app.is_quiet:
        app.screen.answer(report.verdict)
    else:
        from comity.rehearsal.markdown import markdown

        click.echo(markdown(report, options.path), nl=False)
    return Exit.OK if report.is_safe else Exit.FAILED


def _rehearsed(app: App, options: RehearseOptions, loaded: LoadedWorld) -> Report:
    from comity.rehearsal import Options, rehearse

    agents = tuple(name.strip() for name in options.agents.split(",") if name.strip())
    with _watch(app, options.budget) as watch:
        return rehearse(
            loaded.document,
            Options(
                agents=agents,
                coordinated=True if options.is_coordinated else None,
                seed=options.seed,
                watch=watch,
                folder=str(Path(options.path).resolve().parent),
            ),
        )


@contextmanager
def _watch(app: App, budget: str) -> Iterator[Callable[[int], str]]:
    """Give a watch that ends at the budget or with Ctrl-C, and shows progress on a terminal."""
    import signal

    from comity.core.clock import SystemClock
    from comity.rehearsal.watching import Watching

    limit_s = _seconds(budget)
    is_shown = app.screen.is_talkative and sys.stderr.isatty()
    watching = Watching(SystemClock(), limit_s, _show if is_shown else None, TICK_S)
    before = signal.signal(signal.SIGINT, lambda *_: watching.stop("Ctrl-C"))
    try:
        yield watching
    finally:
        signal.signal(signal.SIGINT, before)
        if is_shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _show(states: int, rate: float) -> None:
    sys.stderr.write(f"\r\x1b[K{states:,} states, {rate:,.0f} states/s")
    sys.stderr.flush()


def _seconds(text: str) -> float:
    if not text:
        return 0.0
    from comity.coordination.world import window_s

    try:
        return window_s(text)
    except UsageError:
        raise UsageError("bad_budget", f"`{text}` is no time", hint="write a number and s, m or h, say 30s") from None


def _write_promela(app: App, options: RehearseOptions, loaded: LoadedWorld) -> None:
    from comity.rehearsal import Options, stage_of
    from comity.rehearsal.promela import promela

    assert options.promela is not None
    stage = stage_of(loaded.document, Options(coordinated=True if options.is_coordinated else None))
    agents = [name.strip() for name in options.agents.split(",") if name.strip()] or list(stage.agents)
    options.promela.write_text(promela(stage, agents), encoding="utf-8")
    app.screen.note("wrote ", (str(options.promela), "bold"))


def _write_files(app: App, options: RehearseOptions, report: Report) -> None:
    if options.html is not None:
        from comity.rehearsal.html import page

        options.html.write_text(page(report), encoding="utf-8")
        app.screen.note("wrote ", (str(options.html), "bold"))
    if options.test is not None:
        from comity.rehearsal.generated import pytest_of

        if report.counterexample is None:
            app.screen.note("no counterexample, so no test was written")
            return
        beside = os.path.relpath(options.path, options.test.parent)
        options.test.write_text(pytest_of(report.counterexample, beside), encoding="utf-8")
        app.screen.note("wrote ", (str(options.test), "bold"))


def _apply(app: App, options: RehearseOptions, loaded: LoadedWorld, report: Report) -> int:
    """Write a fix into the file, after showing what changes."""
    from difflib import unified_diff

    from comity.coordination.loading import read_world
    from comity.rehearsal.patch import edited_text

    fix = _chosen(options, report)
    text, is_kept = edited_text(loaded.text, fix.edits)
    read_world(text, options.path)
    if not is_kept:
        app.screen.warn("the file is written anew: its comments and layout are lost")
    changes = unified_diff(loaded.text.splitlines(), text.splitlines(), options.path, options.path, lineterm="", n=2)
    for line in changes:
        style = "green" if line.startswith("+") else "red" if line.startswith("-") else "dim"
        app.screen.note((line, style))
    if not options.yes:
        app.confirm(f"write fix {options.apply} into {options.path}?", "the fix was not confirmed")
    Path(options.path).write_text(text, encoding="utf-8")
    if app.is_json:
        app.screen.document({"file": options.path, "fix": fix.title, "kind": fix.kind, "is_layout_kept": is_kept})
    else:
        app.screen.say("applied ", (fix.title, "bold"), f" to {options.path}")
        app.screen.say(("next  ", "dim"), (f"comity rehearse {options.path}", "bold"))
    return Exit.OK


def _chosen(options: RehearseOptions, report: Report) -> Fix:
    assert options.apply is not None
    if options.apply > len(report.fixes):
        there = f"there are {len(report.fixes)}" if report.fixes else "there is none: " + report.verdict
        raise UsageError("no_such_fix", f"there is no fix {options.apply}", hint=there)
    fix = report.fixes[options.apply - 1]
    if not fix.edits:
        raise UsageError("fix_in_code", f"fix {options.apply} cannot be written into the world file", hint=fix.how)
    return fix
