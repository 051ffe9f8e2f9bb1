"""The world compiled: fields, influences, components, and what does not fit together."""

from __future__ import annotations

from typing import Any

import pytest

from comity.coordination.document import (
    Aggregate,
    DependencySection,
    FieldSection,
    InvariantSection,
    KindSection,
    ResourceSection,
)
from comity.coordination.world import World, window_s
from comity.core.errors import UsageError
from unit.coordination.small_world import LOAD, MODE, TAGS, N, document


def test_a_field_is_known_by_its_kind() -> None:
    world = World(document())
    assert (world.kind_of(N), world.settle_s(N), world.initial(N)) == ("svc", 5, 4)
    assert world.section("svc/a.nothing") is None
    assert world.section("other/a.n") is None
    with pytest.raises(UsageError, match=r"no field `svc/a.nothing`") as caught:
        world.require("svc/a.nothing")
    assert "svc/{name}.n" in caught.value.hint


@pytest.mark.parametrize(
    ("field", "value", "fits"),
    [
        (N, 3, True),
        (N, 3.0, True),
        (N, 3.5, False),
        (N, True, False),
        (N, 1e19, False),
        (N, float("nan"), False),
        (N, 10**400, False),
        (LOAD, 3.5, True),
        (LOAD, float("inf"), False),
        (MODE, "up", True),
        (MODE, "off", False),
        (MODE, None, False),
        (TAGS, ("a",), True),
        (TAGS, "a", False),
        ("svc/a.q", 1, False),
    ],
)
def test_a_value_fits_its_field_or_not(field: str, value: Any, fits: bool) -> None:
    assert (World(document()).misfit(field, value) == "") is fits


def test_low_and_high_are_invariants_that_are_enforced() -> None:
    world = World(document())
    assert [item.key for item in world.instances(N, [])] == ["total", "svc/{name}.n bounds(name=a)"]
    assert world.invariants_of(N) == ("total", "svc/{name}.n bounds")


def test_influences_go_three_deep_add_their_lags_and_never_round() -> None:
    fields = {name: FieldSection() for name in "abcde"}
    links = tuple(
        DependencySection(f"k/{{x}}.{a}", f"k/{{x}}.{b}", gain=2.0, lag_s=1) for a, b in ("ab", "bc", "cd", "de", "ca")
    )
    world = World(document(kinds={"k": KindSection("k/{x}", fields)}, dependencies=links, invariants={}, tools={}))
    assert [(item.field, item.gain, item.lag_s) for item in world.influences("k/1.a")] == [
        ("k/1.b", 2, 1),
        ("k/1.c", 4, 2),
        ("k/1.d", 8, 3),
    ]
    assert world.reaches("k/1.a") == ("k/1.b", "k/1.c", "k/1.d")


def test_only_derives_moves_values() -> None:
    link = DependencySection("svc/{name}.n", "svc/{name}.load", relation="requires")
    world = World(document(dependencies=(link,)))
    assert world.influences(N) == ()
    assert world.reaches(N) == (LOAD,)


def test_kinds_that_an_invariant_ties_together_are_one_component() -> None:
    kinds = {name: KindSection(f"{name}/{{x}}", {"n": FieldSection()}) for name in ("a", "b", "c")}
    tie = InvariantSection({"x": "a/{x}.n", "y": "b/{x}.n"}, "x <= y")
    world = World(document(kinds=kinds, invariants={"tie": tie}, tools={}))
    assert world.component_of("a/1.n") == world.component_of("b/1.n") != world.component_of("c/1.n")
    assert world.component_of("d/1.n") == ""


def test_the_domain_of_a_field_is_the_resources_else_the_kinds() -> None:
    kind = KindSection("svc/{zone}/{x}", {"n": FieldSection()}, domain="zone-{zone}")
    resources = {"svc/z1/a": ResourceSection(domain="own")}
    world = World(document(kinds={"svc": kind}, resources=resources, invariants={}, tools={}))
    assert (world.domain_of("svc/z1/a.n"), world.domain_of("svc/z1/b.n")) == ("own", "zone-z1")


def test_a_window_is_a_number_and_a_unit() -> None:
    assert [window_s(text) for text in ("90s", "1.5 h", "2d", "1w", "")] == [90, 5_400, 172_800, 604_800, 0]
    for text in ("h", "0s", "-1h", "1y", "1h30m"):
        with pytest.raises(UsageError) as caught:
            window_s(text)
        assert caught.value.code == "bad_window"


def test_the_longest_window_of_a_field_is_known() -> None:
    rules = {
        name: InvariantSection({"w": Aggregate(count="svc/*.n", within=within)}, "w <= 1")
        for name, within in (("short", "60s"), ("long", "1h"))
    }
    world = World(document(invariants=rules))
    assert world.window_us(N) == 3_600_000_000
    assert world.window_us(LOAD) == 0


def test_an_aggregate_is_of_one_way_and_only_sums_and_counts_have_windows() -> None:
    for let in (Aggregate(), Aggregate(sum="svc/*.n", max="svc/*.n"), Aggregate(max="svc/*.n", within="1h")):
        with pytest.raises(UsageError) as caught:
            World(document(invariants={"bad": InvariantSection({"x": let}, "x <= 1")}))
        assert caught.value.code == "bad_aggregate"
