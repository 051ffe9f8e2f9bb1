"""A report as one page that needs nothing else: the verdict, the sequence diagram, the fixes, what was covered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from comity.rehearsal.diagram import diagram
from comity.rehearsal.markdown import effect, headline, named, said
from comity.rehearsal.report import Report

_STYLE = """
:root { color-scheme: light; --ink: #1d2733; --soft: #5b6b7c; --line: #dfe5eb; --bad: #b3261e; --good: #1f6f54; }
* { box-sizing: border-box; }
body { margin: 0; background: #f5f7f9; color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 22px; margin: 0 0 12px; } h2 { font-size: 16px; margin: 32px 0 10px; }
.verdict { padding: 14px 18px; border-radius: 10px; color: #fff; font-weight: 600; }
.safe { background: var(--good); } .violated, .lasso, .starvation { background: var(--bad); }
.card { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; color: var(--soft); font-weight: 500; } th, td { padding: 6px 12px 6px 0; vertical-align: top; }
tr + tr td { border-top: 1px solid var(--line); } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
pre { background: #f5f7f9; border-radius: 8px; padding: 12px; overflow-x: auto; font-size: 13px; }
code { font-size: 13px; } summary { cursor: pointer; } .soft { color: var(--soft); } .good { color: var(--good); }
.bad { color: var(--bad); } svg { max-width: 100%; height: auto; }
"""


def page(report: Report) -> str:
    """Return a report as HTML."""
    name = escape(report.world or "a world")
    body = "\n".join(_sections(report))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>Rehearsal of {name}</title>'
        f"<style>{_STYLE}</style></head><body><main><h1>Rehearsal of {name}</h1>\n"
        f"{body}\n</main></body></html>\n"
    )


def _sections(report: Report) -> Iterator[str]:
    yield f'<div class="verdict {report.outcome}">{_coded(headline(report))}</div>'
    for item in report.starving:
        yield f"<p><code>{escape(item.agent)}</code>: {escape(item.why)}</p>"
    trace = report.counterexample
    if trace is not None:
        word = "The loop" if trace.ends == "lasso" else "Shortest counterexample"
        yield f"<h2>{word}, {len(trace.steps)} steps</h2>"
        yield f'<div class="card">{diagram(trace)}</div>'
        rows = (
            (str(number), escape(step.by), _coded(said(step)), escape(effect(step)))
            for number, step in enumerate(trace.steps, start=1)
        )
        yield f"<details><summary class='soft'>as a table</summary>{_table(('', 'who', 'step', ''), rows)}</details>"
    yield from _fixes(report)
    yield from _subsets(report)
    yield from _coverage(report)


def _fixes(report: Report) -> Iterator[str]:
    if not report.fixes:
        return
    yield "<h2>Fixes, each explored again</h2>"
    rows = []
    for number, fix in enumerate(report.fixes, start=1):
        left = "<span class='good'>none</span>" if fix.is_safe else f"<span class='bad'>{fix.bad_states:,}</span>"
        patch = f"<pre>{escape(fix.patch)}</pre>" if fix.patch else ""
        text = f"<details><summary>{_coded(fix.title)}</summary><p class='soft'>{_coded(fix.how)}</p>{patch}</details>"
        lost = f" <span class='soft'>(−{fix.attainment_lost:.0%})</span>" if fix.attainment_lost else ""
        rows.append((str(number), fix.kind, text, left, f"{fix.attainment:.0%}{lost}", f"{fix.states:,}"))
    yield f'<div class="card">{_table(("", "kind", "fix", ">still bad", ">goals reached", ">states"), rows)}</div>'


def _subsets(report: Report) -> Iterator[str]:
    if len(report.subsets) < 2:
        return
    yield "<h2>Sets of agents</h2>"
    rows = (
        (
            escape(named(item.agents)) or "<span class='soft'>surroundings alone</span>",
            f"<span class='{'good' if item.outcome == 'safe' else 'bad'}'>{item.outcome}</span>",
            f"{item.states:,}",
        )
        for item in report.subsets
    )
    yield f'<div class="card">{_table(("agents", "outcome", ">states"), rows)}</div>'


def _coverage(report: Report) -> Iterator[str]:
    yield "<h2>Coverage</h2>"
    cover = report.coverage
    parts = (
        ("rule", cover.rules),
        ("tool", cover.tools),
        ("invariant", cover.invariants),
        ("move", cover.moves),
        ("fault", cover.faults),
    )
    rows = (
        (word, escape(name), f"{count:,}" if count else "<span class='bad'>never</span>")
        for word, table in parts
        for name, count in table.items()
    )
    yield f'<div class="card">{_table(("", "what", ">met"), rows)}</div>'
    for note in report.notes:
        yield f"<p class='soft'>{escape(note)}</p>"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(heads)
    kinds = [" class='n'" if name.startswith(">") else "" for name in names]
    top = "".join(f"<th{kind}>{name.lstrip('>')}</th>" for name, kind in zip(names, kinds, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _coded(text: str) -> str:
    """Return text with what stands in backticks as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))
