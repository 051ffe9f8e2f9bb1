"""Up to where a program has got everything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from comity.gateway.deliveries import Deliveries


def test_nothing_is_consumed_at_first() -> None:
    assert Deliveries().consumed == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 30)), max_size=60))
def test_all_that_is_expected_up_to_what_is_consumed_has_arrived(steps: list[tuple[bool, int]]) -> None:
    deliveries, missing, last = Deliveries(), set[int](), 0
    for is_expected, order in steps:
        if is_expected:
            deliveries.expect(order)
            missing.add(order)
        else:
            deliveries.arrived(order)
            missing.discard(order)
            last = max(last, order)
        assert deliveries.consumed == min([last, *(order - 1 for order in missing)])
