"""Trim gives the largest part of what was asked that passes: nothing more passes, and that does."""

from __future__ import annotations

from typing import Any

import pytest

from comity.coordination.document import FieldSection, InvariantSection, KindSection, ToolSection, TouchSection
from unit.coordination.small_world import Desk


def tools(op: str = "set", value: str = "to") -> dict[str, ToolSection]:
    return {"size": ToolSection(touches=(TouchSection("svc/{name}.n", op, value),), trim="to")}  # type: ignore[arg-type]


@pytest.mark.parametrize("start", range(0, 11, 2))
@pytest.mark.parametrize("asked", [-9, -4, -1, 1, 3, 7, 40, 10**15])
def test_no_larger_step_would_have_passed(start: int, asked: int) -> None:
    desk = Desk()
    desk.see("svc/a.n", start)
    ruling = desk.ask("k", "scale", {"by": asked})
    way = 1 if asked > 0 else -1
    best = next((way * n for n in range(min(abs(asked), 20), 0, -1) if 0 <= start + way * n <= 10), None)
    if ruling.word == "admit":
        assert best == asked
    elif best is None:
        assert (ruling.word, ruling.args) == ("reject", None)
    else:
        assert ruling.word == "trim"
        assert ruling.args == {"name": "a", "by": best}
        assert Desk.ask(desk, "l", "scale", {"by": best}).word == "admit"


def test_a_new_value_is_moved_towards_the_present_one() -> None:
    desk = Desk(tools=tools())
    assert desk.ask("k", "size", {"to": 30}).args == {"name": "a", "to": 10}
    assert desk.ask("l", "size", {"to": -30}).args == {"name": "a", "to": 0}


def test_whatever_passes_of_few_is_found_even_in_pieces() -> None:
    odd = {"odd": InvariantSection({"n": "svc/{name}.n"}, "n in (4, 5, 9)", mode="enforce")}
    assert Desk(invariants=odd).ask("k", "scale", {"by": 6}).args == {"name": "a", "by": 5}


def test_numbers_with_fractions_are_trimmed_closely() -> None:
    kind = KindSection("svc/{name}", {"n": FieldSection(low=0, high=1, initial=0.0)})
    desk = Desk(kinds={"svc": kind}, invariants={}, tools=tools("add"))
    ruling = desk.ask("k", "size", {"to": 2.5})
    assert ruling.args is not None
    assert 1 - 1e-5 < ruling.args["to"] <= 1 + 1e-9


@pytest.mark.parametrize("asked", ["many", True, None, [20]])
def test_what_is_no_number_is_not_trimmed(asked: Any) -> None:
    assert Desk().ask("k", "scale", {"by": asked}).word == "reject"


def test_what_would_not_be_nothing_at_nothing_is_not_trimmed_to_harm() -> None:
    desk = Desk(tools=tools("add", "to + 20"))
    assert desk.ask("k", "size", {"to": 5}).word == "reject"
