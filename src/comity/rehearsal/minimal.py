"""Sets of agents, the smallest first: which of them together break an invariant, while no part of them does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import comb

from comity.rehearsal.coverage import Counting
from comity.rehearsal.report import SubsetResult
from comity.rehearsal.search import Searched, Watch, search
from comity.rehearsal.stage import Stage

SUBSETS_MAX = 400
"""So many sets of one size are explored; where there are more, all agents at once, and then ever fewer."""


@dataclass
class Examined:
    """What the sets of agents came to.

    Attributes:
        subsets: Each set that was explored; the last is the violating one, where there is one.
        whole: The explorations that make up all agents together.
        violating: The one that broke an invariant.
        minimal: Its agents, of which every proper subset is safe; None where nothing was broken.
        is_minimal: Whether every proper subset was seen to be safe, exhaustively.
    """

    subsets: list[SubsetResult] = field(default_factory=list)
    whole: list[Searched] = field(default_factory=list)
    violating: Searched | None = None
    minimal: tuple[str, ...] | None = None
    is_minimal: bool = True

    @property
    def size_seen(self) -> int:
        """Return up to which size every set was explored exhaustively."""
        cut = [len(item.agents) for item in self.subsets if not item.is_exhaustive]
        done = [len(item.agents) for item in self.subsets if item.is_exhaustive]
        return min(cut) - 1 if cut else max(done, default=0)

    @property
    def explored(self) -> int:
        """Return how many states were seen."""
        return sum(item.states for item in self.subsets)


class Examination:
    """Explores sets of agents of one stage: all together up to a bound of states, all smaller sets up to one in sum."""

    def __init__(self, stage: Stage, counting: Counting, *, states_max: int, watch: Watch) -> None:
        """Explore up to `states_max`."""
        self._stage, self._counting = stage, counting
        self._states_max, self._watch = states_max, watch
        self._groups: dict[frozenset[str], Searched] = {}
        self.result = Examined()

    def run(self, names: Sequence[str]) -> Examined:
        """Examine agents: none (the surroundings alone), one, two …, all."""
        result = self.result
        whole = {frozenset(group) for group in self._stage.groups(names)}
        for subset in self._subsets(names):
            left = self._states_max - result.explored
            if frozenset(subset) in whole:
                left = self._states_max
            elif left <= 0:
                result.is_minimal = False
                continue
            found = self._explore(subset, left)
            if frozenset(subset) in whole or not names:
                self._groups[frozenset(subset)] = found
            if found.bad:
                result.minimal, result.violating = subset, found
                result.is_minimal = result.is_minimal and all(item.is_exhaustive for item in result.subsets[:-1])
                if not result.is_minimal:
                    self._shrink(found)
                return result
            if found.stopped and self._is_over():
                break
        for group in sorted(whole, key=sorted):
            if group not in self._groups:
                self._groups[group] = self._explore(tuple(sorted(group)), self._states_max)
        result.whole = [self._groups[group] for group in sorted(whole, key=sorted)]
        broken = next((item for item in result.whole if item.bad), None)
        if broken is not None:
            self._shrink(broken)
        return result

    def _subsets(self, names: Sequence[str]) -> Iterator[tuple[str, ...]]:
        if self._stage.surroundings:
            yield ()
        met: set[tuple[int, ...]] = set()
        for size in range(1, len(names) + 1):
            if comb(len(names), size) > SUBSETS_MAX and len(set(self._stage.alike(names))) > 1:
                self.result.is_minimal = False
                return
            for subset in self._of_size(names, size):
                key = self._stage.alike(subset)
                if key not in met and len(self._stage.groups(subset)) == 1:
                    met.add(key)
                    yield subset

    def _of_size(self, names: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
        if len(set(self._stage.alike(names))) == 1:
            yield tuple(names[:size])
        else:
            yield from combinations(names, size)

    def _explore(self, names: Sequence[str], states_max: int) -> Searched:
        found = search(self._stage.team(names), states_max=states_max, watch=self._watch)
        self._counting.add(found)
        outcome = "violated" if found.bad else "safe" if found.is_exhaustive else "unknown"
        self.result.subsets.append(
            SubsetResult(tuple(names), outcome, len(found.parents), found.is_exhaustive)  # type: ignore[arg-type]  # one of three
        )
        return found

    def _is_over(self) -> bool:
        return bool(self._watch(0))

    def _shrink(self, broken: Searched) -> None:
        """Leave out one agent after the other while an invariant still breaks."""
        result = self.result
        agents = [name for name, item in zip(broken.team.names, broken.team.processes, strict=True) if item.is_agent]
        result.violating, result.is_minimal = broken, True
        for name in tuple(agents):
            fewer = [other for other in agents if other != name]
            found = self._explore(fewer, self._states_max)
            if found.bad:
                agents, result.violating = fewer, found
            elif not found.is_exhaustive:
                result.is_minimal = False
        result.minimal = tuple(agents)
