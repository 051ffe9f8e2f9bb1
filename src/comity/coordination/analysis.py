"""What can be said of an expression without trying every state: linear parts, how far it is from false, its range.

`Span` and `Among` are what a value may be: a range of numbers, or one of a few values. `surely` evaluates over them and
leaves out nothing that could be (interval arithmetic; sound, not always tight).
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from itertools import product
from typing import NamedTuple

import msgspec

from comity.core.expression import FUNCTIONS, MAGNITUDE_MAX, Expression, ExpressionError, Value


class Linear(NamedTuple):
    """A condition Σ coefficient·name + constant ≤ 0 (`is_strict`: < 0)."""

    coefficients: dict[str, float]
    constant: float
    is_strict: bool


class Part(msgspec.Struct, frozen=True, gc=False):
    """One of the conditions that an expression joins by `and`.

    `slack` is a number that falls as the condition comes nearer to false, and is negative where it is false; None
    where there is no such measure.
    """

    condition: Expression
    linear: Linear | None
    slack: Expression | None


class Span(NamedTuple):
    """A range of numbers."""

    low: float
    high: float


class Among(NamedTuple):
    """One of a few values."""

    values: frozenset[Value]


Possible = Span | Among
CHOICES_MAX = 1_000
"""A function is tried with every choice of values up to so many."""
_EITHER = Among(frozenset((True, False)))


class Unclear(Exception):
    """Nothing can be said of an expression over these ranges."""


def parts(expression: Expression) -> tuple[Part, ...]:
    """Split an expression into its conditions."""
    return tuple(part for node in _conjuncts(expression.tree) for part in _part(node))


def _conjuncts(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
        return [part for value in node.values for part in _conjuncts(value)]
    if isinstance(node, ast.Compare) and len(node.ops) > 1:
        sides = [node.left, *node.comparators]
        return [
            ast.Compare(left=sides[place], ops=[op], comparators=[sides[place + 1]])
            for place, op in enumerate(node.ops)
        ]
    return [node]


def _part(node: ast.expr) -> list[Part]:
    condition = Expression(ast.unparse(node), node)
    if not isinstance(node, ast.Compare):
        return [Part(condition, None, None)]
    op, left, right = node.ops[0], node.left, node.comparators[0]
    if isinstance(op, ast.Gt | ast.GtE):
        left, right = right, left
    elif not isinstance(op, ast.Lt | ast.LtE):
        return [Part(condition, None, None)]
    gap = ast.BinOp(left=right, op=ast.Sub(), right=left)
    linear = _linear(ast.BinOp(left=left, op=ast.Sub(), right=right))
    is_strict = isinstance(op, ast.Lt | ast.Gt)
    return [
        Part(condition, None if linear is None else Linear(*linear, is_strict), Expression(ast.unparse(gap), gap)),
    ]


def _linear(node: ast.expr) -> tuple[dict[str, float], float] | None:
    """Return coefficients and constant of a linear expression, or None where it is not."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, int | float) and not isinstance(node.value, bool):
            return {}, float(node.value)
        return None
    if isinstance(node, ast.Name):
        return {node.id: 1.0}, 0.0
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        inner = _linear(node.operand)
        return inner if inner is None or isinstance(node.op, ast.UAdd) else _scaled(inner, -1.0)
    if not isinstance(node, ast.BinOp):
        return None
    left, right = _linear(node.left), _linear(node.right)
    if left is None or right is None:
        return None
    if isinstance(node.op, ast.Add | ast.Sub):
        return _sum(left, right if isinstance(node.op, ast.Add) else _scaled(right, -1.0))
    if isinstance(node.op, ast.Mult) and not right[0]:
        return _scaled(left, right[1])
    if isinstance(node.op, ast.Mult) and not left[0]:
        return _scaled(right, left[1])
    if isinstance(node.op, ast.Div) and not right[0] and right[1]:
        return _scaled(left, 1.0 / right[1])
    return None


def _scaled(form: tuple[dict[str, float], float], by: float) -> tuple[dict[str, float], float]:
    return {name: value * by for name, value in form[0].items()}, form[1] * by


def _sum(left: tuple[dict[str, float], float], right: tuple[dict[str, float], float]) -> tuple[dict[str, float], float]:
    total = dict(left[0])
    for name, value in right[0].items():
        total[name] = total.get(name, 0.0) + value
    return total, left[1] + right[1]


def surely(expression: Expression, ranges: Mapping[str, Possible]) -> bool:
    """Tell whether an expression holds whatever its names are within `ranges`; False where that cannot be said."""
    try:
        came = _possible(expression.tree, ranges)
        return isinstance(came, Among) and all(value is True for value in came.values)
    except (Unclear, ExpressionError, ArithmeticError, KeyError, TypeError, ValueError):
        return False


def _truths(value: Possible) -> set[bool]:
    if isinstance(value, Among):
        return {bool(one) for one in value.values}
    return {low_or_high for low_or_high, is_there in _span_truths(value) if is_there}


def _span_truths(value: Span) -> tuple[tuple[bool, bool], ...]:
    is_zero = value.low <= 0 <= value.high
    return (False, is_zero), (True, not (value.low == value.high == 0))


def _truth_of(values: set[bool]) -> Possible:
    return Among(frozenset(values))


def _possible(node: ast.expr, ranges: Mapping[str, Possible]) -> Possible:
    if isinstance(node, ast.Constant):
        return Among(frozenset((node.value,)))  # type: ignore[arg-type]  # the language has only these
    if isinstance(node, ast.Name):
        return ranges[node.id]
    if isinstance(node, ast.BinOp):
        return _within(_binary(node.op, _span(_possible(node.left, ranges)), _span(_possible(node.right, ranges))))
    if isinstance(node, ast.UnaryOp):
        return _unary(node.op, _possible(node.operand, ranges))
    if isinstance(node, ast.BoolOp):
        return _junction(node, ranges)
    if isinstance(node, ast.Compare):
        return _chain(node, ranges)
    if isinstance(node, ast.IfExp):
        truths = _truths(_possible(node.test, ranges))
        sides = [side for side, is_taken in ((node.body, True), (node.orelse, False)) if is_taken in truths]
        return _hull([_possible(side, ranges) for side in sides])
    if isinstance(node, ast.Call):
        return _called(node, [_possible(arg, ranges) for arg in node.args])
    if isinstance(node, ast.Tuple | ast.List):
        singles = [_single(_possible(part, ranges)) for part in node.elts]
        return Among(frozenset((tuple(singles),)))
    raise Unclear


def _within(span: Span) -> Span:
    """Return a span of numbers that an expression can have; beyond them it cannot be evaluated."""
    if span.low >= -MAGNITUDE_MAX and span.high <= MAGNITUDE_MAX:
        return span
    raise Unclear


def _single(value: Possible) -> Value:
    if isinstance(value, Span):
        if value.low == value.high:
            return value.low
        raise Unclear
    if len(value.values) != 1:
        raise Unclear
    return next(iter(value.values))


def _span(value: Possible) -> Span:
    if isinstance(value, Span):
        return value
    numbers = [one for one in value.values if isinstance(one, int | float)]
    if len(numbers) != len(value.values) or not numbers:
        raise Unclear
    return Span(min(numbers), max(numbers))


def _hull(values: list[Possible]) -> Possible:
    if all(isinstance(value, Among) for value in values):
        return Among(frozenset().union(*(value.values for value in values if isinstance(value, Among))))
    spans = [_span(value) for value in values]
    return Span(min(span.low for span in spans), max(span.high for span in spans))


def _corners(apply: Callable[[float, float], float], left: Span, right: Span) -> Span:
    found = [apply(a, b) for a in left for b in right]
    return Span(min(found), max(found))


def _binary(op: ast.operator, left: Span, right: Span) -> Span:
    if isinstance(op, ast.Add):
        return Span(left.low + right.low, left.high + right.high)
    if isinstance(op, ast.Sub):
        return Span(left.low - right.high, left.high - right.low)
    if isinstance(op, ast.Mult):
        return _corners(lambda a, b: a * b, left, right)
    if right.low <= 0 <= right.high:
        raise Unclear
    if isinstance(op, ast.Div):
        return _corners(lambda a, b: a / b, left, right)
    if isinstance(op, ast.FloorDiv):
        return _corners(lambda a, b: a // b, left, right)
    if left.low == left.high and right.low == right.high:
        return Span(left.low % right.low, left.low % right.low)
    return Span(min(0.0, right.low), max(0.0, right.high))


def _unary(op: ast.unaryop, value: Possible) -> Possible:
    if isinstance(op, ast.Not):
        return _truth_of({not one for one in _truths(value)})
    span = _span(value)
    return span if isinstance(op, ast.UAdd) else Span(-span.high, -span.low)


def _junction(node: ast.BoolOp, ranges: Mapping[str, Possible]) -> Possible:
    """Join conditions in their order: what cannot be evaluated matters, unless one before it has decided."""
    decides = isinstance(node.op, ast.Or)
    is_open = False
    for part in node.values:
        truths = _truths(_possible(part, ranges))
        if truths == {decides}:
            return _truth_of({decides})
        is_open = is_open or decides in truths
    return _EITHER if is_open else _truth_of({not decides})


def _chain(node: ast.Compare, ranges: Mapping[str, Possible]) -> Possible:
    sides = [_possible(side, ranges) for side in (node.left, *node.comparators)]
    all_truths = [_compared(op, sides[place], sides[place + 1]) for place, op in enumerate(node.ops)]
    if any(truths == {False} for truths in all_truths):
        return _truth_of({False})
    return _truth_of({True}) if all(truths == {True} for truths in all_truths) else _EITHER


def _compared(op: ast.cmpop, left: Possible, right: Possible) -> set[bool]:
    if isinstance(op, ast.Eq | ast.NotEq):
        same = _equal(left, right)
        return same if isinstance(op, ast.Eq) else {not one for one in same}
    if isinstance(op, ast.In | ast.NotIn):
        inside = _inside(left, right)
        return inside if isinstance(op, ast.In) else {not one for one in inside}
    a, b = _span(left), _span(right)
    if isinstance(op, ast.Gt | ast.GtE):
        a, b = b, a
    if isinstance(op, ast.Lt | ast.Gt):
        return {True} if a.high < b.low else {False} if a.low >= b.high else {True, False}
    return {True} if a.high <= b.low else {False} if a.low > b.high else {True, False}


def _equal(left: Possible, right: Possible) -> set[bool]:
    if isinstance(left, Among) and isinstance(right, Among):
        if not left.values & right.values:
            return {False}
        return {True} if len(left.values | right.values) == 1 else {True, False}
    a, b = _span(left), _span(right)
    if a.high < b.low or b.high < a.low:
        return {False}
    return {True} if a.low == a.high == b.low == b.high else {True, False}


def _inside(left: Possible, right: Possible) -> set[bool]:
    if not isinstance(left, Among) or not isinstance(right, Among):
        raise Unclear
    if not all(isinstance(whole, tuple | frozenset) for whole in right.values):
        raise Unclear
    return {one in whole for one in left.values for whole in right.values if isinstance(whole, tuple | frozenset)}


def _called(node: ast.Call, values: list[Possible]) -> Possible:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    few = [value.values for value in values if isinstance(value, Among)]
    if len(few) == len(values) and math.prod(map(len, few)) <= CHOICES_MAX:
        return Among(frozenset(FUNCTIONS[name](*choice) for choice in product(*few)))
    spans = [_span(value) for value in values]
    if name in ("min", "max") and len(spans) > 1:
        pick = min if name == "min" else max
        return Span(pick(span.low for span in spans), pick(span.high for span in spans))
    if name == "abs" and len(spans) == 1:
        low, high = spans[0]
        return Span(0.0 if low <= 0 <= high else min(abs(low), abs(high)), max(abs(low), abs(high)))
    if name == "round" and len(spans) == 1:
        return Span(round(spans[0].low), round(spans[0].high))
    raise Unclear
