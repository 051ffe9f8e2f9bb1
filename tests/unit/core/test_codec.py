"""Canonical JSON: one spelling for one value, and nothing that JSON cannot say exactly."""

from __future__ import annotations

import datetime
import enum
import hashlib
import json
import math

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from comity.core.codec import canonical, decode, digest, parse
from comity.core.errors import UsageError
from comity.core.limits import JSON_DEPTH_MAX

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=20,
)


def same(left: object, right: object) -> bool:
    """Tell whether two values are equal, types of numbers and signs of zeros included."""
    return repr(left) == repr(right)


@given(VALUES)
@example({"\U00010000": 1, "\uffff": 2, "a": [], "": {}})
@example([0.0, -0.0, 5e-324, 1.7976931348623157e308, 1e16, 1e22, 123456789012345680.0])
@example([2**64 - 1, -(2**63), 0, True])
def test_a_value_survives_canonical_and_parse(value):
    data = canonical(value)
    back = parse(data)
    assert back == value
    assert same(decode(data), back)
    assert canonical(back) == data


@given(VALUES)
def test_what_others_write_becomes_the_same_bytes(value):
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=3, sort_keys=True)):
        assert canonical(parse(text)) == canonical(value)
        assert canonical(parse(text.encode())) == canonical(value)


@given(st.dictionaries(TEXT, st.integers(0, 9), min_size=2))
def test_keys_stand_in_the_order_of_their_code_points_whatever_order_they_came_in(value):
    backwards = dict(reversed(list(value.items())))
    assert canonical(backwards) == canonical(value)
    assert list(json.loads(canonical(value))) == sorted(value)


@given(VALUES)
def test_there_are_no_blanks_and_the_text_is_utf_8(value):
    text = canonical(value).decode("utf-8")
    outside = "".join(text.replace("\\\\", "").replace('\\"', "").split('"')[::2])
    assert not any(char.isspace() for char in outside)


@given(VALUES, VALUES)
def test_different_values_have_different_bytes(left, right):
    assert (canonical(left) == canonical(right)) == same(parse(canonical(left)), parse(canonical(right)))


def test_known_spellings():
    assert (
        canonical({"b": [1, 1.5, "ü\n\u0000"], "a": None, "c": True})
        == '{"a":null,"b":[1,1.5,"ü\\n\\u0000"],"c":true}'.encode()
    )
    assert canonical(1) != canonical(1.0)
    assert canonical((1, 2)) == b"[1,2]"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"amount": 1, "amount": 900}', "duplicate key `amount`"),
        ('[{"a": {"b": 1, "b": 1}}]', "duplicate key `b`"),
        ("NaN", "`NaN` is not a JSON number"),
        ("[-Infinity]", "`-Infinity` is not a JSON number"),
        ("1e999", "`inf` is not a JSON number"),
        ("", "expecting value"),
        ("{} {}", "extra data"),
        ("{'a': 1}", "expecting property name"),
        ('{"a": 01}', "expecting"),
        (b"\xff", "utf-8"),
        ("[" * 102 + "]" * 102, "nested deeper than 100"),
        ("[" * 200_000, ""),
    ],
)
def test_what_is_no_strict_json_is_refused_with_its_name(text, why):
    with pytest.raises(UsageError) as caught:
        parse(text, "args")
    assert caught.value.code == "not_json"
    assert "`args" in caught.value.message
    assert why.lower() in caught.value.message.lower()
    assert caught.value.hint


class Colour(enum.Enum):
    """A member of this has a JSON spelling, its value."""

    RED = "red"


class Point(msgspec.Struct):
    """So has a struct."""

    x: int


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (math.nan, "value"),
        ({"a": [1, math.inf]}, "value.a[1]"),
        ({"a": {1: 2}}, "value.a"),
        ({"a": object()}, "value.a"),
        ([lambda: 0], "value[0]"),
        ("\ud800", "value"),
        ({"\udfff": 1}, "value"),
        ({"at": datetime.datetime(2026, 1, 1)}, "value.at"),  # noqa: DTZ001 - naive on purpose
        (1j, "value"),
    ],
)
def test_what_json_cannot_say_is_refused_with_its_path(value, path):
    with pytest.raises(UsageError) as caught:
        canonical(value)
    assert caught.value.message.startswith(f"`{path}`:")


def test_values_with_one_obvious_spelling_are_taken():
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    assert canonical([moment, Colour.RED, Point(1)]) == b'["2026-01-02T03:04:05Z","red",{"x":1}]'


def test_depth_has_a_limit_on_the_way_in_and_out():
    value: object = 0
    for _ in range(JSON_DEPTH_MAX):
        value = [value]
    assert parse(canonical(value)) == value
    with pytest.raises(UsageError, match="nested deeper"):
        canonical([[value]])
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(UsageError, match="nested deeper"):
        canonical(circle)


def test_a_digest_is_sha_256():
    assert digest(b"abc") == hashlib.sha256(b"abc").digest()
