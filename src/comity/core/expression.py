"""The safe expression language: a small, bounded subset of Python's expressions, compiled to closures.

Numbers, booleans, text, lists of these, names; arithmetic, comparisons, `and`, `or`, `not`, `in`, `a if b else c`, and
the functions `min`, `max`, `abs`, `len`, `round`, `distinct` (how many different ones). There are no attributes, calls,
comprehensions or assignments, so an expression ends, changes nothing and reaches nothing.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from comity.core.errors import UsageError

Value = bool | int | float | str | None | tuple["Value", ...] | frozenset["Value"]
Compiled = Callable[[Mapping[str, Value]], Value]

EXPRESSION_CHARS_MAX: Final = 2_000
EXPRESSION_NODES_MAX: Final = 300
EXPRESSION_DEPTH_MAX: Final = 40
MAGNITUDE_MAX: Final = 1e18
"""No number that an expression meets or makes is larger: sums stay exact enough, products bounded."""

FUNCTIONS: Final[Mapping[str, Callable[..., Value]]] = {
    "min": min,
    "max": max,
    "abs": abs,
    "len": len,
    "round": lambda value, digits=0: _rounded(value, digits),
    "distinct": lambda values: len(set(values)),
}


def _rounded(value: Value, digits: Value) -> Value:
    """Round; more digits than a number below 1e18 has would only take time."""
    if not isinstance(digits, int) or not -18 <= digits <= 18:
        raise ValueError(f"`{str(digits)[:30]}` is no count of digits from -18 to 18")
    return round(_number(value), digits) if digits else round(_number(value))


_HINT = "an expression has numbers, text, names, + - * / // %, comparisons, and, or, not, in, if-else, " + ", ".join(
    FUNCTIONS
)


class ExpressionError(UsageError):
    """An expression that does not parse, or that cannot be evaluated over the values that it met."""


class Expression:
    """A parsed expression: `names` are what it reads, `tree` what analyses look at; call it with values by name.

    Cost: linear in its nodes, of which there are at most `EXPRESSION_NODES_MAX`.
    """

    __slots__ = ("_run", "names", "text", "tree")

    def __init__(self, text: str, tree: ast.expr) -> None:
        """Compile a tree that `parse` has checked."""
        self.text = text
        self.tree = tree
        self.names = frozenset(node.id for node in _read_names(tree))
        self._run = _compiled(tree)

    def __call__(self, values: Mapping[str, Value]) -> Value:
        """Return its value.

        Raises:
            ExpressionError: a name has no value, types do not fit, or a number is too large or undefined.
        """
        try:
            return self._run(values)
        except KeyError as error:
            raise self._error(f"there is no value for {error}") from None
        except (TypeError, ValueError, ArithmeticError) as error:
            raise self._error(str(error)) from None

    def holds(self, values: Mapping[str, Value]) -> bool:
        """Return its value, which must be a boolean.

        Raises:
            ExpressionError: as for a call, or it is something else.
        """
        value = self(values)
        if value is not True and value is not False:
            raise self._error(f"it came to `{value}`, not to true or false")
        return value

    def _error(self, why: str) -> ExpressionError:
        return ExpressionError("expression_failed", f"`{self.text}` cannot be evaluated: {why}", hint=_HINT)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"


def parse(text: str, names: Iterable[str] | None = None) -> Expression:
    """Parse an expression; where `names` are given it may read no others.

    Raises:
        ExpressionError: it is too long, no expression, or has what the language does not.
    """
    if len(text) > EXPRESSION_CHARS_MAX:
        raise _refused(text[:60] + "…", f"it has {len(text)} characters, at most {EXPRESSION_CHARS_MAX} are read")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        where = f" at column {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
        why = error.msg if isinstance(error, SyntaxError) else str(error)
        raise _refused(text, f"{why}{where}") from None
    _check(text, tree)
    made = Expression(text.strip(), tree)
    if names is not None:
        known = sorted(names)
        unknown = sorted(made.names - set(known))
        if unknown:
            there = f"there are: {', '.join(f'`{name}`' for name in known)}" if known else "it may read no names"
            raise ExpressionError("unknown_name", f"`{text}` reads `{unknown[0]}`, which is not there", hint=there)
    return made


def _refused(text: str, why: str) -> ExpressionError:
    return ExpressionError("bad_expression", f"`{text}` is no expression: {why}", hint=_HINT)


def _check(text: str, tree: ast.expr) -> None:
    todo: list[tuple[ast.AST, int]] = [(tree, 1)]
    count = 0
    while todo:
        node, depth = todo.pop()
        count += 1
        if count > EXPRESSION_NODES_MAX or depth > EXPRESSION_DEPTH_MAX:
            raise _refused(text, f"it is larger than {EXPRESSION_NODES_MAX} parts, {EXPRESSION_DEPTH_MAX} deep")
        why = _fault(node)
        if why:
            raise _refused(text, why)
        todo += [(child, depth + 1) for child in ast.iter_child_nodes(node) if not isinstance(child, _WORDS)]


_WORDS: Final = (ast.expr_context, ast.operator, ast.unaryop, ast.cmpop, ast.boolop)


def _fault(node: ast.AST) -> str:
    """Return why the language has no such node, empty where it has."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bool | str) or node.value is None:
            return ""
        if isinstance(node.value, int | float) and abs(node.value) <= MAGNITUDE_MAX:
            return ""
        return f"`{ast.unparse(node)}` is no number below 1e18, text, True, False or None"
    if isinstance(node, ast.BinOp):
        return "" if type(node.op) in _BINARY else f"`{type(node.op).__name__}` is no operator here"
    if isinstance(node, ast.UnaryOp):
        return "" if type(node.op) in _UNARY else f"`{type(node.op).__name__}` is no operator here"
    if isinstance(node, ast.Compare):
        odd = next((op for op in node.ops if type(op) not in _COMPARE), None)
        return "" if odd is None else f"`{type(odd).__name__}` is no comparison here"
    if isinstance(node, ast.Call):
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS or node.keywords:
            return f"`{ast.unparse(node.func)}` is no function here"
        return "" if node.args else f"`{node.func.id}` is given nothing"
    allowed = isinstance(node, ast.Name | ast.BoolOp | ast.IfExp | ast.Tuple | ast.List)
    return "" if allowed else f"`{ast.unparse(node)}` is not allowed"


def _read_names(tree: ast.expr) -> Iterable[ast.Name]:
    functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return (node for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in functions)


def _number(value: Value) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"`{value}` is no number")
    if not -MAGNITUDE_MAX <= value <= MAGNITUDE_MAX:  # nor is NaN, which every comparison says no to
        raise ValueError(f"`{str(value)[:30]}` is no number below 1e18")
    return value


def _arithmetic(apply: Callable[[float, float], float]) -> Callable[[Value, Value], Value]:
    return lambda left, right: _number(apply(_number(left), _number(right)))


def _is_in(left: Value, right: Value) -> bool:
    if isinstance(right, tuple | frozenset):
        return left in right
    if isinstance(right, str) and isinstance(left, str):
        return left in right
    raise TypeError(f"`{right}` has no parts")


def _ordered(apply: Callable[[float, float], bool]) -> Callable[[Value, Value], bool]:
    return lambda left, right: apply(_number(left), _number(right))


_BINARY: Final[Mapping[type[ast.operator], Callable[[Value, Value], Value]]] = {
    ast.Add: _arithmetic(operator.add),
    ast.Sub: _arithmetic(operator.sub),
    ast.Mult: _arithmetic(operator.mul),
    ast.Div: _arithmetic(operator.truediv),
    ast.FloorDiv: _arithmetic(operator.floordiv),
    ast.Mod: _arithmetic(operator.mod),
}
_UNARY: Final[Mapping[type[ast.unaryop], Callable[[Value], Value]]] = {
    ast.USub: lambda value: -_number(value),
    ast.UAdd: _number,
    ast.Not: lambda value: not value,
}
_COMPARE: Final[Mapping[type[ast.cmpop], Callable[[Value, Value], bool]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: _ordered(operator.lt),
    ast.LtE: _ordered(operator.le),
    ast.Gt: _ordered(operator.gt),
    ast.GtE: _ordered(operator.ge),
    ast.In: _is_in,
    ast.NotIn: lambda left, right: not _is_in(left, right),
}


def _compiled(node: ast.expr) -> Compiled:
    if isinstance(node, ast.Constant):
        constant: Value = node.value  # type: ignore[assignment]  # `_fault` lets through only these
        return lambda _values: constant
    if isinstance(node, ast.Name):
        name = node.id
        return lambda values: values[name]
    if isinstance(node, ast.UnaryOp):
        single, inner = _UNARY[type(node.op)], _compiled(node.operand)
        return lambda values: single(inner(values))
    if isinstance(node, ast.BinOp):
        apply, left, right = _BINARY[type(node.op)], _compiled(node.left), _compiled(node.right)
        return lambda values: apply(left(values), right(values))
    if isinstance(node, ast.Compare):
        return _comparison(node)
    if isinstance(node, ast.BoolOp):
        return _junction(node)
    if isinstance(node, ast.IfExp):
        test, then, other = _compiled(node.test), _compiled(node.body), _compiled(node.orelse)
        return lambda values: then(values) if test(values) else other(values)
    if isinstance(node, ast.Call):
        assert isinstance(node.func, ast.Name)
        function, args = FUNCTIONS[node.func.id], [_compiled(arg) for arg in node.args]
        return lambda values: function(*(arg(values) for arg in args))
    assert isinstance(node, ast.Tuple | ast.List)
    parts = [_compiled(part) for part in node.elts]
    return lambda values: tuple(part(values) for part in parts)


def _comparison(node: ast.Compare) -> Compiled:
    if len(node.ops) == 1:
        compare, left, right = _COMPARE[type(node.ops[0])], _compiled(node.left), _compiled(node.comparators[0])
        return lambda values: compare(left(values), right(values))
    first = _compiled(node.left)
    rest = [(_COMPARE[type(op)], _compiled(part)) for op, part in zip(node.ops, node.comparators, strict=True)]

    def chain(values: Mapping[str, Value]) -> Value:
        left = first(values)
        for compare, part in rest:
            right = part(values)
            if not compare(left, right):
                return False
            left = right
        return True

    return chain


def _junction(node: ast.BoolOp) -> Compiled:
    parts = [_compiled(part) for part in node.values]
    if isinstance(node.op, ast.And):
        return lambda values: all(part(values) for part in parts)
    return lambda values: any(part(values) for part in parts)
