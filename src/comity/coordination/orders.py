"""Every order in which calls in flight may happen: each or not, and each with as much of it shown as may be.

A call is a chain of moves (what it does at once, then each that follows from it by a dependency); chains interleave in
any way, and each may stop anywhere. States that are reached twice are looked at once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeVar

from comity.coordination.believed import Effect

STATES_MAX = 600
"""So many states are looked at; beyond that ranges must do."""
S = TypeVar("S", bound=Hashable)


class TooMany(Exception):
    """There are more orders than can be tried."""


def stages(effects: Sequence[Effect]) -> tuple[tuple[Effect, ...], ...]:
    """Return what a call does at once, then what follows, by lag."""
    lags = sorted({effect.lag_us for effect in effects})
    return tuple(tuple(effect for effect in effects if effect.lag_us == lag) for lag in lags)


def every_order(start: S, chains: Sequence[Sequence[Callable[[S], S]]]) -> Iterator[tuple[tuple[int, ...], S]]:
    """Yield how far each chain has come, and the state then, for every order; the start first.

    Raises:
        TooMany: more than `STATES_MAX` states.
    """
    first = ((0,) * len(chains), start)
    seen = {first}
    todo = [first]
    while todo:
        there = todo.pop()
        yield there
        places, state = there
        for which, chain in enumerate(chains):
            if places[which] == len(chain):
                continue
            after = ((*places[:which], places[which] + 1, *places[which + 1 :]), chain[places[which]](state))
            if after not in seen:
                if len(seen) >= STATES_MAX:
                    raise TooMany
                seen.add(after)
                todo.append(after)
