"""Loops that agents make among themselves, and agents that never get to act."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from comity.rehearsal.search import Searched
from comity.rehearsal.team import SHARED_BITS, SHARED_MASK, Taken, Team

EXPANDED_MAX = 200_000
"""So many states are expanded to look for a loop; beyond that, none was found."""


class Lasso(NamedTuple):
    """A run to a state, and steps of agents alone that lead back to it."""

    state: int
    loop: tuple[Taken, ...]


def lasso(found: Searched) -> Lasso | None:
    """Return the nearest loop that agents make without the surroundings: fields change and come back.

    The loop must fit once more into the acts that its agents have left, so that it is no single there and back.
    """
    team = found.team
    turned = _Turned(team)
    met: dict[int, int] = {}
    groups: dict[int, list[int]] = {}
    for state in found.parents:
        key = turned.key(state)
        if key in met:
            groups.setdefault(key, [met[key]]).append(state)
        else:
            met[key] = state
    rank = {state: place for place, state in enumerate(found.parents)} if groups else {}
    order = [state for group in groups.values() for state in group]
    budget = EXPANDED_MAX
    for state in sorted(order, key=rank.__getitem__):
        goals = {item for item in groups[turned.key(state)] if _may_repeat(team, state, item)}
        if goals:
            loop, used = _way(team, state, goals, budget)
            budget -= used
            if loop is not None:
                return Lasso(state, loop)
            if budget <= 0:
                return None
    return None


class _Turned:
    """Numbers states without how often their agents have acted."""

    def __init__(self, team: Team) -> None:
        self._team = team
        self._ids: dict[object, int] = {}
        self._shared: dict[int, int] = {}
        self._locals: list[dict[int, int]] = [{} for _ in team.processes]

    def key(self, state: int) -> int:
        team, shared = self._team, state & SHARED_MASK
        made = self._shared.get(shared)
        if made is None:
            here = team.space.states[shared]
            made = self._shared[shared] = self._id((here.values, here.flying, here.faults, here.held))
        for place, (process, known) in enumerate(zip(team.processes, self._locals, strict=True)):
            local = team.local(state, place)
            found = known.get(local)
            if found is None:
                found = known[local] = self._id((place, process.without_count(local)))
            made = made << SHARED_BITS | found
        return made

    def _id(self, value: object) -> int:
        return self._ids.setdefault(value, len(self._ids))


def _may_repeat(team: Team, first: int, last: int) -> bool:
    has_moved = False
    for place, process in enumerate(team.processes):
        one, other = team.local(first, place), team.local(last, place)
        used = process.spent(other) - process.spent(one)
        if used < 0 or used > process.left(other):
            return False
        has_moved = has_moved or used > 0
    return has_moved


def _way(team: Team, first: int, goals: set[int], budget: int) -> tuple[tuple[Taken, ...] | None, int]:
    """Return steps of agents from a state to one of `goals` on which a value changes; and how much was expanded."""
    values = team.shared(first).values
    begin = (first, False)
    parents: dict[tuple[int, bool], tuple[tuple[int, bool], Taken] | None] = {begin: None}
    queue = deque([begin])
    used = 0
    while queue and used < budget:
        here = queue.popleft()
        used += 1
        state, has_changed = here
        if state in goals and has_changed:
            steps: list[Taken] = []
            at = parents[here]
            while at is not None:
                steps.append(at[1])
                at = parents[at[0]]
            return tuple(reversed(steps)), used
        for taken in team.steps(state):
            if not team.processes[taken.by].is_agent or taken.move.label.fault or taken.move.label.kind == "refused":
                continue
            after = team.canonical(taken.state)
            there = (after, has_changed or team.shared(after).values != values)
            if there not in parents and not team.space.is_bad[after & SHARED_MASK]:
                parents[there] = (here, taken)
                queue.append(there)
    return None, used


def starving(found: Searched) -> Iterator[tuple[str, str]]:
    """Yield agents that want to act and in no run get to, or whose goal is reached in no run; with the reason."""
    team = found.team
    wanting: set[str] = set()
    acting: set[str] = set()
    for (place, _, _), moves in team.met.items():
        for move in moves:
            if move.label.kind == "think":
                wanting.add(team.names[place])
            elif move.label.kind == "act":
                acting.add(team.names[place])
    for place, process in enumerate(team.processes):
        name = team.names[place]
        if not process.is_agent:
            continue
        if name in wanting and name not in acting:
            yield name, "it wants to act, and is refused in every run"
        elif process.has_goal:
            met = {(state & SHARED_MASK, team.local(state, place)) for state in found.parents}
            if not any(process.reaches_goal(team.space.states[shared], local) for shared, local in met):
                yield name, "no run reaches its goal"


def attained(found: Searched) -> Iterator[tuple[str, float]]:
    """Yield for each agent with a goal the share of runs' ends in which it is reached.

    A run ends where all rest: nobody acts any more, or is refused for good.
    """
    team = found.team
    wanted = [place for place, item in enumerate(team.processes) if item.is_agent and item.has_goal]
    rests = [state for state in found.parents if _rests(team, state)] if wanted else []
    for place in wanted:
        process = team.processes[place]
        reached = sum(bool(process.reaches_goal(team.shared(state), team.local(state, place))) for state in rests)
        yield team.names[place], reached / len(rests) if rests else 0.0


def _rests(team: Team, state: int) -> bool:
    shared = state & SHARED_MASK
    if team.space.is_bad[shared]:
        return False
    if any(process.is_pending(team.local(state, place)) for place, process in enumerate(team.processes)):
        return False
    for place in range(len(team.processes)):
        for move in team.moves(place, shared, team.local(state, place)):
            label = move.label
            if label.kind == "refused":
                continue
            if label.kind != "think" or label.fault:
                return False
            if any(after.label.kind != "refused" for after in team.moves(place, move.shared, move.local)):
                return False
    return True
