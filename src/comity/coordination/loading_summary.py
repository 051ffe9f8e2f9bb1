"""What a world file was understood to say, for people: kinds, rules with their class, tools, and what nobody names."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from comity.coordination.analysis import parts
from comity.coordination.document import Aggregate, InvariantSection, WorldDocument
from comity.coordination.loading_names import Fields, overlap
from comity.core.expression import Expression, parse

_AGGREGATES = ("sum", "count", "max", "min")


class KindSummary(msgspec.Struct, frozen=True):
    """A kind: the template of its ids, its fields, and how many resources are there from the start."""

    kind: str
    id: str
    fields: tuple[str, ...]
    resources: int


class RuleSummary(msgspec.Struct, frozen=True):
    """An invariant: its class (`linear`, `monotone`, `general`; over an `aggregate`, over a `window`), and its mode."""

    invariant: str
    holds: str
    shape: str
    mode: str
    severity: str
    fields: tuple[str, ...]


class ToolSummary(msgspec.Struct, frozen=True):
    """A tool: what it touches, rests on and observes."""

    tool: str
    touches: tuple[str, ...]
    premises: tuple[str, ...]
    observes: tuple[str, ...]


class WorldSummary(msgspec.Struct, frozen=True):
    """A world file, understood. `uncovered` fields are named by no invariant and no tool.

    What is read into `only_proposed` fields counts for nothing: nobody who reads them may observe them.
    """

    kinds: tuple[KindSummary, ...]
    invariants: tuple[RuleSummary, ...]
    tools: tuple[ToolSummary, ...]
    uncovered: tuple[str, ...]
    only_proposed: tuple[str, ...]


def summary(document: WorldDocument) -> WorldSummary:
    """Return what a document that was checked says."""
    fields = Fields(document.kinds)
    of_kind: dict[str, int] = {}
    for resource in document.resources:
        kind = fields.kind_of(resource)
        of_kind[kind] = of_kind.get(kind, 0) + 1
    return WorldSummary(
        tuple(
            KindSummary(name, kind.id, tuple(kind.fields), of_kind.get(name, 0))
            for name, kind in document.kinds.items()
        ),
        tuple(_rule(name, section, fields) for name, section in document.invariants.items()),
        tuple(
            ToolSummary(
                name,
                tuple(f"{item.field} {item.op} {item.value}" for item in tool.touches),
                tuple(f"{item.field}: {item.holds}" for item in tool.premises),
                tuple(tool.observes),
            )
            for name, tool in document.tools.items()
        ),
        tuple(_uncovered(document)),
        tuple(_only_proposed(document)),
    )


def shape_of(section: InvariantSection, fields: Fields) -> str:
    """Return the class of an invariant: how admission judges it over what is in flight."""
    expression = parse(section.holds)
    lows = {name: _is_positive(item, fields) for name, item in section.let.items()}
    found = parts(expression)
    if all(part.linear is not None for part in found):
        shape = "linear"
    elif all(_is_monotone(part.condition, lows) for part in found):
        shape = "monotone"
    else:
        shape = "general"
    aggregates = [item for item in section.let.values() if isinstance(item, Aggregate)]
    if any(item.within for item in aggregates):
        return f"{shape}, over a window"
    return f"{shape}, over an aggregate" if aggregates else shape


def texts_of(item: str | Aggregate) -> list[str]:
    """Return the field templates of a name in `let`."""
    return [item] if isinstance(item, str) else [text for how in _AGGREGATES if (text := getattr(item, how))]


def _rule(name: str, section: InvariantSection, fields: Fields) -> RuleSummary:
    texts = tuple(dict.fromkeys(text for item in section.let.values() for text in texts_of(item)))
    return RuleSummary(name, section.holds, shape_of(section, fields), section.mode, section.severity, texts)


def _uncovered(document: WorldDocument) -> Iterator[str]:
    named = [text for rule in document.invariants.values() for item in rule.let.values() for text in texts_of(item)]
    for tool in document.tools.values():
        named += [touch.field for touch in tool.touches]
        named += [premise.field for premise in tool.premises]
        named += tool.observes
    named += [contract.artefact for contract in document.contracts.values()]
    yield from _without(document, named)


def _without(document: WorldDocument, named: Iterable[str]) -> Iterator[str]:
    texts = tuple(dict.fromkeys(named))
    for kind in document.kinds.values():
        for name in kind.fields:
            field = f"{kind.id}.{name}"
            if not any(overlap(field, text) for text in texts):
                yield field


def _only_proposed(document: WorldDocument) -> Iterator[str]:
    polled = [field for poll in document.polls.values() for field in document.tools[poll.tool].observes]
    scraped = [field for scrape in document.scrapes.values() for field in scrape.fields]
    for principal, read in (("poll", polled), ("scrape", scraped)):
        granted = [text for text, who in document.authority.observe.items() if principal in who]
        yield from (field for field in dict.fromkeys(read) if not any(overlap(field, text) for text in granted))


# How an expression moves with its names


def _is_positive(item: str | Aggregate, fields: Fields) -> bool:
    """Tell whether a name is never below zero, so that a product of such moves one way."""
    if isinstance(item, Aggregate) and item.count:
        return True
    found = [field for text in texts_of(item) for field in fields.find(text).fields]
    return bool(found) and all(field.low is not None and field.low >= 0 for field in found)


def _is_monotone(condition: Expression, positive: Mapping[str, bool]) -> bool:
    """Tell whether a condition comes nearer to false in one direction of each name."""
    node = condition.tree
    if isinstance(node, ast.Name):
        return True
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return isinstance(node.operand, ast.Name)
    if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Lt | ast.LtE | ast.Gt | ast.GtE):
        return False
    moves = _sum(_moves(node.left, positive), _turned(_moves(node.comparators[0], positive)))
    return moves is not None and 0 not in moves.values()


Moves = dict[str, int]
"""Which way a value goes with each name that it reads: 1 up, -1 down, 0 either."""


def _moves(node: ast.expr, positive: Mapping[str, bool]) -> Moves | None:
    if isinstance(node, ast.Constant):
        return {}
    if isinstance(node, ast.Name):
        return {node.id: 1}
    if isinstance(node, ast.UnaryOp):
        inner = _moves(node.operand, positive)
        return _turned(inner) if isinstance(node.op, ast.USub) else inner if isinstance(node.op, ast.UAdd) else None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("min", "max", "round"):
        found: Moves | None = {}
        for part in node.args:
            found = _sum(found, _moves(part, positive))
        return found
    if not isinstance(node, ast.BinOp):
        return None
    left, right = _moves(node.left, positive), _moves(node.right, positive)
    if isinstance(node.op, ast.Add | ast.Sub):
        return _sum(left, right if isinstance(node.op, ast.Add) else _turned(right))
    if isinstance(node.op, ast.Mult | ast.Div) and isinstance(node.right, ast.Constant):
        return _scaled(left, node.right.value)
    if isinstance(node.op, ast.Mult) and isinstance(node.left, ast.Constant):
        return _scaled(right, node.left.value)
    if isinstance(node.op, ast.Mult) and _never_negative(node.left, positive) and _never_negative(node.right, positive):
        return _sum(left, right)
    return None


def _scaled(moves: Moves | None, by: object) -> Moves | None:
    if not isinstance(by, int | float) or not by:
        return None
    return moves if by > 0 else _turned(moves)


def _never_negative(node: ast.expr, positive: Mapping[str, bool]) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float) and node.value >= 0
    if isinstance(node, ast.Name):
        return positive.get(node.id, False)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mult):
        return _never_negative(node.left, positive) and _never_negative(node.right, positive)
    return False


def _sum(left: Moves | None, right: Moves | None) -> Moves | None:
    if left is None or right is None:
        return None
    both = {**left, **right}
    return {name: way if left.get(name, way) == way else 0 for name, way in both.items()}


def _turned(moves: Moves | None) -> Moves | None:
    return None if moves is None else {name: -way for name, way in moves.items()}
