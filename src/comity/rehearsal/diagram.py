"""A trace as a sequence diagram, in SVG: agents beside each other, the world at the right, time goes down."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from comity.rehearsal.markdown import effect, said, value_text
from comity.rehearsal.trace import Trace, TraceStep

LANE, WORLD, ROW, TOP, LEFT = 210, 270, 56, 64, 44
CHARS = 6.2
"""The width of a character at the size of labels, in pixels."""
INK, SOFT, LINE, BAD, GOOD, WARM = "#1d2733", "#5b6b7c", "#c9d2dc", "#b3261e", "#1f6f54", "#8a5a00"
_COLOURS = {"think": SOFT, "act": GOOD, "refused": WARM, "move": "#3b5b92", "land": GOOD, "drop": WARM}


def diagram(trace: Trace) -> str:
    """Return a trace as an SVG picture."""
    lanes = list(dict.fromkeys([*trace.agents, *(step.by for step in trace.steps)]))
    width = LEFT + LANE * len(lanes) + WORLD + 70
    height = TOP + ROW * len(trace.steps) + 20 + 26 * max(1, len(trace.broken))
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    font = 'font-family="system-ui, sans-serif" font-size="12"'
    made = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font} role="img" aria-label="sequence diagram">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *_loop(trace, width),
        *_heads(lanes, height),
    ]
    for row, step in enumerate(trace.steps):
        made += _row(step, row, lanes)
    made += _end(trace, width, height)
    return "\n".join([*made, "</svg>"])


def _centre(place: int) -> float:
    return LEFT + LANE * place + LANE / 2


def _world(lanes: list[str]) -> float:
    return LEFT + LANE * len(lanes) + WORLD


def _heads(lanes: list[str], height: int) -> Iterator[str]:
    spots = [(name, _centre(place)) for place, name in enumerate(lanes)] + [("world", _world(lanes))]
    for name, x in spots:
        wide = max(90, len(name) * 7.4 + 24)
        is_world = name == "world" and x == _world(lanes)
        fill = INK if is_world else "#eef2f6"
        yield f'<line x1="{x}" y1="44" x2="{x}" y2="{height - 22}" stroke="{LINE}"/>'
        yield f'<rect x="{x - wide / 2}" y="16" width="{wide}" height="28" rx="6" fill="{fill}" stroke="{LINE}"/>'
        colour = "#ffffff" if is_world else INK
        yield f'<text x="{x}" y="34" text-anchor="middle" font-weight="600" fill="{colour}">{escape(name)}</text>'


def _row(step: TraceStep, row: int, lanes: list[str]) -> Iterator[str]:
    y = TOP + ROW * row + 30
    mine, world = _centre(lanes.index(step.by)), _world(lanes)
    colour = _COLOURS[step.kind]
    begin, end = (world, mine) if step.kind == "think" else (mine, world)
    dash = ' stroke-dasharray="5 4"' if step.kind in ("think", "refused", "drop") else ""
    tip = 7 if end > begin else -7
    yield f'<text x="{LEFT / 2}" y="{y + 4}" text-anchor="middle" fill="{SOFT}">{row + 1}</text>'
    yield f'<line x1="{begin}" y1="{y}" x2="{end - tip}" y2="{y}" stroke="{colour}" stroke-width="1.6"{dash}/>'
    yield f'<path d="M{end} {y} l{-tip} -4 l0 8 z" fill="{colour}"/>'
    yield f'<circle cx="{mine}" cy="{y}" r="4" fill="{colour}"/>'
    above, below = said(step).replace("`", ""), effect(step)
    for text, at, tone in ((above, y - 7, INK), (below, y + 16, colour)):
        yield from _label(text, at, tone, (mine + 10, world - 10))


def _label(text: str, y: float, colour: str, room: tuple[float, float]) -> Iterator[str]:
    """Write a label beside the agent's lane, cut to the room that there is; the whole of it shows on a pointer."""
    if not text:
        return
    fits = int((room[1] - room[0]) / CHARS)
    shown = text if len(text) <= fits else text[: fits - 1] + "…"
    wide = len(shown) * CHARS + 4
    yield f'<rect x="{room[0] - 2}" y="{y - 11}" width="{wide}" height="14" fill="#ffffff" fill-opacity="0.88"/>'
    yield f'<text x="{room[0]}" y="{y}" fill="{colour}"><title>{escape(text)}</title>{escape(shown)}</text>'


def _loop(trace: Trace, width: int) -> Iterator[str]:
    if trace.ends == "lasso":
        y = TOP + ROW * trace.loop_from + 4
        tall = ROW * (len(trace.steps) - trace.loop_from)
        yield f'<rect x="8" y="{y}" width="{width - 16}" height="{tall}" rx="8" fill="#fff7e6" stroke="{WARM}"/>'
        yield f'<text x="{width - 20}" y="{y + 16}" text-anchor="end" fill="{WARM}">and again</text>'


def _end(trace: Trace, width: int, height: int) -> Iterator[str]:
    y = TOP + ROW * len(trace.steps) + 12
    for item in trace.broken:
        terms = ", ".join(f"{name} = {value_text(value)}" for name, value in item.terms.items())
        text = f"{item.invariant}: {item.holds or 'left'} is false{f', with {terms}' if terms else ''}"
        yield f'<rect x="8" y="{y}" width="{width - 16}" height="22" rx="5" fill="{BAD}"/>'
        yield f'<text x="{width / 2}" y="{y + 15}" text-anchor="middle" fill="#fff">{escape(text)}</text>'
        y += 26
    if trace.ends == "run":
        yield f'<text x="{width / 2}" y="{height - 12}" text-anchor="middle" fill="{SOFT}">the run ends</text>'
