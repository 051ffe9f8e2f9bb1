"""The search: breadth first over the states of a team, each once, so that the first violation is the nearest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from comity.rehearsal.team import LOCAL_MASK, SHARED_BITS, SHARED_MASK, Taken, Team

Watch = Callable[[int], str]
"""Is told how many states more were seen; returns why to stop, empty to go on."""

EVERY = 2_048
"""So many states are expanded between two looks at the watch."""


def unwatched(_more: int) -> str:
    """Never stop."""
    return ""


@dataclass
class Searched:
    """What a search saw.

    Attributes:
        team: Whose states they are.
        parents: Each state with the one that it was first reached from, -1 for a first one.
        bad: States that break an invariant, nearest first; nothing is explored behind them.
        depth: Levels that are complete: every run of at most so many steps was seen.
        stopped: Why it ended before everything was seen; empty where it did not.
    """

    team: Team
    parents: dict[int, int]
    bad: list[int] = field(default_factory=list)
    depth: int = 0
    stopped: str = ""

    @property
    def is_exhaustive(self) -> bool:
        """Tell whether every state was seen."""
        return not self.stopped

    def path(self, state: int) -> list[Taken]:
        """Return the steps of the shortest run to a state."""
        chain = [state]
        while self.parents[chain[-1]] >= 0:
            chain.append(self.parents[chain[-1]])
        chain.reverse()
        return follow(self.team, chain)

    def first(self, state: int) -> int:
        """Return the first state of the run to a state."""
        while self.parents[state] >= 0:
            state = self.parents[state]
        return state


def follow(team: Team, chain: list[int]) -> list[Taken]:
    """Return steps that lead through a chain of states; alike processes keep their names from step to step."""
    here, steps = chain[0], []
    for target in chain[1:]:
        step = next(item for item in team.steps(here) if team.canonical(item.state) == target)
        steps.append(step)
        here = step.state
    return steps


def search(team: Team, *, states_max: int, is_first_enough: bool = True, watch: Watch = unwatched) -> Searched:
    """Explore a team's states, up to `states_max`; end with the first violation where that is enough.

    Cost: a look-up for each process and step; see `Team`.
    """
    parents: dict[int, int] = {}
    frontier = []
    for start in team.starts():
        if start not in parents:
            parents[start] = -1
            frontier.append(start)
    found = Searched(team, parents)
    told = 0
    while frontier and not found.stopped:
        reached: list[int] = []
        for begin in range(0, len(frontier), EVERY):
            for state in _expand(team, frontier[begin : begin + EVERY], parents, reached):
                found.bad.append(state)
                if is_first_enough:
                    return found
            why = watch(len(parents) - told)
            told = len(parents)
            if len(parents) >= states_max:
                why = why or f"the first {states_max:,} states"
            if why:
                found.stopped = why
                break
        else:
            found.depth += 1
        frontier = reached
    if found.stopped and not frontier:
        found.stopped = ""
    return found


def _expand(team: Team, frontier: list[int], parents: dict[int, int], reached: list[int]) -> list[int]:
    """Add what is new behind a frontier to `reached`; return those of the frontier that are bad."""
    is_bad = team.space.is_bad
    processes = tuple((place, shift, team.caches[place]) for place, shift in enumerate(team.shifts))
    canonical = team.canonical if team.blocks else None
    add = reached.append
    bad = []
    for state in frontier:
        shared = state & SHARED_MASK
        if is_bad[shared]:
            bad.append(state)
            continue
        chosen = processes
        if team.may_move_alone:
            chosen = _alone(team, state, shared) or processes
        for place, shift, cache in chosen:
            key = shared | (((state >> shift) & LOCAL_MASK) << SHARED_BITS)
            deltas = cache.get(key)
            if deltas is None:
                deltas = team.deltas(place, key)
            for delta in deltas:
                after = state + delta
                if canonical is not None:
                    after = canonical(after)
                if after not in parents:
                    parents[after] = state
                    add(after)
    return bad


def _alone(team: Team, state: int, shared: int) -> tuple[tuple[int, int, dict[int, tuple[int, ...]]], ...]:
    """Return the one process that may move alone, nothing where there is none."""
    for place, shift in enumerate(team.shifts):
        key = shared | (((state >> shift) & LOCAL_MASK) << SHARED_BITS)
        cache = team.caches[place]
        if key not in cache:
            team.deltas(place, key)
        if key in team.alone[place]:
            return ((place, shift, cache),)
    return ()
