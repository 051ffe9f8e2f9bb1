"""What *damp* means: a field that oscillates is held for a while, for twice as long each time, and less as it rests."""

from __future__ import annotations

import msgspec

from comity.coordination.detectors.recent import SECOND_US, Recent

DOUBLINGS_MAX = 32


class DampingParameters(msgspec.Struct, frozen=True):
    """The first hold is `hold_settles` times what the field takes to settle, at least `hold_s_min`.

    Each further strike doubles it, up to `hold_s_max`; after each `decay_s` without one, one doubling is forgotten.
    """

    hold_settles: float = 2.0
    hold_s_min: float = 30.0
    hold_s_max: float = 3600.0
    decay_s: float = 900.0


class _Held(msgspec.Struct):
    """A field's strikes, when the last was, until when it is held."""

    strikes: float = 0.0
    at_us: int = 0
    until_us: int = 0


class Damping:
    """Holds fields down by dwell and back-off.

    Source: RFC 2439's suppression with RFC 7196's caution: a cap, and decay by rest alone.
    """

    def __init__(self, parameters: DampingParameters | None = None) -> None:
        self._with = parameters or DampingParameters()
        self._held: Recent[str, _Held] = Recent()

    def strike(self, field: str, at_us: int, settle_s: float = 0.0) -> int:
        """Hold `field` from `at_us` on; return until when, in microseconds."""
        held = self._held.use(field, _Held)
        strikes = self._strikes(held, at_us)
        first_s = max(self._with.hold_s_min, self._with.hold_settles * settle_s)
        hold_s = min(self._with.hold_s_max, first_s * 2.0 ** min(strikes, DOUBLINGS_MAX))
        held.strikes = strikes + 1
        held.at_us = max(held.at_us, at_us)
        held.until_us = max(held.until_us, at_us + int(hold_s * SECOND_US))
        return held.until_us

    def until_us(self, field: str, at_us: int) -> int:
        """Return until when `field` is held, 0 where it is free at `at_us`."""
        held = self._held.get(field)
        return held.until_us if held is not None and at_us < held.until_us else 0

    def release(self, field: str) -> None:
        """Free `field` and forget its strikes, as an operator may order."""
        self._held.drop(field)

    def held(self, at_us: int) -> dict[str, int]:
        """Return the fields that are held at `at_us`, and until when."""
        return {field: held.until_us for field, held in self._held.items() if at_us < held.until_us}

    def _strikes(self, held: _Held, at_us: int) -> float:
        """Return how many strikes still count; a rest is counted from the end of the hold."""
        rested_us = max(0, at_us - max(held.at_us, held.until_us))
        if self._with.decay_s <= 0:
            return 0.0 if rested_us else held.strikes
        return max(0.0, held.strikes - rested_us // int(self._with.decay_s * SECOND_US))
