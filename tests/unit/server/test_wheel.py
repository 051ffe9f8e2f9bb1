"""Timers that share one sleeper."""

from __future__ import annotations

from comity.server.wheel import Wheel
from comity.testing import FakeClock


async def test_a_timer_rings_once_at_its_tick_and_not_before():
    clock, rung = FakeClock(), []
    Wheel(clock).after(2.5, lambda: rung.append(clock.monotonic_s()))
    await clock.advance(2.4)
    assert rung == []
    await clock.advance(10)
    assert rung == [1_003.0]


async def test_however_many_wait_one_sleeps():
    clock = FakeClock()
    wheel, rung = Wheel(clock), []
    for number in range(1_000):
        wheel.after(1 + number % 15, lambda: rung.append(1))
    await clock.settle()
    assert clock.statistics().sleepers == 1
    await clock.advance(15)
    assert len(rung) == 1_000
    assert clock.statistics().sleepers == 0


async def test_a_cancelled_timer_does_not_ring_though_another_of_its_tick_cancels_it():
    clock, rung = FakeClock(), []
    wheel = Wheel(clock)
    timers = [wheel.after(1, lambda: (rung.append("first"), timers[1].cancel())), wheel.after(1, rung.clear)]
    await clock.advance(5)
    assert rung == ["first"]


async def test_a_wheel_that_stood_still_turns_again():
    clock, rung = FakeClock(), []
    wheel = Wheel(clock)
    for _ in range(2):
        wheel.after(3, lambda: rung.append(1))
        await clock.advance(4)
    assert rung == [1, 1]


async def test_a_wheel_with_cancelled_timers_alone_stands_still():
    clock = FakeClock()
    Wheel(clock).after(50, int).cancel()
    await clock.advance(1)
    assert clock.statistics().sleepers == 0


async def test_a_closed_wheel_rings_nobody():
    clock, rung = FakeClock(), []
    wheel = Wheel(clock)
    wheel.after(1, lambda: rung.append(1))
    await wheel.close()
    await clock.advance(5)
    assert rung == []
