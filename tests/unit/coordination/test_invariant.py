"""Invariants with their templates filled in, and the book that finds which of them speak of a field."""

from __future__ import annotations

import pytest

from comity.coordination.document import InvariantSection
from comity.coordination.invariant import Rule, RuleBook, Term
from comity.coordination.naming import Template
from comity.core.errors import UsageError


def rule(name: str, holds: str, **terms: str) -> Rule:
    made = {word: Term("sum" if "*" in text else "field", Template(text), 0) for word, text in terms.items()}
    return Rule(name, InvariantSection({}, holds, mode="enforce"), made)


POOL = rule("pool", "used <= most", used="svc/{p}/*.n", most="pool/{p}.most")
GLOBAL = rule("all", "n <= top", n="svc/{p}/{s}.n", top="limits.top")


def test_a_field_fills_the_names_of_its_rule() -> None:
    (speaks,) = RuleBook([POOL]).of("svc/a/web.n")
    assert speaks.bound == {"p": "a"}
    assert speaks.groups == ("svc/a/*.n",)
    instance = POOL.instance({"p": "a"})
    assert (instance.key, instance.names, instance.patterns) == ("pool(p=a)", ("pool/a.most",), ("svc/a/*.n",))
    assert instance.covers("svc/a/db.n")
    assert not instance.covers("svc/b/db.n")


def test_a_field_without_names_leaves_them_open() -> None:
    assert GLOBAL.is_open
    assert not POOL.is_open
    (speaks,) = RuleBook([GLOBAL]).of("limits.top")
    assert speaks.bound is None
    assert [item.key for item in GLOBAL.all_instances(["svc/a/x.n", "svc/a/y.n", "svc/a/x.n", "limits.top"])] == [
        "all(p=a,s=x)",
        "all(p=a,s=y)",
    ]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("svc/main.n", "svc/main.n"),
        ("SVC/Main.N", "svc/main.n"),
        ("svc/{s}.n", "svc/a.n"),
        ("{kind}/a.n", "svc/a.n"),
        ("svc/{s}.{f}", "svc/a.n"),
        ("cluster-{c}.n", "cluster-7.n"),
        ("*.n", "svc/a.n"),
        ("svc/*", "svc/a.n"),
        ("svc/{a.b}.n", "svc/x.n"),
    ],
)
def test_the_book_finds_each_rule_that_speaks_of_a_field(text: str, field: str) -> None:
    made = rule("one", "x <= 1", x=text)
    assert [item.rule for item in RuleBook([made]).of(field)] == [made]
    assert RuleBook([made]).of("other/thing.q") == () or text == "*"


def test_templates_of_one_rule_have_the_same_names() -> None:
    with pytest.raises(UsageError) as caught:
        rule("bad", "x <= y", x="svc/{a}.n", y="svc/{b}.n")
    assert caught.value.code == "names_disagree"


def test_an_expression_reads_only_what_the_rule_names() -> None:
    with pytest.raises(UsageError):
        rule("bad", "x <= z", x="svc/{a}.n")


def test_what_is_observed_or_only_warned_of_is_not_enforced() -> None:
    for mode, severity, is_so in (("enforce", "block", True), ("observe", "block", False), ("enforce", "warn", False)):
        section = InvariantSection({}, "x <= 1", mode=mode, severity=severity)  # type: ignore[arg-type]
        made = Rule("r", section, {"x": Term("field", Template("a/b.c"), 0)})
        assert made.instance({}).is_enforced is is_so
