"""Admission over an explorer's own state: an act passes if the invariants hold, whatever of what is in flight lands."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from comity.rehearsal.model import Write
from comity.rehearsal.process import Act, Judged
from comity.rehearsal.space import Flying, Shared, Space, tidy

FLYING_MAX = 8
"""Subsets of so many effects in flight are looked at; with more, an act is refused."""
TRIMS_MAX = 64


class InvariantAdmitter:
    """Admits what keeps every enforced invariant over everything in flight."""

    def __init__(self, space: Space) -> None:
        """Judge on the states of `space`."""
        self._space = space
        self._checks = tuple(check for check in space.model.checks if check.is_enforced)

    def judge(self, state: Shared, act: Act, agent: str) -> Judged:
        """Admit an act, trim its first touch to what fits, or refuse it."""
        broken = self._breaks(state, act.writes)
        if not broken:
            return Judged("admit")
        trim = self._space.model.handling(act.tool).section.trim
        if trim and act.writes:
            for value in _smaller(state, act.writes[0]):
                writes = (act.writes[0]._replace(value=value), *act.writes[1:])
                if not self._breaks(state, writes):
                    return Judged("trim", broken, act._replace(writes=writes))
        return Judged("refuse", f"invariant {broken}")

    def _breaks(self, state: Shared, writes: tuple[Write, ...]) -> str:
        if len(state.flying) > FLYING_MAX:
            return "too much in flight"
        for landed in _subsets(state.flying):
            here = state
            for item in landed:
                here = self._space.after(here, item.writes, is_touch=item.owner >= 0)
            after = self._space.after(here, writes)
            late = [item for item in after.flying if item.owner < 0]
            for settled in _subsets(tuple(late)):
                seen = after
                for item in settled:
                    seen = self._space.after(seen, item.writes, is_touch=False)
                for check in self._checks:
                    if not check.holds(seen.values, seen.marks):
                        return check.key
        return ""


def _subsets(items: tuple[Flying, ...]) -> Iterator[tuple[Flying, ...]]:
    for size in range(len(items) + 1):
        yield from combinations(items, size)


def _smaller(state: Shared, write: Write) -> Iterator[int | float]:
    """Yield values between what is asked and no change, nearest to what is asked first."""
    before = state.values[write.place] if write.op == "set" else 0
    if not isinstance(write.value, int | float) or not isinstance(before, int | float):
        return
    gap = write.value - before
    steps = min(TRIMS_MAX, int(abs(gap)) - (float(gap).is_integer())) if abs(gap) > 1 else 0
    for number in range(1, steps + 1):
        yield tidy(write.value - number * (1 if gap > 0 else -1))
