"""What was understood of a world file: the class of each invariant, and what nobody names."""

from __future__ import annotations

from pathlib import Path

import pytest

from comity.coordination.document import Aggregate, FieldSection, InvariantSection, KindSection
from comity.coordination.loading import load_world
from comity.coordination.loading_names import Fields
from comity.coordination.loading_summary import shape_of, summary

FIELDS = Fields(
    {
        "s": KindSection(
            "s", {"a": FieldSection(low=0), "b": FieldSection(low=0), "c": FieldSection(), "d": FieldSection()}
        )
    }
)


@pytest.mark.parametrize(
    ("holds", "shape"),
    [
        ("a + 2 * b <= 3", "linear"),
        ("0 < a <= 9 and b >= 1", "linear"),
        ("a - c / 2 > 0", "linear"),
        ("a * b <= 100", "monotone"),
        ("a * b <= 2 * c", "monotone"),
        ("max(a, c) < 5", "monotone"),
        ("a * c <= 100", "general"),
        ("a * b - a <= 3", "general"),
        ("a == b", "general"),
        ("a <= 3 or b <= 3", "general"),
        ("abs(c) < 3", "general"),
        ("a % 2 < 1", "general"),
        ("a < 1 if b else c < 1", "general"),
    ],
)
def test_the_class_of_an_invariant_is_told(holds: str, shape: str) -> None:
    let = {name: f"s.{name}" for name in "abcd"}
    assert shape_of(InvariantSection(let, holds), FIELDS) == shape


def test_what_an_invariant_is_over_is_told() -> None:
    many = {"n": Aggregate(sum="s.a")}
    assert shape_of(InvariantSection(many, "n <= 1"), FIELDS) == "linear, over an aggregate"
    window = {"n": Aggregate(count="s.a", within="1h")}
    assert shape_of(InvariantSection(window, "n <= 1"), FIELDS) == "linear, over a window"


def test_fields_that_nobody_names_and_that_are_only_proposed_are_told() -> None:
    found = summary(load_world(Path(__file__).parent / "rich.yaml").document)
    assert found.uncovered == ("service/{name}.frozen", "plan/{name}.generation", "crm.customer/{id}.discount")
    assert found.only_proposed == ()
    assert [(kind.kind, kind.resources) for kind in found.kinds] == [("service", 2), ("plan", 0), ("customer", 0)]
    assert {rule.invariant: rule.shape for rule in found.invariants} == {
        "alive": "linear",
        "together": "linear, over an aggregate",
        "work": "linear",
        "once": "linear, over a window",
    }
    assert found.tools[0].touches == ("service/{service}.ready add count",)
