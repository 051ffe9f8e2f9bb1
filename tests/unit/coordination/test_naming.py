"""Names of the world: one spelling each, and templates that stand for them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comity.coordination.naming import Template, argument, canonical_name, folded, split_field
from comity.core.errors import UsageError


@pytest.mark.parametrize("text", ["service/Web.N", " service/web.n ", "service/\uff57\uff45\uff42.n", "SERVICE/WEB.N"])
def test_all_spellings_of_a_name_are_one(text: str) -> None:
    assert canonical_name(text) == "service/web.n"


def test_composed_and_decomposed_letters_are_one() -> None:
    assert canonical_name("caf\u00e9/x") == canonical_name("cafe\u0301/x")
    assert canonical_name("STRASSE/x") == canonical_name("straße/x")


@pytest.mark.parametrize(
    "text",
    ["", "  ", "a b", "a//b", "a*", "{a}", "a\x00", "a\u200bb", "we\u00adb", "a\u202eb", "a\ue000", "x" * 301],
)
def test_a_name_with_what_nobody_sees_or_means_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        canonical_name(text)
    assert caught.value.code == "bad_name"


@given(st.text(max_size=20))
def test_the_canonical_form_of_a_canonical_form_is_itself(text: str) -> None:
    assert folded(folded(text)) == folded(text)


def test_the_field_is_behind_the_last_dot() -> None:
    assert split_field("crm.account/7.tier") == ("crm.account/7", "tier")
    assert split_field("plain") == ("", "plain")


def test_a_template_finds_its_parts_and_fills_them() -> None:
    template = Template("service/{pool}/{name}.n")
    assert template.match("service/a/b.n") == {"pool": "a", "name": "b"}
    assert template.match("service/a/b/c.n") is None
    assert template.match("service/a/b.m") is None
    assert template.fill({"pool": "A", "name": "B"}) == "service/a/b.n"
    assert template.fill({"pool": "A", "name": "B"}) == "service/a/b.n"
    assert template.fill({"pool": "A", "name": "C"}) == "service/a/c.n"


def test_a_part_that_stands_twice_is_the_same_twice() -> None:
    template = Template("pair/{a}-{a}.x")
    assert template.match("pair/q-q.x") == {"a": "q"}
    assert template.match("pair/q-r.x") is None


def test_a_pattern_stays_one_when_it_is_filled() -> None:
    template = Template("Service/{pool}/*.n")
    assert template.is_pattern
    assert template.fill({"pool": "P1"}) == "service/p1/*.n"
    assert Template("service/p1/*.n").match("service/p1/web.n") == {}
    assert Template("service/p1/*.n").match("service/p2/web.n") is None


@pytest.mark.parametrize("value", [None, "", "  ", "a/b", True, 1.5, ["a"], {"a": 1}])
def test_what_cannot_be_a_piece_of_an_id_is_refused_by_its_argument(value: object) -> None:
    with pytest.raises(UsageError, match="`name`") as caught:
        Template("service/{name}.n").fill({"name": value})
    assert caught.value.code == "bad_argument"


def test_a_whole_number_and_blanks_around_are_fine_in_an_id() -> None:
    assert Template("a/{id}.x").fill({"id": 7}) == "a/7.x"
    assert Template("a/{id}.x").fill({"id": " b "}) == "a/b.x"


def test_an_argument_is_found_by_its_path() -> None:
    assert argument({"a": {"b": 1}}, "a.b") == 1
    assert argument({"a.b": 2, "a": {"b": 1}}, "a.b") == 2
    assert argument({"a": 1}, "a.b") is None
