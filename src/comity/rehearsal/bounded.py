"""Beyond the bound: runs with few preemptions first, then random schedules whose chance to find a bug is known.

Source: iterative context bounding (Musuvathi and Qadeer, PLDI'07); probabilistic concurrency testing (Burckhardt et
al., ASPLOS'10): a schedule of depth d among n processes and k steps finds a bug of that depth with a chance of at least
1 / (n · k^(d-1)).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from comity.core.entropy import Generator, generator
from comity.rehearsal.search import Searched, Watch
from comity.rehearsal.team import SHARED_MASK, Taken, Team

PREEMPTIONS_MAX = 2
SCHEDULES_MAX = 2_000
DEPTH = 3
STEPS_MAX = 2_000
SCHEDULED_STEPS_MAX = 100_000


class Bounded(NamedTuple):
    """What was seen beyond the bound: the words for the verdict, and a violating run where there is one."""

    said: list[str]
    team: Team
    first: int = 0
    path: Sequence[Taken] | None = None


def look_further(cut: Sequence[Searched], states_max: int, seed: int, watch: Watch) -> Bounded:
    """Look on where searches were cut; the first violation ends it."""
    said: list[str] = []
    for found in cut:
        team = found.team
        complete = -1
        for preemptions in range(PREEMPTIONS_MAX + 1):
            run, is_complete = preempted(team, preemptions, states_max, watch)
            if run is not None:
                return Bounded(said, team, *run)
            if not is_complete:
                break
            complete = preemptions
        if complete >= 0:
            said.append(f"every run with at most {complete} preemption{'' if complete == 1 else 's'}")
        run, schedules = scheduled(team, generator(f"schedules {seed}".encode()), watch)
        if run is not None:
            return Bounded(said, team, *run)
        said.append(f"{schedules:,} random schedules of depth {DEPTH} from seed {seed}")
    return Bounded(said, cut[0].team)


Run = tuple[int, Sequence[Taken]]


def preempted(team: Team, bound: int, states_max: int, watch: Watch) -> tuple[Run | None, bool]:
    """Explore runs in which an agent is interrupted between thought and act at most `bound` times.

    Returns: a violating run, and whether everything within the bound was seen.
    """
    parents: dict[tuple[int, int, int], tuple[tuple[int, int, int], Taken] | None] = {}
    frontier: list[tuple[int, int, int]] = []
    for start in team.starts():
        parents[start, -1, 0] = None
        frontier.append((start, -1, 0))
    while frontier:
        reached: list[tuple[int, int, int]] = []
        for here in frontier:
            state, last, used = here
            if team.space.is_bad[state & SHARED_MASK]:
                return _run(parents, here), True
            is_busy = last >= 0 and team.processes[last].is_pending(team.local(state, last))
            for taken in team.steps(state):
                cost = used + (is_busy and taken.by != last)
                there = (taken.state, taken.by, cost)
                if cost <= bound and there not in parents and taken.state != state:
                    parents[there] = (here, taken)
                    reached.append(there)
        if len(parents) > states_max or watch(len(reached)):
            return None, False
        frontier = reached
    return None, True


def _run(
    parents: dict[tuple[int, int, int], tuple[tuple[int, int, int], Taken] | None], last: tuple[int, int, int]
) -> Run:
    steps: list[Taken] = []
    at = parents[last]
    while at is not None:
        steps.append(at[1])
        last = at[0]
        at = parents[last]
    return last[0], steps[::-1]


def scheduled(team: Team, chance: Generator, watch: Watch) -> tuple[Run | None, int]:
    """Run random priority schedules; return a violating run and how many were run."""
    starts = team.starts()
    longest, taken_steps = 1, 0
    for number in range(SCHEDULES_MAX):
        start = chance.choice(starts)
        order = list(range(len(team.processes)))
        chance.shuffle(order)
        changes = {chance.randrange(longest) for _ in range(DEPTH - 1)}
        state, steps = start, list[Taken]()
        while len(steps) < STEPS_MAX:
            if team.space.is_bad[state & SHARED_MASK]:
                return (start, steps), number + 1
            taken = _highest(team, state, order, chance)
            if taken is None:
                break
            steps.append(taken)
            state = taken.state
            if len(steps) in changes or taken.move.label.kind == "refused":
                order.remove(taken.by)
                order.append(taken.by)
        longest = max(longest, len(steps))
        taken_steps += len(steps)
        if watch(0) or taken_steps > SCHEDULED_STEPS_MAX:
            return None, number + 1
    return None, SCHEDULES_MAX


def _highest(team: Team, state: int, order: Sequence[int], chance: Generator) -> Taken | None:
    """Return a step of the process that comes first among those that can move."""
    for place in order:
        steps = [taken for taken in team.steps_of(place, state) if taken.state != state]
        if steps:
            return steps[0] if len(steps) == 1 else chance.choice(steps)
    return None
