"""A team: processes that are explored together. Its states are whole numbers; a step adds to one.

The lowest bits number the shared state, then come as many for each process's own state. What adds up is cheap, and so
is a set of whole numbers: that is where the speed comes from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from comity.core.errors import UsageError
from comity.rehearsal.process import Move, Process
from comity.rehearsal.space import SHARED_MAX, Shared, Space

SHARED_BITS = SHARED_MAX.bit_length() - 1
SHARED_MASK = SHARED_MAX - 1
LOCAL_BITS = 16
LOCAL_MASK = (1 << LOCAL_BITS) - 1


class Taken(NamedTuple):
    """A step that a team may take: by which process (its place), which move, and the state that it leads to."""

    by: int
    move: Move
    state: int


class Team:
    """Processes with their first states.

    Where `is_reduced`, processes that are alike (the same object) are one as good as another, and a process whose every
    move concerns nobody else moves alone. Neither loses a violation that can be reached.

    Guarantees: `tests/unit/rehearsal/test_reductions.py`.
    """

    def __init__(
        self, space: Space, processes: Sequence[Process], names: Sequence[str], *, is_reduced: bool = True
    ) -> None:
        """Let `processes` move together; `names` are theirs."""
        self.space, self.processes, self.names = space, tuple(processes), tuple(names)
        self.shifts = tuple(SHARED_BITS + LOCAL_BITS * place for place in range(len(self.processes)))
        self.blocks = self._alike() if is_reduced else ()
        self._sorted: dict[int, int] = {}
        self.caches: list[dict[int, tuple[int, ...]]] = [{} for _ in self.processes]
        self.alone: list[set[int]] = [set() for _ in self.processes]
        self.met: dict[tuple[int, int, int], Sequence[Move]] = {}
        self._others = self._concerns() if is_reduced else ()
        self.may_move_alone = any(own for own, _, _ in self._others) and not space.model.section.faults

    def starts(self) -> list[int]:
        """Return the first states."""
        locals_ = sum(process.start << shift for process, shift in zip(self.processes, self.shifts, strict=True))
        starts = self.space.model.starts
        return [self.canonical(self.space.number(self.space.start(values)) + locals_) for values in starts]

    def shared(self, state: int) -> Shared:
        """Return the shared part of a state."""
        return self.space.states[state & SHARED_MASK]

    def local(self, state: int, place: int) -> int:
        """Return the state of the process at `place`."""
        return (state >> self.shifts[place]) & LOCAL_MASK

    def steps(self, state: int) -> Iterator[Taken]:
        """Yield every step from a state, as it is before alike processes are put in order."""
        for place in range(len(self.processes)):
            yield from self.steps_of(place, state)

    def steps_of(self, place: int, state: int) -> Iterator[Taken]:
        """Yield the steps of the process at `place`."""
        shared, shift = state & SHARED_MASK, self.shifts[place]
        local = (state >> shift) & LOCAL_MASK
        for move in self.moves(place, shared, local):
            yield Taken(place, move, state + move.shared - shared + ((move.local - local) << shift))

    def moves(self, place: int, shared: int, local: int) -> Sequence[Move]:
        """Return the moves of the process at `place`."""
        key = (place, shared, local)
        found = self.met.get(key)
        if found is None:
            found = self.met[key] = self.processes[place].moves(shared, local)
            if any(move.local > LOCAL_MASK for move in found):
                raise UsageError("too_many_states", f"`{self.names[place]}` has more than {LOCAL_MASK:,} states")
        return found

    def deltas(self, place: int, key: int) -> tuple[int, ...]:
        """Return what each move of a process adds to the state; `key` is shared state and its own, packed."""
        shared, local = key & SHARED_MASK, key >> SHARED_BITS
        shift = self.shifts[place]
        moves = self.moves(place, shared, local)
        found = tuple(
            dict.fromkeys(
                move.shared - shared + ((move.local - local) << shift) for move in moves if _moves(move, shared, local)
            )
        )
        self.caches[place][key] = found
        if self.may_move_alone and moves and all(self._concerns_nobody(place, move, shared) for move in moves):
            self.alone[place].add(key)
        return found

    def canonical(self, state: int) -> int:
        """Return the state with processes that are alike in order."""
        for shift, size in self.blocks:
            block = (state >> shift) & ((1 << LOCAL_BITS * size) - 1)
            found = self._sorted.get(block)
            if found is None:
                parts = sorted((block >> LOCAL_BITS * place) & LOCAL_MASK for place in range(size))
                found = self._sorted[block] = sum(part << LOCAL_BITS * place for place, part in enumerate(parts))
            state += (found - block) << shift
        return state

    # Reductions

    def _alike(self) -> tuple[tuple[int, int], ...]:
        blocks, place = [], 0
        while place < len(self.processes):
            size = 1
            while place + size < len(self.processes) and self.processes[place + size] is self.processes[place]:
                size += 1
            if size > 1:
                blocks.append((self.shifts[place], size))
            place += size
        return tuple(blocks)

    def _concerns(self) -> tuple[tuple[bool, frozenset[int], frozenset[int]], ...]:
        """Return for each process: are its reads its own, what do others read, write or watch, what do they write."""
        prints = [process.footprint() for process in self.processes]
        watched = {place for check in self.space.model.checks for place in check.fields}
        watched |= set(self.space.bounded)
        found = []
        for here, (process, own) in enumerate(zip(self.processes, prints, strict=True)):
            others = [item for place, item in enumerate(prints) if place != here]
            written = frozenset(place for item in others for place in item.writes)
            used = frozenset(place for item in others for place in item.reads) | written | watched
            found.append((process.is_agent and not own.reads & written, used, written))
        return tuple(found)

    def _concerns_nobody(self, place: int, move: Move, shared: int) -> bool:
        """Tell whether a move neither depends on what others do nor shows to anybody."""
        is_own, used, written = self._others[place]
        label = move.label
        if not is_own or label.act is None or label.fault or self.space.states[shared].held:
            return False
        if label.kind == "think":
            return True
        rests = {item.place for item in label.act.premises}
        return (
            label.kind == "act"
            and not label.act.places & used
            and not rests & written
            and not self._derives(label.act.places)
        )

    def _derives(self, places: frozenset[int]) -> bool:
        return any(self.space.model.influences[place] for place in places)


def _moves(move: Move, shared: int, local: int) -> bool:
    return move.shared != shared or move.local != local
