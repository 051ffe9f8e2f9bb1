"""The fake clock: sleepers wake in order, only when told, and see each other's work."""

from __future__ import annotations

import asyncio

from comity.core.ids import new_id
from comity.testing import FakeClock, FakeEntropy


async def test_a_sleeper_wakes_only_when_the_clock_reaches_its_moment():
    clock = FakeClock()
    sleeper = asyncio.ensure_future(clock.sleep(2.0))
    await clock.advance(1.999)
    assert not sleeper.done()
    await clock.advance(0.001)
    assert sleeper.done()


async def test_sleepers_wake_in_the_order_of_their_moments_at_their_moments():
    clock = FakeClock(monotonic_s=0.0)
    woken: list[tuple[str, float]] = []

    async def sleep(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic_s()))

    tasks = [asyncio.ensure_future(sleep(*item)) for item in (("c", 3.0), ("a", 1.0), ("b", 2.0), ("a2", 1.0))]
    await clock.advance(10.0)
    assert woken == [("a", 1.0), ("a2", 1.0), ("b", 2.0), ("c", 3.0)]
    assert clock.monotonic_s() == 10.0
    await asyncio.gather(*tasks)


async def test_a_sleeper_that_sleeps_again_wakes_again_within_one_advance():
    clock = FakeClock()
    beats: list[float] = []

    async def beat() -> None:
        for _ in range(4):
            await clock.sleep(0.25)
            beats.append(clock.monotonic_s())

    task = asyncio.ensure_future(beat())
    await clock.advance(1.0)
    assert beats == [1000.25, 1000.5, 1000.75, 1001.0]
    await task


async def test_a_cancelled_sleeper_is_forgotten():
    clock = FakeClock()
    sleeper = asyncio.ensure_future(clock.sleep(1.0))
    await clock.settle()
    assert clock.statistics().sleepers == 1
    assert clock.statistics().next_s == 1001.0
    sleeper.cancel()
    await clock.settle()
    assert (clock.statistics().sleepers, clock.statistics().slept) == (0, 1)
    await clock.advance(2.0)


async def test_one_may_wait_until_somebody_sleeps():
    clock = FakeClock()
    waiter = asyncio.ensure_future(clock.wait_for_sleepers(2))
    sleepers = [asyncio.ensure_future(clock.sleep(1.0))]
    await clock.settle()
    assert not waiter.done()
    sleepers.append(asyncio.ensure_future(clock.sleep(1.0)))
    await waiter
    await clock.advance(1.0)
    await asyncio.gather(*sleepers)


async def test_a_sleep_of_nothing_returns_at_once():
    clock = FakeClock()
    await clock.sleep(0)
    await clock.sleep(-1)
    assert clock.statistics().slept == 0


def test_the_wall_clock_may_jump_and_monotonic_time_does_not():
    clock = FakeClock(wall_us=5_000_000, monotonic_s=7.0)
    clock.advance_nowait(1.0)
    assert (clock.wall_us(), clock.monotonic_s()) == (6_000_000, 8.0)
    clock.set_wall_us(1)
    assert (clock.wall_us(), clock.monotonic_s()) == (1, 8.0)


def test_the_same_seed_gives_the_same_bytes_and_no_two_takes_are_alike():
    first, second, other = FakeEntropy(1), FakeEntropy(1), FakeEntropy(2)
    taken = [first.take(16) for _ in range(100)]
    assert taken == [second.take(16) for _ in range(100)]
    assert len(set(taken)) == 100
    assert other.take(16) not in taken
    assert len(first.take(1000)) == 1000


def test_ids_made_with_fakes_repeat():
    assert new_id(FakeClock(), FakeEntropy(3)) == new_id(FakeClock(), FakeEntropy(3))
