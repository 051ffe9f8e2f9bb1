"""Whatever is in a world file: a document, or a `WorldError` with lines; never another exception, never for long."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from comity.coordination.document import WorldDocument
from comity.coordination.loading import check_document, read_world
from comity.coordination.loading_names import overlap
from comity.coordination.loading_problem import WorldError
from comity.coordination.naming import Template

ROOT = Path(__file__).resolve().parents[3]
GOOD = (ROOT / "examples" / "coordination" / "world.yaml").read_text(encoding="utf-8")
RICH = (Path(__file__).parent / "rich.yaml").read_text(encoding="utf-8")
ODD = (
    "",
    "null",
    "no",
    "1e999",
    "[",
    "{",
    "*a",
    "&a x",
    "<<",
    "{x}",
    "a.b",
    "-1",
    "'",
    '"',
    "!!int 1",
    "\x00",
    "99" * 99,
)
KEYS = sorted({word for word in RICH.replace(":", " ").replace(",", " ").split() if word.isidentifier()})


def tried(text: str) -> None:
    """Read a text: it gives a document, or problems of which each has a line."""
    try:
        loaded = read_world(text)
    except WorldError as error:
        found = error.problems
    else:
        assert check_document(loaded.document) == ()
        return
    assert found
    assert all(0 < item.line <= text.count("\n") + 2 and item.message for item in found), found


@given(st.text())
def test_any_text_is_a_world_or_an_error(text: str) -> None:
    tried(text)


@given(st.text(alphabet="{}[]:,-#&*!|>'\"%@`?\n\t ab1.0~", max_size=200))
def test_any_text_in_the_signs_of_yaml_is_a_world_or_an_error(text: str) -> None:
    tried(text)


def values() -> st.SearchStrategy[object]:
    """Give values as YAML can write them, with the keys of a world file among their names."""
    words = st.one_of(st.sampled_from([*KEYS, *ODD]), st.text(string.printable, max_size=8))
    plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), words)
    return st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4))


@given(st.dictionaries(st.sampled_from(WorldDocument.__struct_fields__), values(), max_size=4))
def test_any_values_in_the_sections_are_a_world_or_an_error(world: dict[str, object]) -> None:
    tried(yaml.safe_dump(world, allow_unicode=True))


@settings(max_examples=150)
@given(st.data())
@pytest.mark.parametrize("good", [GOOD, RICH], ids=["example", "rich"])
def test_any_change_of_a_good_file_is_a_world_or_an_error(good: str, data: st.DataObject) -> None:
    text = good
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 12)))
        text = text[:start] + data.draw(st.sampled_from([*ODD, *KEYS])) + text[end:]
    tried(text)


@settings(max_examples=50)
@given(st.data())
def test_any_value_in_the_place_of_a_good_one_is_a_world_or_an_error(data: st.DataObject) -> None:
    tree = yaml.safe_load(RICH)
    node = tree
    while True:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        inner = node[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            node[key] = data.draw(values())
            break
        node = inner
    tried(yaml.safe_dump(tree))


TEMPLATES = st.lists(st.sampled_from(["a", "b", "/", "{x}", "{y}", "ab", "*"]), min_size=1, max_size=6).map("".join)


@given(TEMPLATES, TEMPLATES, st.lists(st.sampled_from("ab/"), min_size=1, max_size=6).map("".join))
def test_templates_that_both_match_a_name_overlap(one: str, other: str, name: str) -> None:
    assert overlap(one, other) == overlap(other, one)
    if all(Template(text).match(name) is not None for text in (one, other)):
        assert overlap(one, other)


@given(TEMPLATES)
def test_a_template_overlaps_itself(text: str) -> None:
    assert overlap(text, text)
