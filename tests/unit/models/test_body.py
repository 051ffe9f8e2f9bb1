"""Strict JSON in pieces: nothing is lost, nothing twice, nothing that is no JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comity.core.codec import canonical, digest
from comity.core.errors import UsageError
from comity.models.body import canonical_digest, fields, items, joined, listed, remembered, strict

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def is_encodable(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=6).filter(is_encodable), st.booleans(), st.booleans())
def test_an_object_taken_apart_and_joined_is_the_same(value, is_ascii, is_wide):
    separators = (", ", " : ") if is_wide else (",", ":")
    body = json.dumps(value, ensure_ascii=is_ascii, separators=separators).encode()
    pieces = fields(body, "it")
    assert list(pieces) == list(value)
    assert json.loads(joined(pieces)) == value
    for name, piece in pieces.items():
        assert strict(piece, name) == value[name]
        assert canonical_digest(piece) == digest(canonical(value[name]))


def test_pieces_are_exactly_what_was_written():
    assert fields(b' { "a" :  1.50 ,"\\u0062":[ 1 ,2]} ', "it") == {"a": b"1.50", "b": b"[ 1 ,2]"}
    assert items(b'[ {"x": 1} , "\\u00e4" ]', "it") == (b'{"x": 1}', b'"\\u00e4"')
    assert listed(()) == b"[]"


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"a":2,"b\\u003a":3}',
        b'{"a":1,"b":{},"\\u0061":2}',
        b'{"a" : 1, "b": ":", "a": 2}',
    ],
)
def test_a_field_given_twice_is_refused(body):
    with pytest.raises(UsageError, match="duplicate key") as caught:
        fields(body, "the body")
    assert caught.value.code == "not_json"


def test_a_colon_in_a_name_is_no_duplicate():
    assert fields(b'{"a:b":1,"c\\u003a":":"}', "it") == {"a:b": b"1", "c:": b'":"'}


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":{"b":1,"b":2}}',
        b'[{"x":":"},[{"b":1,"b":2}]]',
        b'{"a\\u003a":1,"b":2,"b":2}',
        b'{"a":{"b\\u003A":1,"c":2,"c":3}}',
        b'{"a":":\\u003a","b":{"k":0,"k":":"}}',
    ],
)
def test_a_key_given_twice_at_any_depth_is_refused(raw):
    with pytest.raises(UsageError, match="duplicate key"):
        strict(raw, "message")


def test_escaped_colons_are_read():
    assert strict(b'{"a":"\\u003a:","b\\u003a":1}', "it") == {"a": "::", "b:": 1}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":1e999}',
        b'{"a":01}',
        b'{"a":1}x',
        b'"\xff"',
        b'"\\ud800"',
        b"'a'",
        b"[1,]",
        b'"\x01"',
        b"\xef\xbb\xbf{}",
        b"[" * 5_000 + b"]" * 5_000,
    ],
)
def test_what_is_no_json_is_refused(raw):
    with pytest.raises(UsageError) as caught:
        strict(raw, "it")
    assert caught.value.code == "not_json"
    assert caught.value.hint


def test_an_object_that_breaks_off_is_refused():
    with pytest.raises(UsageError, match="the body is malformed") as caught:
        fields(b'{"a":1', "the body")
    assert caught.value.code == "not_json"


@pytest.mark.parametrize("body", [b"[]", b"3", b'"x"', b"null"])
def test_a_body_is_an_object(body):
    with pytest.raises(UsageError, match="the body is no JSON object"):
        fields(body, "the body")
    with pytest.raises(UsageError, match="`it` must be a list"):
        items(b"{}", "it")


def test_what_was_read_is_remembered_unless_it_is_large():
    asked: list[bytes] = []

    @remembered(2, 3)
    def size(raw: bytes) -> int:
        asked.append(raw)
        return len(raw)

    assert [size(raw) for raw in (b"a", b"a", b"bb", b"large", b"large", b"a")] == [1, 1, 2, 5, 5, 1]
    assert asked == [b"a", b"bb", b"large", b"large"]
