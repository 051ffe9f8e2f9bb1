"""What an expression comes to, without running it: its type and unit, and what in it cannot be meant."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Final, NamedTuple

from comity.coordination.document import FieldSection
from comity.coordination.loading_problem import cut, nearest
from comity.core.expression import Expression, ExpressionError, Value


class Meaning(NamedTuple):
    """What a value is: its type (empty: not known), its unit (empty: none is said), and the texts that it may be."""

    type: str = ""
    unit: str = ""
    texts: frozenset[str] = frozenset()


UNKNOWN: Final = Meaning()
_NUMBER: Final = Meaning("number")
_BOOLEAN: Final = Meaning("boolean")
_NUMERIC: Final = ("number", "boolean", "")
"""Types that one can calculate with: a boolean counts as 0 or 1."""


class Fault(NamedTuple):
    """What cannot be meant, and a way out."""

    message: str
    hint: str = ""


def meaning_of(fields: tuple[FieldSection, ...]) -> Meaning:
    """Return what a value of one of these fields is; where they differ in something, nothing is said of it."""
    types = {"number" if item.type == "integer" else item.type for item in fields}
    units = {item.unit for item in fields}
    texts = {frozenset(value for value in item.values if isinstance(value, str)) for item in fields}
    return Meaning(
        types.pop() if len(types) == 1 else "",
        units.pop() if len(units) == 1 else "",
        texts.pop() if len(texts) == 1 else frozenset(),
    )


def with_article(type: str) -> str:
    """Return what a value of a type is, as a sentence has it."""
    return type if type == "text" else f"an {type}" if type == "integer" else f"a {type}"


def field_of(type: str) -> str:
    """Return what a field of a type is, as a sentence has it."""
    return f"an {type} field" if type == "integer" else f"a {type} field"


def judge(expression: Expression, names: Mapping[str, Meaning], wanted: str = "") -> list[Fault]:
    """Return what is wrong with an expression over names of these meanings; it must come to a `wanted` type."""
    walk = _Walk(names)
    found = walk.of(expression.tree)
    if wanted and found.type and found.type != wanted:
        said = "true or false" if wanted == "boolean" else with_article(wanted)
        hint = "compare it with something: `x >= 1`" if wanted == "boolean" else ""
        walk.faults.append(Fault(f"`{cut(expression.text)}` comes to {with_article(found.type)}, not to {said}", hint))
    return list(dict.fromkeys(walk.faults))


def constant(expression: Expression) -> tuple[Value, ...]:
    """Return the value of an expression that reads nothing, in a tuple; an empty one where it reads or has none."""
    if expression.names:
        return ()
    try:
        return (expression({}),)
    except ExpressionError:
        return ()


class _Walk:
    def __init__(self, names: Mapping[str, Meaning]) -> None:
        self._names = names
        self.faults: list[Fault] = []

    def of(self, node: ast.expr) -> Meaning:
        if isinstance(node, ast.Constant):
            return _constant(node.value)
        if isinstance(node, ast.Name):
            return self._names.get(node.id, UNKNOWN)
        if isinstance(node, ast.UnaryOp):
            inner = self.of(node.operand)
            if isinstance(node.op, ast.Not):
                return _BOOLEAN
            self._calculates(node.operand, inner)
            return Meaning("number", inner.unit)
        if isinstance(node, ast.BinOp):
            return self._arithmetic(node)
        if isinstance(node, ast.BoolOp):
            found = [self.of(part) for part in node.values]
            return _BOOLEAN if all(item.type == "boolean" for item in found) else UNKNOWN
        if isinstance(node, ast.Compare):
            return self._compare(node)
        if isinstance(node, ast.IfExp):
            self.of(node.test)
            return self._either(node, [node.body, node.orelse])
        if isinstance(node, ast.Call):
            return self._call(node)
        for part in getattr(node, "elts", ()):
            self.of(part)
        return Meaning("set")

    def _arithmetic(self, node: ast.BinOp) -> Meaning:
        left, right = self.of(node.left), self.of(node.right)
        self._calculates(node.left, left)
        self._calculates(node.right, right)
        if isinstance(node.op, ast.Add | ast.Sub):
            word = "added to" if isinstance(node.op, ast.Add) else "subtracted from"
            self._same_unit(node, left, right, word)
            return Meaning("number", left.unit or right.unit)
        return _NUMBER

    def _compare(self, node: ast.Compare) -> Meaning:
        sides = [node.left, *node.comparators]
        found = [self.of(side) for side in sides]
        for place, op in enumerate(node.ops):
            left, right = found[place], found[place + 1]
            if isinstance(op, ast.In | ast.NotIn):
                self._inside(sides[place], left, right, sides[place + 1])
            elif isinstance(op, ast.Eq | ast.NotEq):
                self._equal(node, (sides[place], left), (sides[place + 1], right))
            else:
                self._calculates(sides[place], left)
                self._calculates(sides[place + 1], right)
            self._same_unit(node, left, right, "compared with")
        return _BOOLEAN

    def _call(self, node: ast.Call) -> Meaning:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name == "len":
            for part in node.args:
                self.of(part)
            return _NUMBER
        if name in ("min", "max") and len(node.args) > 1:
            return self._either(node, node.args)
        found = [self.of(part) for part in node.args]
        if name in ("abs", "round"):
            self._calculates(node.args[0], found[0])
            return Meaning("number", found[0].unit)
        return UNKNOWN

    def _either(self, node: ast.expr, parts: list[ast.expr]) -> Meaning:
        found = [self.of(part) for part in parts]
        for other in found[1:]:
            self._same_unit(node, found[0], other, "taken together with")
        types = {item.type for item in found}
        return Meaning(types.pop() if len(types) == 1 else "", next((item.unit for item in found if item.unit), ""))

    def _calculates(self, node: ast.expr, found: Meaning) -> None:
        if found.type not in _NUMERIC:
            self._tell(
                f"`{_text(node)}` is {with_article(found.type)}, not a number",
                "text and sets take `==`, `in` and `len`",
            )

    def _same_unit(self, node: ast.expr, left: Meaning, right: Meaning, word: str) -> None:
        if left.unit and right.unit and left.unit != right.unit:
            hint = "multiply one of them by a factor that converts it, or correct `unit` of a field"
            self._tell(f"`{cut(left.unit)}` is {word} `{cut(right.unit)}` in `{_text(node)}`", hint)

    def _equal(self, node: ast.expr, first: tuple[ast.expr, Meaning], second: tuple[ast.expr, Meaning]) -> None:
        (left, one), (right, two) = first, second
        numeric = {"number", "boolean"}
        if one.type and two.type and one.type != two.type and not {one.type, two.type} <= numeric:
            self._tell(
                f"`{_text(node)}` compares {with_article(one.type)} with {with_article(two.type)}",
                "such a pair is never equal",
            )
        self._known_text(left, two)
        self._known_text(right, one)

    def _inside(self, node: ast.expr, left: Meaning, right: Meaning, whole: ast.expr) -> None:
        if right.type in ("number", "boolean"):
            self._tell(
                f"`{_text(whole)}` is {with_article(right.type)}, which has no parts",
                "`in` takes a set, a list or text",
            )
        if right.type == "set":
            self._known_text(node, right)
        for part in getattr(whole, "elts", ()):
            self._known_text(part, left)

    def _known_text(self, node: ast.expr, there: Meaning) -> None:
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            return
        if there.texts and node.value not in there.texts:
            self._tell(f"`{cut(node.value)}` is none of the field's `values`", nearest(node.value, there.texts))

    def _tell(self, message: str, hint: str) -> None:
        self.faults.append(Fault(message, hint))


def _constant(value: object) -> Meaning:
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return _BOOLEAN
    return Meaning("text") if isinstance(value, str) else _NUMBER


def _text(node: ast.expr) -> str:
    return cut(ast.unparse(node))
