"""Names and patterns: which names a pattern stands for, and which pattern speaks of a name."""

from __future__ import annotations

import pytest

from comity.journal.naming import actor_name, is_named, is_pattern, is_principal, most_specific, tenant_of


@pytest.mark.parametrize(
    ("name", "patterns", "expected"),
    [
        ("pay", ("pay",), True),
        ("pay", ("Pay",), False),
        ("gpt-5-mini", ("o3", "gpt-*"), True),
        ("GPT-5", ("gpt-*",), False),
        ("anything", ("*",), True),
        ("odd[1]", ("odd[1]",), True),
        ("pay", (), False),
        ("pay2", ("pay",), False),
    ],
)
def test_a_pattern_stands_for_names_of_its_shape_and_a_name_for_itself(name, patterns, expected):
    assert is_named(name, patterns) is expected


def test_only_wildcards_make_a_pattern():
    assert [is_pattern(name) for name in ("gpt-5.1", "gpt-*", "gpt-?", "[ab]", "")] == [False, True, True, True, False]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("gpt-5", "gpt-5"), ("gpt-5-mini", "gpt-5*"), ("gpt-4", "gpt-*"), ("o3", "*"), ("o[3]", "*")],
)
def test_the_name_itself_speaks_first_then_the_longest_literal(name, expected):
    assert most_specific(name, ("*", "gpt-*", "gpt-5*", "gpt-5")) == expected
    assert most_specific(name, ("gpt-5", "gpt-5*", "gpt-*", "*")) == expected


def test_where_nothing_speaks_of_a_name_there_is_none():
    assert most_specific("o3", ("gpt-*", "claude-*")) == ""
    assert most_specific("ab", ("b*", "a*", "?b")) == "?b"


def test_agents_of_two_tenants_are_never_named_alike() -> None:
    assert actor_name("default", "clerk") == "clerk"
    assert actor_name("acme", "clerk") == "acme/clerk"
    assert [tenant_of(name) for name in ("clerk", "agent:clerk", "agent:acme/clerk")] == ["default", "default", "acme"]


@pytest.mark.parametrize(
    ("name", "pattern", "is_so"),
    [
        ("operator", "operator", True),
        ("operator", "agent:operator", False),
        ("agent:clerk", "agent:clerk", True),
        ("agent:clerk", "agent:*", True),
        ("agent:acme/clerk", "agent:*", False),
        ("agent:acme/clerk", "agent:clerk", False),
        ("agent:ops-x/evil", "agent:ops-*", False),
        ("agent:acme/bad-reader", "agent:*-reader", False),
        ("agent:acme/clerk", "agent:acme/*", True),
        ("agent:acme/clerk", "agent:*/clerk", True),
        ("agent:acme/clerk", "*", True),
        ("poll", "*", True),
    ],
)
def test_a_pattern_without_a_tenant_names_none_of_another(name: str, pattern: str, *, is_so: bool) -> None:
    assert is_principal(name, [pattern]) is is_so
