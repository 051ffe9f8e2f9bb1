"""What is said of expressions without trying every state: never more than is so."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comity.coordination.analysis import Among, Possible, Span, parts, surely
from comity.core.expression import ExpressionError, parse


def test_conditions_are_split_at_and_and_at_chains() -> None:
    assert [part.condition.text for part in parts(parse("a < b <= 3 and c"))] == ["a < b", "b <= 3", "c"]


@pytest.mark.parametrize(
    ("text", "coefficients", "constant", "is_strict"),
    [
        ("2 * x - y / 2 <= 3", {"x": 2, "y": -0.5}, -3, False),
        ("x >= 3", {"x": -1}, 3, False),
        ("x > y + 1", {"x": -1, "y": 1}, 1, True),
        ("-(x + x) < 4", {"x": -2}, -4, True),
    ],
)
def test_linear_conditions_have_their_coefficients(
    text: str, coefficients: dict[str, float], constant: float, is_strict: bool
) -> None:
    linear = parts(parse(text))[0].linear
    assert linear is not None
    assert (linear.coefficients, linear.constant, linear.is_strict) == (coefficients, constant, is_strict)


@pytest.mark.parametrize("text", ["x * y <= 3", "x == 3", "3 / x < 1", "not x < 3", "max(x, y) <= 3", "x", "x <= True"])
def test_other_conditions_are_not_linear(text: str) -> None:
    assert parts(parse(text))[0].linear is None


def test_slack_falls_towards_false() -> None:
    for text in ("x * x <= 9", "9 >= x * x"):
        slack = parts(parse(text))[0].slack
        assert slack is not None
        assert [slack({"x": x}) for x in (0, 3, 4)] == [9, 0, -7]
    assert parts(parse("x == 3"))[0].slack is None


@pytest.mark.parametrize(
    ("text", "is_sure"),
    [
        ("x + y <= 8", True),
        ("x + y <= 7", False),
        ("x - y >= -4", True),
        ("x - y >= -3", False),
        ("x * y <= 15", True),
        ("x * y < 15", False),
        ("y / x <= 5", True),
        ("10 / (x - 2) > 0", False),
        ("x % 3 <= 3", True),
        ("y // x <= 5", True),
        ("max(x, y) <= 5", True),
        ("min(x, y) >= 2", False),
        ("abs(x - y) <= 4", True),
        ("round(x) <= 3", True),
        ("mode != 'off'", True),
        ("mode == 'up'", False),
        ("mode in ('up', 'down')", True),
        ("mode not in ('off', 'on')", True),
        ("x <= 3 or mode == 'off'", True),
        ("mode == 'off' or x <= 2", False),
        ("(x if mode == 'up' else y) <= 5", True),
        ("not x > 3", True),
        ("1 <= x <= 3", True),
        ("len(tags) <= 2", True),
        ("len(tags) <= 1", False),
        ("'a' in tags", False),
        ("x", False),
        ("x * 1000000000000000000 > 0", False),
        ("1 / (x - 2) > 0 or x <= 3", False),
        ("x <= 3 or 1 / (x - 2) > 0", True),
    ],
)
def test_surely_means_whatever_the_names_are(text: str, is_sure: bool) -> None:
    ranges: dict[str, Possible] = {
        "x": Span(1, 3),
        "y": Span(3, 5),
        "mode": Among(frozenset(("up", "down"))),
        "tags": Among(frozenset((("a",), ("b", "c")))),
    }
    assert surely(parse(text), ranges) is is_sure


numbers = st.sampled_from(["x", "y", "2", "-1", "0"])
sides = st.builds("({} {} {})".format, numbers, st.sampled_from(["+", "-", "*", "/", "//", "%"]), numbers)
compared = st.builds("{} {} {}".format, sides, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), numbers)
joined = st.recursive(
    compared,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("(not {})".format, inner),
    ),
    max_leaves=4,
)


@given(joined, st.integers(-3, 3), st.integers(0, 3), st.integers(-3, 3), st.integers(0, 3))
def test_what_surely_holds_holds_at_every_point(text: str, x: int, dx: int, y: int, dy: int) -> None:
    expression = parse(text)
    if surely(expression, {"x": Span(x, x + dx), "y": Span(y, y + dy)}):
        for a, b in itertools.product(range(x, x + dx + 1), range(y, y + dy + 1)):
            try:
                assert expression.holds({"x": a, "y": b})
            except ExpressionError as error:
                raise AssertionError(f"{text} at {a}, {b}") from error
