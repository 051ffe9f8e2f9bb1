"""A call on its way: when its first byte may leave, and when it is held back."""

from __future__ import annotations

from comity.hands.mcp_sending import Sending
from comity.testing import FakeClock


async def test_a_call_begins_while_its_permit_lasts_and_then_goes_on() -> None:
    clock = FakeClock()
    sending = Sending(clock.monotonic_s() + 5.0, clock)
    assert not sending.is_sent
    clock.advance_nowait(4.9)
    assert sending.may_begin()
    assert sending.is_sent
    clock.advance_nowait(10.0)
    assert sending.may_begin(), "what follows the first byte"
    sending.revoke()
    assert not sending.is_held_back


async def test_a_call_whose_permit_has_run_out_is_held_back_for_good() -> None:
    clock = FakeClock()
    sending = Sending(clock.monotonic_s() + 5.0, clock)
    clock.advance_nowait(5.0)
    assert not sending.may_begin()
    assert sending.is_held_back
    assert not sending.is_sent


async def test_a_call_that_nobody_wants_any_more_is_held_back() -> None:
    clock = FakeClock()
    sending = Sending(clock.monotonic_s() + 5.0, clock)
    sending.revoke()
    assert not sending.may_begin()
    assert not sending.is_sent
