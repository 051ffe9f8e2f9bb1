"""`comity demo NAME`: a scenario, uncoordinated, coordinated and rehearsed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from comity.cli import scenarios
from comity.cli.app import App
from comity.cli.exits import Exit
from comity.cli.grammar import command
from comity.core.errors import UsageError

if TYPE_CHECKING:
    from comity.rehearsal.report import Report


class Told(msgspec.Struct, frozen=True):
    """What a demonstration showed. The parts that were not played are None."""

    name: str
    uncoordinated: Any = None
    coordinated: Any = None
    rehearsed: str = ""
    rehearsed_coordinated: str = ""
    minimal_agents: tuple[str, ...] = ()
    map: str = ""


@command(
    "demo",
    examples=[
        ("comity demo --list", "the scenarios, and which of them run live"),
        ("comity demo 0217", "three rational agents: the collapse, how it is held, and how it is foreseen"),
        ("comity demo 0217 --uncoordinated --seed 7", "the collapse alone, in another order of events"),
        ("comity demo herd", "one that is rehearsed only"),
    ],
)
@click.argument("name", default="", shell_complete=lambda _c, _p, text: _named(text))
@click.option("--list", "is_list", is_flag=True, help="List the scenarios.")
@click.option("--uncoordinated", is_flag=True, help="Play it without coordination, and no more.")
@click.option("--seed", default=3, show_default=True, metavar="N", help="Whose turn it is, and what happens around.")
@click.option(
    "--map", "map_file", type=click.Path(dir_okay=False, path_type=Path), help="Where the causal map is drawn (SVG)."
)
@click.pass_obj
def demo(app: App, /, name: str, **typed: Any) -> int:
    """Play a scenario: real agents on a simulated plant, uncoordinated and coordinated, and rehearse it.

    The exit code is 1 where it does not show what it promises: that it breaks uncoordinated, and holds coordinated.
    """
    if typed["is_list"] or not name:
        return _list(app)
    file = scenarios.world_file(name)
    live = name in scenarios.driver().LIVE
    told, is_right = Told(name), True
    app.screen.say((f"{_title(file)}", "bold"))
    if live:
        told, is_right = _lived(app, told, typed)
    if not typed["uncoordinated"] or not live:
        told, is_foreseen = _rehearsed(app, told, file, is_alone=typed["uncoordinated"])
        is_right = is_right and is_foreseen
    if app.is_json:
        app.screen.document(told)
    return Exit.OK if is_right else Exit.FAILED


def _list(app: App) -> int:
    live = scenarios.driver().LIVE
    rows = [(slug, "live, rehearsed" if slug in live else "rehearsed", _story(slug)) for slug in scenarios.slugs()]
    if app.is_json:
        app.screen.document([{"name": slug, "live": slug in live, "about": about} for slug, _, about in rows])
    else:
        app.screen.table(["scenario", "plays", "about"], rows, last_folds=True)
    return Exit.OK


def _named(text: str) -> list[Any]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(slug) for slug in scenarios.slugs() if slug.startswith(text)]


def _title(file: Path) -> str:
    first = file.with_name("README.md").read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ").strip()


def _story(slug: str) -> str:
    text = scenarios.world_file(slug).with_name("README.md").read_text(encoding="utf-8")
    line = next((line for line in text.splitlines()[1:] if line.strip()), "")
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", line)
    return plain.partition(" The model is a reduction")[0].rstrip(".:")


# Live


def _lived(app: App, told: Told, typed: dict[str, Any]) -> tuple[Told, bool]:
    """Play it live; tell what came of it, and whether that was what was promised."""
    import asyncio
    import tempfile

    name, seed = told.name, typed["seed"]
    parts = [False] if typed["uncoordinated"] else [False, True]
    is_right = True
    for is_coordinated in parts:
        app.screen.say()
        app.screen.say(("Coordinated" if is_coordinated else "Uncoordinated", "bold"), f", seed {seed}")
        path = typed["map_file"] or Path(tempfile.gettempdir()) / f"comity-{name}-map.svg"
        outcome, picture = asyncio.run(_played(name, seed, is_coordinated=is_coordinated))
        _show_course(app, outcome)
        is_right = is_right and (outcome.collapsed_at is None) == is_coordinated
        part = "coordinated" if is_coordinated else "uncoordinated"
        told = msgspec.structs.replace(told, **{part: outcome})
        if is_coordinated:
            told = msgspec.structs.replace(told, map=_drawn(app, path, picture))
    return told, is_right


async def _played(name: str, seed: int, *, is_coordinated: bool) -> tuple[Any, bytes]:
    """Return what came of a run, and the causal map of it where it was coordinated."""
    async with scenarios.driver().Live(name, coordinated=is_coordinated) as live:
        outcome = await live.run(seed)
        if not is_coordinated:
            return outcome, b""
        from comity.coordination.drawing.render import render
        from comity.coordination.drawing.showing import window_diagram

        found = await live.map()
        return outcome, render(window_diagram(found.window, found.loops, title=name), "svg")


def _drawn(app: App, path: Path, picture: bytes) -> str:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
    except OSError as error:
        raise UsageError(
            "not_written",
            f"`{path}` cannot be written: {(error.strerror or str(error)).lower()}",
            hint="`--map FILE` names another place",
        ) from None
    app.screen.say("  who acts on whom, as a picture: ", (str(path), "bold"))
    return str(path)


def _show_course(app: App, outcome: Any) -> None:
    """Show the plant step by step, where something was done, and how it ended."""
    if not app.screen.is_talkative:
        return
    names = [name for name, value in outcome.trace[0].items() if isinstance(value, int | float)]
    shown: list[list[str]] = []
    before: dict[str, int] = {}
    for number, state in enumerate(outcome.trace, start=1):
        whole = {name: state[name] for name in names if isinstance(state[name], int)}
        if whole != before or number in (1, len(outcome.trace)):
            shown.append([str(number), *(f"{state[name]:g}" for name in names)])
        before = whole
    app.screen.table([">step", *(f">{name.replace('_', ' ')}" for name in names)], shown)
    if outcome.collapsed_at is None:
        app.screen.say("  ", (f"✓ it held for {outcome.steps} steps", "green"))
    else:
        errors = len(outcome.errors)
        logs = "no log shows an error" if not errors else f"{errors} lines of the log name an error"
        app.screen.say("  ", (f"✗ lost at step {outcome.collapsed_at}", "bold red"), f"; {logs}")
    for rule, reason, agents in _turned_away(outcome):
        app.screen.say("  ", (f"{rule}: ", "yellow"), f"{reason} ", (f"({agents})", "dim"))


def _turned_away(outcome: Any) -> list[tuple[str, str, str]]:
    """Return what was not let through, once for each rule and verdict, with its first reason and whom it met."""
    found: dict[tuple[str, str], tuple[str, dict[str, int]]] = {}
    for item in outcome.ruled:
        _, agents = found.setdefault((item.verdict, item.rule), (item.reason, {}))
        agents[item.agent] = agents.get(item.agent, 0) + 1
    return [
        (f"{verdict} by {rule}", reason, ", ".join(f"{agent} {count}×" for agent, count in agents.items()))
        for (verdict, rule), (reason, agents) in found.items()
    ]


# Rehearsed


def _rehearsed(app: App, told: Told, file: Path, *, is_alone: bool) -> tuple[Told, bool]:
    """Rehearse it as it is and coordinated; tell what was found, and whether it was what was promised."""
    from comity.coordination.loading import load_world
    from comity.rehearsal import Options, rehearse

    document, folder = load_world(file).document, str(file.parent)
    found = rehearse(document, Options(folder=folder))
    _show_report(app, found)
    told = msgspec.structs.replace(told, rehearsed=found.verdict, minimal_agents=found.minimal_agents or ())
    if is_alone:
        return told, not found.is_safe
    remedy = file.with_name("remedy.yaml")
    if remedy.is_file():
        held = rehearse(load_world(remedy).document, Options(folder=folder))
        is_held, words = held.is_safe, f"{held.verdict}, {held.states:,} states"
    else:
        first = next(iter(found.fixes), None)
        is_held = first is not None and first.is_safe
        words = f"{first.states:,} states, {first.bad_states} bad" if first is not None else "no fix was found"
    sign = ("✓ ", "green") if is_held else ("✗ ", "bold red")
    app.screen.say()
    app.screen.say(("Rehearsed again, with what prevents it: ", "bold"), sign, words)
    return msgspec.structs.replace(told, rehearsed_coordinated=words), not found.is_safe and is_held


def _show_report(app: App, found: Report) -> None:
    from comity.rehearsal.markdown import effect, headline, said

    app.screen.say()
    app.screen.say(("Rehearsed before production: ", "bold"), headline(found).replace("`", ""))
    if not app.screen.is_talkative:
        return
    rows = [(", ".join(item.agents) or "nobody", item.outcome, f"{item.states:,}") for item in found.subsets]
    app.screen.table(["these agents alone", "are", ">states"], rows)
    if found.counterexample is not None:
        steps = [(str(n), step.by, _plain(said(step)), _plain(effect(step)))
                 for n, step in enumerate(found.counterexample.steps, start=1)]  # fmt: skip
        app.screen.table([">", "who", "step", "and then"], steps)
        for broken in found.counterexample.broken:
            app.screen.say("  ", (f"✗ {broken.invariant}", "bold red"), f": {broken.holds} is false")
    fixes = [
        (f"{n}", fix.title, f"{fix.bad_states:,}", f"{fix.attainment:.0%}") for n, fix in enumerate(found.fixes, 1)
    ]
    if fixes:
        app.screen.table([">", "fix, explored again", ">states still bad", ">goals reached"], fixes)


def _plain(text: str) -> str:
    return text.replace("`", "")
