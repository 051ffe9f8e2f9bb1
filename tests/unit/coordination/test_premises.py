"""Premises are judged anew at the moment of acting, over what is in flight on their field."""

from __future__ import annotations

import pytest

from comity.coordination.believed import Effect, Flight
from comity.coordination.handling import BoundPremise
from comity.coordination.premises import Told, holds_now
from comity.core.errors import UsageError
from comity.core.expression import parse
from unit.coordination.small_world import NOW, Desk, N, S


def told(desk: Desk, text: str, field: str = N, max_age_s: float | None = None) -> Told:
    return holds_now(BoundPremise(field, parse(text), {"least": 3}, max_age_s), desk.picture, desk.now)


def fly(desk: Desk, ticket: str, *effects: Effect) -> None:
    desk.picture.hold(Flight(ticket, ticket, "t", "bot", "x", "", effects, (), 60 * S, NOW))


def test_a_premise_reads_the_value_and_the_arguments() -> None:
    assert told(Desk(), "value >= least") == Told(True, False, 4)
    assert told(Desk(), "value < least") == Told(False, True, 4)


def test_what_is_in_flight_may_make_it_false() -> None:
    desk = Desk()
    fly(desk, "down", Effect(N, "add", -1))
    assert told(desk, "value >= least").holds
    fly(desk, "more", Effect(N, "add", -1))
    assert told(desk, "value >= least") == Told(False, False, 4)


def test_each_stage_and_order_of_what_is_in_flight_counts() -> None:
    desk = Desk()
    fly(desk, "one", Effect(N, "add", -2), Effect(N, "add", 2, S))
    assert not told(desk, "value >= least").holds
    other = Desk()
    fly(other, "set", Effect(N, "set", 3))
    fly(other, "step", Effect(N, "add", 1))
    assert not told(other, "value != 5").holds
    assert told(other, "value <= 5").holds


def test_an_unknown_or_old_value_makes_it_false() -> None:
    assert told(Desk(), "value >= 0", field="svc/a.gen") == Told(False, True, None)
    desk = Desk()
    desk.see(N, 4)
    desk.now += 11 * S
    assert told(desk, "value >= 0", max_age_s=11).holds
    assert told(desk, "value >= 0", max_age_s=10).is_settled_false


def test_more_orders_than_can_be_tried_may_be_anything() -> None:
    desk = Desk()
    for number in range(30):
        fly(desk, f"k{number}", Effect(N, "add", 0.5 + number))
    assert told(desk, "value >= 0") == Told(False, False, 4)


def test_a_field_that_is_not_there_and_a_premise_that_fails_are_errors() -> None:
    with pytest.raises(UsageError) as caught:
        told(Desk(), "value", field="svc/a.q")
    assert caught.value.code == "unknown_field"
    with pytest.raises(UsageError) as caught:
        told(Desk(), "value + nothing > 1")
    assert caught.value.code == "premise_failed"
