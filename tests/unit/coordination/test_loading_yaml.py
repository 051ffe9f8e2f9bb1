"""The YAML of a world file: strict, bounded, and no plain word becomes something else in silence."""

from __future__ import annotations

import json

import pytest

from comity.coordination.document import WorldDocument
from comity.coordination.loading import read_world
from comity.coordination.loading_problem import Problem, WorldError
from comity.coordination.loading_yaml import WORLD_BYTES_MAX, WORLD_DEPTH_MAX, WORLD_VALUES_MAX


def problems(text: str) -> tuple[Problem, ...]:
    """Return what is wrong with a text."""
    with pytest.raises(WorldError) as caught:
        read_world(text)
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("name: a\nname: b\n", 2, "second time, after line 1", "keep one"),
        ("kinds:\n  a:\n    id: x\n    id: y\n    fields: {}\n", 4, "second time, after line 3", "keep one"),
        ("name: &n a\n", 1, "`&n` is an anchor", "leave it out"),
        ("name: a\nabout: *n\n", 2, "`*n` is an alias", "write the value out"),
        ("name: &a [1]\nb: &b [*a, *a]\nc: [*b, *b]\n", 1, "anchor", "leave it out"),
        ("kinds:\n  <<: {a: {}}\n", 2, "`<<` merges", "write the keys out"),
        ("name: !!str a\n", 1, "is a tag", "leave the tag out"),
        ("name: !!python/object/apply:os.system [ls]\n", 1, "is a tag", "leave the tag out"),
        ("name: !mine a\n", 1, "is a tag", "leave the tag out"),
        ("name: a\n---\nname: b\n", 2, "second document", "one file"),
        ("%YAML 1.1\n---\nname: a\n", 1, "directive", "leave the line out"),
        ("", 1, "the file is empty", "`version: 1`"),
        ("# only words\n", 1, "the file is empty", "`kinds:`"),
        ("- a\n", 1, "here stands a list", "mapping"),
        ("only words\n", 1, "here stands `only words`", "mapping"),
        ("kinds:\n\ta: 1\n", 2, "it is not YAML", "spaces"),
        ("name: a: b\n", 1, "it is not YAML", "needs quotes"),
        ("kinds:\n  a: {id: {x}/y}\n", 2, "it is not YAML", "needs quotes"),
        ("? [a, b]\n: c\n", 1, "is no key", "needs quotes"),
        ("'': a\n", 1, "a key is empty", "name"),
        ("name: a\nabout: \x07\n", 2, "character that no text may have", "UTF-8"),
        ("kinds:\n", 1, "there is nothing below it", "leave the key out"),
        ("kinds: ~\n", 1, "here stands `~`", "mapping"),
        ("name:\n", 1, "there is no value", "write text"),
        ("name: null\n", 1, "`null` is no text", '`"null"`'),
    ],
)
def test_what_is_no_strict_yaml_is_refused_with_its_line_and_a_way_out(
    text: str, line: int, message: str, hint: str
) -> None:
    found = problems(text)[0]
    assert (found.line, message in found.message, hint in found.hint) == (line, True, True), found


FIELD = "kinds:\n  a:\n    id: a\n    fields:\n      f: {{{}}}\n"


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        ("type: boolean, initial: no", "could be true or false, or text", 'write `false`, or `"no"`'),
        ("type: boolean, initial: ON", "could be true or false, or text", 'write `true`, or `"ON"`'),
        ("type: text, values: [yes, y]", "could be true or false", 'write `true`, or `"yes"`'),
        ("initial: 1_000", "could be a number", "write `1000`"),
        ("initial: 02:17", "could be a number or a time", '`"02:17"`'),
        ("initial: 1:30:00", "could be a number or a time", '`"1:30:00"`'),
        ("initial: 010", "could be a number", '`"010"`'),
        ("initial: 0x1F", "could be a number", '`"0x1F"`'),
        ("initial: 0o17", "could be a number", '`"0o17"`'),
        ("initial: .inf", "could be a number", '`".inf"`'),
        ("initial: .nan", "could be a number", '`".nan"`'),
        ("initial: 2026-11-30", "could be a number or a time", '`"2026-11-30"`'),
        ("initial: Null", "could be a number", '`"Null"`'),
        ("initial: 1e400", "larger than 1e18", "unit"),
        ("initial: 99999999999999999999", "larger than 1e18", "unit"),
        ("high: 1_000", "is no number", "write `1000`"),
        ("high: 02:17", "is no number", "write a number"),
        ("high: .5", "is no number", "write `0.5`"),
        ("high: '5'", "is no number", "write `5`"),
        ("high: 1e400", "larger than 1e18", "unit"),
        ("high: .inf", "is no number", "write a number"),
        ("settle_s: -1", "is too small", "from 0"),
        ("generation: yes", "neither `true` nor `false`", "write `true`"),
        ("generation: 0", "neither `true` nor `false`", "`true` or `false`"),
        ("type: integr", "not known here", "did you mean `integer`?"),
        ("tpye: integer", "there is no such key", "did you mean `type`?"),
        ("values: up", "a list is wanted", "write `[up]`"),
        ("high: [1]", "here stands a list", "write a number"),
        ("initial: {a: 1}", "here stands a mapping", "write"),
    ],
)
def test_a_word_that_readers_of_yaml_disagree_on_is_refused_where_it_matters(
    given: str, message: str, hint: str
) -> None:
    found = problems(FIELD.format(given))[0]
    assert found.line == 5
    assert message in found.message, found
    assert hint in found.hint, found


def test_where_text_is_wanted_a_plain_word_is_itself() -> None:
    text = "name: no\nabout: 02:17\nkinds:\n  on:\n    id: 1_000\n    fields: {f: {unit: 010}}\n"
    document = read_world(text).document
    assert (document.name, document.about) == ("no", "02:17")
    assert document.kinds["on"].id == "1_000"
    assert document.kinds["on"].fields["f"].unit == "010"


def test_numbers_booleans_and_null_are_what_json_says() -> None:
    given = [
        ("a", "number", "-1.5e3"),
        ("b", "boolean", "true"),
        ("c", "text", "'true'"),
        ("d", "text", "null"),
        ("e", "integer", "7"),
        ("g", "set", "[1, up, false]"),
    ]
    lines = [f"      {name}: {{type: {word}, initial: {value}}}\n" for name, word, value in given]
    fields = read_world("kinds:\n  a:\n    id: a\n    fields:\n" + "".join(lines)).document.kinds["a"].fields
    values = [field.initial for field in fields.values()]
    assert values == [-1500.0, True, "true", None, 7, (1, "up", False)]


def test_json_is_read_with_tabs_and_with_characters_escaped_in_halves() -> None:
    plain = {"version": 1, "name": "a\N{GRINNING FACE}é\\", "kinds": {"a": {"id": "a", "fields": {"f": {}}}}}
    assert read_world(json.dumps(plain, indent="\t")).document == read_world(json.dumps(plain)).document
    assert read_world(json.dumps(plain)).document.name == "a\N{GRINNING FACE}é\\"
    assert "not YAML" in problems('{"name": "\\ud83d"}')[0].message


def test_every_problem_of_a_file_is_told_at_once_in_its_order() -> None:
    text = "nam: a\nkinds:\n  a: {id: a, fields: {f: {low: x, hi: 3}}}\n  b: {fields: {}}\nversion: 2\n"
    found = problems(text)
    assert [(item.line, item.path) for item in found] == [
        (1, "nam"),
        (3, "kinds.a.fields.f.low"),
        (3, "kinds.a.fields.f.hi"),
        (4, "kinds.b"),
        (5, "version"),
    ]


def test_a_file_has_bounds() -> None:
    deep = "[" * (WORLD_DEPTH_MAX + 1)
    assert "nested more than" in problems("name: " + deep)[0].message
    assert "nested more than" in problems("name: " + "[" * 200_000)[0].message
    assert "larger than" in problems("#" * (WORLD_BYTES_MAX + 1))[0].message
    assert "more than" in problems("name: [" + "a," * WORLD_VALUES_MAX + "]")[0].message
    assert "larger than 1e18" in problems(FIELD.format(f"high: {'9' * 100_000}"))[0].message


def test_a_document_that_is_nearly_empty_is_one() -> None:
    assert read_world("version: 1\n").document == WorldDocument()
