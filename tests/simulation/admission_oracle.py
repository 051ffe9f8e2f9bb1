"""What an act may do, found by trying everything: written apart from the engine, and slow.

A *truth* is one possible real world: values, steps within windows, and what still follows from acts that happened.
`harms` tries every interleaving of what is in flight, each act happening or not, each consequence showing or not.
Expressions are evaluated by Python itself.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import product
from types import CodeType
from typing import Any

Value = Any
BUILTINS: Mapping[str, Any] = {"__builtins__": {}, "min": min, "max": max, "abs": abs, "len": len}
GUESSES: Mapping[str, tuple[Value, ...]] = {
    "a": (-3, 0, 2, 7),
    "b": (-3, 0, 2, 7),
    "p": (False, True),
    "t": ("up", "down"),
    "s": ((), ("m",), ("m", "n")),
}
"""What a field of which nothing is known may really be."""


@dataclass(frozen=True)
class Touch:
    """A touch: a field, how, and with what."""

    field: str
    op: str
    value: Value


@dataclass(frozen=True)
class Link:
    """A step at `source` means `gain` times as much at `target` after `lag_s`."""

    source: str
    target: str
    gain: int
    lag_s: float


@dataclass(frozen=True)
class Name:
    """A name of an invariant: how it is made (`field`, `sum`, `count_within` …), of which fields, over which window."""

    how: str
    pattern: str
    window_us: int = 0


@dataclass(frozen=True)
class Law:
    """An invariant, with no templates in it."""

    kind: str
    names: tuple[tuple[str, Name], ...]
    holds: str


@dataclass(frozen=True)
class Truth:
    """A possible real world: values by field, and steps (when, which field, how, by how much)."""

    values: tuple[tuple[str, Value], ...]
    steps: tuple[tuple[int, str, float], ...] = ()

    def get(self, field: str) -> Value:
        """Return a value."""
        return dict(self.values)[field]


@dataclass(frozen=True)
class Act:
    """An act on its way: what it still does at once (None: done), and what then follows, by lag."""

    touches: tuple[Touch, ...] | None
    owed: tuple[tuple[float, tuple[tuple[str, float], ...]], ...] = ()


def changed(value: Value, touch: Touch) -> Value:
    """Return a value after a touch."""
    if touch.op == "set":
        return touch.value
    if value is None:
        return None
    if touch.op == "add":
        return value + touch.value
    return tuple(sorted({*value, touch.value} if touch.op == "append" else {*value} - {touch.value}))


def reach(links: Sequence[Link], field: str, gain: float, lag_s: float, path: tuple[str, ...]) -> Iterator[Any]:
    """Yield what a step at a field means elsewhere, three links deep: (field, gain, lag)."""
    for link in links:
        if link.source == field and link.target not in path and len(path) <= 3:
            far = (link.target, gain * link.gain, lag_s + link.lag_s)
            yield far
            yield from reach(links, far[0], far[1], far[2], (*path, link.target))


def happen(truth: Truth, act: Act, links: Sequence[Link], at_us: int, horizon_s: float) -> tuple[Truth, Act]:
    """Let an act do what it does at once; return the world and what it still owes (within the horizon)."""
    values, steps = dict(truth.values), list(truth.steps)
    owed: dict[float, list[tuple[str, float]]] = {}
    for touch in act.touches or ():
        before = values[touch.field]
        values[touch.field] = after = changed(before, touch)
        steps.append((at_us, touch.field, touch.value if touch.op == "add" else 1))
        if isinstance(after, int | float) and isinstance(before, int | float):
            for field, gain, lag_s in reach(links, touch.field, 1, 0, (touch.field,)):
                if (after - before) * gain and lag_s <= horizon_s:
                    owed.setdefault(lag_s, []).append((field, (after - before) * gain))
    due = tuple((lag_s, tuple(owed[lag_s])) for lag_s in sorted(owed))
    return Truth(tuple(values.items()), tuple(steps)), Act(None, due)


def follow(truth: Truth, act: Act) -> tuple[Truth, Act]:
    """Let the next thing that an act owes show."""
    values = dict(truth.values)
    for field, step in act.owed[0][1]:
        values[field] = None if values[field] is None else values[field] + step
    return Truth(tuple(values.items()), truth.steps), Act(None, act.owed[1:])


def moved(
    truth: Truth, act: Act, links: Sequence[Link], now_us: int, horizon_s: float = 300.0
) -> tuple[Truth, Act] | None:
    """Return the world after an act's next move, None where it has none."""
    if act.touches is not None:
        return happen(truth, act, links, now_us, horizon_s)
    return follow(truth, act) if act.owed else None


# Laws


@lru_cache(10_000)
def clauses(text: str) -> list[tuple[str, str]]:
    """Split an expression at `and` and chains: (what must hold, how far it is from false, empty where nothing says)."""

    def split(node: ast.expr) -> Iterator[tuple[str, str]]:
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
            for part in node.values:
                yield from split(part)
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            for place, op in enumerate(node.ops):
                low, high = ast.unparse(sides[place]), ast.unparse(sides[place + 1])
                word = ast.unparse(ast.Compare(sides[place], [op], [sides[place + 1]]))
                if isinstance(op, ast.Gt | ast.GtE):
                    low, high = high, low
                is_order = isinstance(op, ast.Gt | ast.GtE | ast.Lt | ast.LtE)
                yield word, f"({high}) - ({low})" if is_order else ""
        else:
            yield ast.unparse(node), ""

    return list(split(ast.parse(text, mode="eval").body))


@lru_cache(10_000)
def code(text: str) -> CodeType:
    """Return an expression compiled."""
    return compile(text, "law", "eval")


@lru_cache(10_000)
def meant(pattern: str, fields: tuple[str, ...]) -> list[str]:
    """Return the fields that a pattern means."""
    return [field for field in fields if fnmatchcase(field, pattern)]


def told(law: Law, truth: Truth, now_us: int) -> dict[str, Value]:
    """Return what the names of a law come to."""
    values = dict(truth.values)
    made: dict[str, Value] = {}
    for word, name in law.names:
        fields = meant(name.pattern, tuple(values))
        if name.how.endswith("_within"):
            steps = [by for at_us, field, by in truth.steps if field in fields and at_us > now_us - name.window_us]
            made[word] = sum(steps) if name.how == "sum_within" else len(steps)
            continue
        held = [values[field] for field in fields]
        reduce: Callable[[Any], Any] = {"sum": sum, "max": max, "min": min, "count": len}.get(name.how, lambda x: x[0])
        made[word] = reduce(held)
    return made


def stands(text: str, names: Mapping[str, Value]) -> bool:
    """Tell whether a clause holds; what cannot be evaluated does not."""
    try:
        return eval(code(text), dict(BUILTINS), dict(names)) is True
    except (TypeError, ZeroDivisionError):
        return False


def slack(text: str, names: Mapping[str, Value]) -> float | None:
    """Return how far a clause is from false, None where nothing says."""
    try:
        return eval(code(text), dict(BUILTINS), dict(names)) if text else None
    except (TypeError, ZeroDivisionError):
        return None


def moments(law: Law, truth: Truth, now_us: int) -> list[int]:
    """Return now, and each later moment at which a step leaves a window of the law."""
    widths = {name.window_us for _, name in law.names if name.window_us}
    ends = {at_us + width for at_us, _, _ in truth.steps for width in widths}
    return [now_us, *sorted(end for end in ends if end > now_us)]


def worse(law: Law, truth: Truth, without: Truth, now_us: int) -> bool:
    """Tell whether a law is broken in a world and was not without the act, or is broken more."""
    for at_us in moments(law, truth, now_us):  # has the steps of `without`, and the act's own
        names, others = told(law, truth, at_us), told(law, without, at_us)
        for text, gap in clauses(law.holds):
            if stands(text, names):
                continue
            if stands(text, others):
                return True
            one, other = slack(gap, names), slack(gap, others)
            if one is not None and other is not None and one < other:
                return True
    return False


def broken(laws: Sequence[Law], truth: Truth, now_us: int) -> Law | None:
    """Return a law that is false in a world."""
    for law in laws:
        names = told(law, truth, now_us)
        if not all(stands(text, names) for text, _ in clauses(law.holds)):
            return law
    return None


# Everything that may come


def harms(
    laws: Sequence[Law], links: Sequence[Link], truth: Truth, flying: Sequence[Act], mine: Act, now_us: int
) -> Law | None:
    """Return a law that the act could break, whatever becomes of what is in flight; None where there is none."""
    unknown = [field for field, value in truth.values if value is None]
    guesses = [GUESSES[field.rsplit(".", 1)[1]] for field in unknown]
    for guess in product(*guesses):
        real = Truth(tuple({**dict(truth.values), **dict(zip(unknown, guess, strict=True))}.items()), truth.steps)
        found = _harms(laws, links, real, flying, mine, now_us)
        if found is not None:
            return found
    return None


def _harms(
    laws: Sequence[Law], links: Sequence[Link], truth: Truth, flying: Sequence[Act], mine: Act, now_us: int
) -> Law | None:
    start = (truth, truth, tuple((act, act) for act in flying), mine)
    seen, todo = {start}, [start]
    while todo:
        here, without, acts, own = todo.pop()
        if own is not mine:
            for law in laws:
                if worse(law, here, without, now_us):
                    return law
        for state in _next(here, without, acts, own, links, now_us):
            if state not in seen:
                seen.add(state)
                todo.append(state)
    return None


def _next(here: Truth, without: Truth, acts: Any, own: Act, links: Sequence[Link], now_us: int) -> Iterator[Any]:
    step = moved(here, own, links, now_us)
    if step is not None:
        yield step[0], without, acts, step[1]
    for place, (act, twin) in enumerate(acts):
        one, other = moved(here, act, links, now_us), moved(without, twin, links, now_us)
        if one is None and other is None:
            continue
        here_after, act_after = one or (here, act)
        without_after, twin_after = other or (without, twin)
        yield here_after, without_after, (*acts[:place], (act_after, twin_after), *acts[place + 1 :]), own


def possible(
    laws: Sequence[Law], links: Sequence[Link], truth: Truth, flying: Sequence[Act], now_us: int
) -> Law | None:
    """Return a law that is false in some world that may come of what is in flight, None where there is none."""
    start = (truth, tuple(flying))
    seen, todo = {start}, [start]
    while todo:
        here, acts = todo.pop()
        for at_us in {moment for law in laws for moment in moments(law, here, now_us)}:
            found = broken(laws, here, at_us)
            if found is not None:
                return found
        for place, act in enumerate(acts):
            step = moved(here, act, links, now_us)
            if step is not None:
                state = (step[0], (*acts[:place], step[1], *acts[place + 1 :]))
                if state not in seen:
                    seen.add(state)
                    todo.append(state)
    return None
