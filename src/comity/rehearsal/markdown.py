"""A report as Markdown: what a person reads at the end of a pipeline."""

from __future__ import annotations

from collections.abc import Iterator

from comity.rehearsal.report import Fix, Report
from comity.rehearsal.trace import Trace, TraceStep

NAMES_SHOWN = 6
SUBSETS_SHOWN = 12
FIXES_SHOWN = 8


def markdown(report: Report, path: str = "") -> str:
    """Return a report as Markdown; `path` is the world file's, for the commands that it proposes."""
    return "\n".join(_lines(report, path)) + "\n"


def headline(report: Report) -> str:
    """Return the verdict as a sentence."""
    many = f"{len(report.agents)} agent{'' if len(report.agents) == 1 else 's'}"
    how = ", coordinated" if report.coordinated else ""
    if report.outcome == "safe":
        return f"{report.verdict}: {many}{how}, {report.states:,} states"
    if report.outcome == "violated" and report.minimal_agents == ():
        return "violated: the surroundings alone break an invariant"
    if report.outcome == "starvation":
        return f"starvation: {', '.join(f'`{item.agent}`' for item in report.starving)} of {many}{how}"
    who = together(report.minimal_agents or ())
    return f"{report.verdict}: {who}{how}, {report.states:,} states of {many}"


def together(agents: tuple[str, ...]) -> str:
    """Return names as one phrase."""
    if len(agents) > NAMES_SHOWN:
        return f"`{agents[0]}` … `{agents[-1]}` ({len(agents)} agents) together"
    shown = [f"`{name}`" for name in agents]
    if len(shown) == 1:
        return f"{shown[0]} alone"
    return f"{', '.join(shown[:-1])} and {shown[-1]} together" if shown else "nobody"


def named(agents: tuple[str, ...]) -> str:
    """Return names with commas, the many in short."""
    if len(agents) > NAMES_SHOWN:
        return f"{agents[0]} … {agents[-1]} ({len(agents)})"
    return ", ".join(agents)


def _lines(report: Report, path: str) -> Iterator[str]:
    yield f"# Rehearsal of {report.world or path or 'a world'}"
    yield ""
    yield f"**{headline(report)}**"
    yield ""
    for item in report.starving:
        yield f"- `{item.agent}`: {item.why}"
    if report.counterexample is not None:
        yield from _counterexample(report.counterexample)
    yield from _subsets(report)
    if report.fixes:
        yield from _fixes(report.fixes, report.bad_states, path)
    yield from _coverage(report)


def _counterexample(trace: Trace) -> Iterator[str]:
    word = "A loop" if trace.ends == "lasso" else "Shortest counterexample"
    yield f"## {word}, {len(trace.steps)} step{'' if len(trace.steps) == 1 else 's'}"
    yield ""
    yield "| | who | step | |"
    yield "|---:|---|---|---|"
    for number, step in enumerate(trace.steps, start=1):
        again = "↻ " if trace.ends == "lasso" and number == trace.loop_from + 1 else ""
        yield f"| {again}{number} | {step.by} | {said(step)} | {effect(step)} |"
    yield ""
    for item in trace.broken:
        terms = ", ".join(f"{name} = {value_text(value)}" for name, value in item.terms.items())
        holds = f": `{item.holds}` is false" if item.holds else " is left"
        yield f"`{item.invariant}`{holds}{f' with {terms}' if terms else ''}"
    if trace.ends == "lasso":
        yield f"From step {trace.loop_from + 1} on it goes round: the surroundings have not moved."
    yield ""


def said(step: TraceStep) -> str:
    """Return what a step is, in words."""
    args = ", ".join(f"{name}={value_text(value)}" for name, value in step.args.items())
    call = f"{step.tool}({args})" if step.tool else ""
    words = {
        "think": f"decides `{call}`",
        "act": f"does `{call}`",
        "refused": f"is refused `{call}`",
        "move": f"`{step.tool}` happens",
        "land": "an effect lands",
        "drop": "an effect never happens",
    }
    fault = f" ({step.fault})" if step.fault else ""
    return words[step.kind] + fault


def effect(step: TraceStep) -> str:
    """Return what a step saw or changed."""
    if step.kind == "think":
        return "sees " + ", ".join(f"{name} = {value_text(value)}" for name, value in step.reads.items())
    changed = ", ".join(f"{item.field} {value_text(item.before)} → {value_text(item.after)}" for item in step.changes)
    return f"{step.rule}{'; ' if step.rule and changed else ''}{changed}"


def value_text(value: object) -> str:
    """Return a field's value as a person reads it."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, tuple | list | frozenset):
        return "{" + ", ".join(str(item) for item in value) + "}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _subsets(report: Report) -> Iterator[str]:
    smaller = [item for item in report.subsets if item.agents != report.minimal_agents and item.outcome != "violated"]
    if report.outcome == "violated" and report.minimal_agents and smaller:
        proven = "each proper subset of them is safe" if report.is_minimal else "fewer of them were not all explored"
        yield f"## Minimal set: {named(report.minimal_agents)}"
        yield ""
        yield f"None can be left out: {proven}."
        yield ""
    if len(report.subsets) > 1:
        yield "| agents | outcome | states | |"
        yield "|---|---|---:|---|"
        for item in report.subsets[-SUBSETS_SHOWN:]:
            who = named(item.agents) or "(surroundings alone)"
            how = "up to the first" if item.outcome == "violated" else "all" if item.is_exhaustive else "as far as seen"
            yield f"| {who} | {item.outcome} | {item.states:,} | {how} |"
        if len(report.subsets) > SUBSETS_SHOWN:
            yield f"| … {len(report.subsets) - SUBSETS_SHOWN} more | | | |"
        yield ""


def _fixes(fixes: tuple[Fix, ...], bad_states: int, path: str) -> Iterator[str]:
    yield "## Fixes, each explored again"
    yield ""
    yield "| | fix | still bad | goals reached | |"
    yield "|---:|---|---:|---:|---|"
    shown = [fix for fix in fixes if fix.bad_states < bad_states or fix.is_safe][:FIXES_SHOWN]
    for number, fix in enumerate(shown, start=1):
        left = "none" if fix.is_safe else f"{fix.bad_states:,}" if fix.bad_states else "none seen"
        lost = f" (−{fix.attainment_lost:.0%})" if fix.attainment_lost else ""
        where = "" if fix.edits else "in code"
        yield f"| {number} | {fix.kind}: {fix.title} | {left} | {fix.attainment:.0%}{lost} | {where} |"
    yield ""
    if len(fixes) > len(shown):
        rest = dict.fromkeys(fix.kind for fix in fixes[len(shown) :])
        yield f"Tried, and of no more help: {len(fixes) - len(shown)} others ({', '.join(rest)})."
        yield ""
    best = fixes[0]
    if best.is_safe and best.patch:
        yield f"The first one, as YAML ({best.how}):"
        yield ""
        yield "```yaml"
        yield best.patch.rstrip()
        yield "```"
        yield ""
        if path:
            yield f"`comity rehearse {path} --apply 1` writes it into the file."
            yield ""


def _coverage(report: Report) -> Iterator[str]:
    yield "## Coverage"
    yield ""
    cover = report.coverage
    parts = (("rules", cover.rules), ("tools", cover.tools), ("invariants", cover.invariants), ("moves", cover.moves))
    counts = [f"{word} {sum(map(bool, table.values()))}/{len(table)}" for word, table in parts if table]
    if cover.faults:
        counts.append(f"faults {sum(map(bool, cover.faults.values()))}/{len(cover.faults)}")
    yield ", ".join(counts) + f"; {report.explored:,} states explored in all"
    if report.never:
        yield ""
        yield f"Never exercised: {', '.join(report.never)}"
    for name in report.warned:
        yield f"\nBroken, and only warned of: `{name}`"
    for note in report.notes:
        yield f"\nNote: {note}"
