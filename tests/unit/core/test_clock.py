"""The machine's clocks and chance, behind their ports."""

from __future__ import annotations

from comity.core.clock import SystemClock
from comity.core.entropy import SystemEntropy


async def test_the_machines_clocks_go_forward_and_sleep_returns():
    clock = SystemClock()
    wall_us, monotonic_s = clock.wall_us(), clock.monotonic_s()
    await clock.sleep(-1)
    await clock.sleep(0.001)
    assert clock.monotonic_s() >= monotonic_s + 0.001
    assert wall_us > 1_700_000_000_000_000


def test_the_machines_chance_gives_as_many_bytes_as_asked_and_never_the_same():
    entropy = SystemEntropy()
    assert [len(entropy.take(size)) for size in (0, 1, 16)] == [0, 1, 16]
    assert entropy.take(16) != entropy.take(16)
