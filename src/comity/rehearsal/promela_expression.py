"""Expressions in Promela: whole numbers and truths as they are, text as codes."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from comity.core.errors import UsageError
from comity.core.expression import Expression

_COMPARE = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_PLAIN = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*"}


class Codes:
    """Text as numbers: 0 is nothing, then each text as it is met."""

    def __init__(self) -> None:
        """Know no text yet."""
        self.texts: dict[str, int] = {}

    def of(self, value: object) -> str:
        """Return a value as Promela has it.

        Raises:
            UsageError: it has no such values.
        """
        if value is None:
            return "0"
        if isinstance(value, bool):
            return str(int(value))
        if isinstance(value, str):
            return str(self.texts.setdefault(value, len(self.texts) + 1))
        if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
            return str(int(value))
        raise unsaid(f"`{value}`", "use whole numbers, truths and text; count in smaller units")


def unsaid(what: str, hint: str) -> UsageError:
    """Return the error for what Promela cannot say."""
    return UsageError("not_in_promela", f"{what} cannot be written in Promela", hint=hint)


def translated(expression: Expression, names: Mapping[str, str], codes: Codes) -> str:
    """Return an expression in Promela; `names` are its variables there.

    Raises:
        UsageError: Promela cannot say it.
    """
    return _translated(expression.tree, names, codes)


def _translated(node: ast.expr, names: Mapping[str, str], codes: Codes) -> str:
    def inner(part: ast.expr) -> str:
        return _translated(part, names, codes)

    if isinstance(node, ast.Constant):
        return codes.of(node.value)
    if isinstance(node, ast.Name):
        return names[node.id]
    if isinstance(node, ast.UnaryOp):
        if isinstance(node.op, ast.Not):
            return f"(!{inner(node.operand)})"
        return f"(-{inner(node.operand)})" if isinstance(node.op, ast.USub) else inner(node.operand)
    if isinstance(node, ast.BinOp):
        return _arithmetic(node, inner(node.left), inner(node.right))
    if isinstance(node, ast.Compare):
        return _comparison(node, names, codes)
    if isinstance(node, ast.BoolOp):
        word = " && " if isinstance(node.op, ast.And) else " || "
        return f"({word.join(inner(part) for part in node.values)})"
    if isinstance(node, ast.IfExp):
        return f"({inner(node.test)} -> {inner(node.body)} : {inner(node.orelse)})"
    if isinstance(node, ast.Call):
        assert isinstance(node.func, ast.Name)
        return _called(node.func.id, [inner(arg) for arg in node.args])
    raise unsaid(f"`{ast.unparse(node)}`", "leave sets and lists out, or write the comparisons one by one")


def _arithmetic(node: ast.BinOp, left: str, right: str) -> str:
    if type(node.op) in _PLAIN:
        return f"({left} {_PLAIN[type(node.op)]} {right})"
    is_odd = f"(({left}) % ({right}) != 0 && (({left}) < 0) != (({right}) < 0))"
    if isinstance(node.op, ast.FloorDiv):
        return f"({is_odd} -> ({left}) / ({right}) - 1 : ({left}) / ({right}))"
    if isinstance(node.op, ast.Mod):
        return f"({is_odd} -> ({left}) % ({right}) + ({right}) : ({left}) % ({right}))"
    raise unsaid(f"the division `{ast.unparse(node)}`", "multiply the other side instead, or use `//`")


def _comparison(node: ast.Compare, names: Mapping[str, str], codes: Codes) -> str:
    made, left = [], node.left
    for op, right in zip(node.ops, node.comparators, strict=True):
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.Tuple | ast.List):
                raise unsaid(f"`{ast.unparse(node)}`", "list the values that are meant")
            here = _translated(left, names, codes)
            equal = " || ".join(f"{here} == {_translated(item, names, codes)}" for item in right.elts) or "0"
            made.append(f"({equal})" if isinstance(op, ast.In) else f"(!({equal}))")
        else:
            made.append(f"({_translated(left, names, codes)} {_COMPARE[type(op)]} {_translated(right, names, codes)})")
        left = right
    return f"({' && '.join(made)})"


def _called(name: str, args: list[str]) -> str:
    if name == "abs":
        return f"({args[0]} < 0 -> -({args[0]}) : {args[0]})"
    if name == "round" and len(args) == 1:
        return args[0]
    if name in ("min", "max") and len(args) > 1:
        made = args[0]
        for arg in args[1:]:
            made = f"({made} {'<' if name == 'min' else '>'} {arg} -> {made} : {arg})"
        return made
    raise unsaid(f"`{name}`", "compare numbers one by one")
