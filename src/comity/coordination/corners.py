"""Judges one invariant over everything in flight: what could it come to, with a new act and without.

Each call in flight may happen or not, in any order, and what follows from it by dependencies may show or not yet. An
act is let through only if no such world is broken by it. Linear conditions are judged by their worst sum; others by
trying every order, as long as there are not too many; beyond that by ranges, which leave nothing out and may refuse
too much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

from comity.coordination.analysis import Among, Part, Possible, Span, surely
from comity.coordination.believed import Effect, applied
from comity.coordination.finding import NOTHING, Finding
from comity.coordination.handling import as_set
from comity.coordination.invariant import TOLERANCE, BoundTerm, Instance
from comity.coordination.orders import TooMany, every_order
from comity.coordination.picture import Picture
from comity.coordination.scene import Effects, Piece, Scene
from comity.coordination.stepping import judge_steps
from comity.coordination.summing import Sum
from comity.core.expression import ExpressionError, Value
from comity.journal.world import FieldValue

WINDOWS_MAX = 8
"""So many states of the windows are tried, as steps leave them; with more, ranges must do."""
ELEMENTS_MAX = 8
"""A set is tried with each choice of so many elements."""

State = tuple[FieldValue, ...]
Move = Callable[[State], State]
Both = tuple[State, State]
"""A world with the act, and the same without it."""
NEVER_US = 1 << 62
_ABSENT = "\0absent"
"""The value of a field that does not exist until something touches it."""


def judge(instance: Instance, picture: Picture, effects: Sequence[Effect], now_us: int) -> Finding:
    """Tell what an act with these effects means for an invariant.

    Cost: linear in what is in flight on the invariant's fields; `STATES_MAX` states for one that is not linear.
    """
    scene = Scene(instance, picture, effects, now_us)
    if not scene.mine.effects:
        return NOTHING
    worst, is_broken, improves, presses, alone, condition = NOTHING, False, False, False, False, ""
    for part, form in instance.conditions:
        found = (judge_steps(scene, form) or Sum(scene, form).judge()) if form else Trial(scene, part).judge()
        if found is NOTHING:
            continue
        is_broken, improves = is_broken or found.is_broken, improves or found.improves
        presses, alone = presses or found.presses, alone or found.alone
        if found.breaks > worst.breaks or (found.is_unknown and worst is NOTHING):
            worst, condition = found, part.condition.text
    if worst is not NOTHING:
        return Finding(worst.breaks, alone, worst.is_unknown, is_broken, worst.improves, presses, condition)
    return Finding(is_broken=is_broken, improves=improves, presses=presses) if is_broken or presses else NOTHING


def is_false(instance: Instance, picture: Picture, now_us: int) -> bool:
    """Tell whether an invariant is false by what is known, nothing in flight counted; unknown is not false."""
    scene = Scene(instance, picture, (), now_us)
    trials = [Trial(scene, part) for part in instance.parts]
    return not any(trial.is_unknown() for trial in trials) and any(trial.is_false_now() for trial in trials)


def known_values(
    instance: Instance, picture: Picture, effects: Sequence[Effect], now_us: int
) -> tuple[tuple[str, FieldValue], ...]:
    """Return what is known of an invariant's names, in plain values, as an act with these effects finds them."""
    scene = Scene(instance, picture, effects, now_us)
    trial = Trial(scene, instance.parts[0])
    values = trial.values(trial.start, scene.in_windows())
    return tuple(
        (name, value) for name, value in values.items() if isinstance(value, bool | int | float | str) or value is None
    )


class Trial:
    """A condition tried in the worlds of a scene. A state has the fields that anything is on, then what windows got."""

    def __init__(self, scene: Scene, part: Part) -> None:
        """Sort out what may change from what is as it is."""
        self._scene = scene
        self._part = part
        terms = scene.instance.terms
        self._windows = [(name, term) for name, term in terms.items() if term.window_us]
        names = dict.fromkeys(effect.field for piece in scene.pieces for effect in piece.effects)
        self._slots = {name: place for place, name in enumerate(names)}
        self.start: State = (
            *(_ABSENT if name in scene.new else scene.value(name) for name in names),
            *(0.0 for _ in self._windows),
        )
        self._reads = [(name, term, self._reader(term)) for name, term in terms.items() if not term.window_us]

    def judge(self) -> Finding:
        """Tell what the act means for the condition."""
        held = self._scene.in_windows()
        last = self._after(self.start, self._scene.mine, len(self._scene.mine.stages))
        is_broken = not self.is_unknown() and self._is_bad(self.start, held)
        rises = self._is_higher(self.start, last, held)
        breaks = not self._is_safe()
        if not breaks:
            is_mended = is_broken and not self._is_bad(last, held)
            return Finding(is_broken=is_broken, improves=is_broken and (is_mended or rises), presses=not rises)
        alone = any(self._worsens(self._stage(place), self.start, held) for place in self._places())
        late, emptied = last, dict.fromkeys(held, 0.0)
        for leave in self._leaving(self._scene.mine):
            late = leave(late)
            alone = alone or self._worsens(late, self.start, emptied)
        return Finding(True, alone, is_unknown=self.is_unknown(), is_broken=is_broken, presses=True)

    def _is_safe(self) -> bool:
        try:
            return not any(self._may_break(held) for held in self._scene.windows(WINDOWS_MAX))
        except TooMany:
            return self._is_sure()

    def is_unknown(self) -> bool:
        """Tell whether a name of the condition has no value by what is known."""
        values = self.values(self.start, self._scene.in_windows())
        return any(values[name] is None for name in self._part.condition.names)

    def is_false_now(self) -> bool:
        """Tell whether the condition is false by what is known."""
        return self._is_bad(self.start, self._scene.in_windows())

    def values(self, state: State, windows: Mapping[str, float]) -> dict[str, Value]:
        """Return the values of the invariant's names in a state."""
        found: dict[str, Value] = {name: read(state) for name, _, read in self._reads}
        for place, (name, _) in enumerate(self._windows):
            found[name] = windows[name] + _number(state[len(self._slots) + place])
        return found

    # Worlds

    def _places(self) -> range:
        return range(1, len(self._scene.mine.stages) + 1)

    def _stage(self, place: int) -> State:
        return self._after(self.start, self._scene.mine, place)

    def _after(self, state: State, piece: Piece, count: int) -> State:
        for stage in piece.stages[:count]:
            state = self._moved(state, stage, piece)
        return state

    def _moved(self, state: State, stage: Effects, piece: Piece) -> State:
        now = list(state)
        for effect in stage:
            place = self._slots[effect.field]
            if not piece.is_seen:
                there = self._scene.value(effect.field) if now[place] == _ABSENT else now[place]
                now[place] = applied(there, effect)
            for number, (_, term) in enumerate(self._windows):
                now[len(self._slots) + number] = _number(now[len(self._slots) + number]) + self._scene.step(
                    term, effect, piece
                )
        return tuple(now)

    def _may_break(self, windows: Mapping[str, float]) -> bool:
        """Try every order of every choice of what is in flight, with the act at every place."""
        holding = (term.window_us for name, term in self._windows if abs(windows[name]) > TOLERANCE)
        empty_us = min(holding, default=NEVER_US)
        chains: list[list[Callable[[Both], Both]]] = [
            [_in_both(move) for move in self._moves(piece, NEVER_US)] for piece in self._scene.others
        ]
        chains.append([_with_the_act(move) for move in self._moves(self._scene.mine, empty_us)])
        seen: set[Both] = set()
        for places, both in every_order((self.start, self.start), chains):
            if places[-1] and both not in seen:
                seen.add(both)
                if self._worsens(*both, windows):
                    return True
        return False

    def _moves(self, piece: Piece, below_us: int) -> list[Move]:
        """Return what may become of a call: its stages show, then its steps leave the windows narrower than `below_us`.

        Those of the act leave after what a window holds, which is older. What is in flight may be older still.

        Raises:
            TooMany: its steps may leave before or after more of it shows.
        """
        leaving = self._leaving(piece, below_us)
        narrowest_us = min((term.window_us for _, term in self._windows), default=0)
        if leaving and any(effect.lag_us >= narrowest_us for effect in piece.effects):
            raise TooMany
        return [*(partial(self._moved, stage=stage, piece=piece) for stage in piece.stages), *leaving]

    def _leaving(self, piece: Piece, below_us: int = NEVER_US) -> list[Move]:
        """Return how the steps of a call leave one window after the other, the narrow ones first."""
        found: list[Move] = []
        for width_us in sorted({term.window_us for _, term in self._windows if term.window_us < below_us}):
            steps = [
                sum(self._scene.step(term, effect, piece) for effect in piece.effects)
                if term.window_us == width_us
                else 0.0
                for _, term in self._windows
            ]
            if any(steps):
                found.append(partial(self._left, steps=steps))
        return found

    def _left(self, state: State, steps: Sequence[float]) -> State:
        first = len(self._slots)
        return (*state[:first], *(_number(now) - step for now, step in zip(state[first:], steps, strict=True)))

    def _worsens(self, state: State, without: State, windows: Mapping[str, float]) -> bool:
        """Tell whether a world with the act is false, and not merely as false as the same world without it."""
        if not self._is_bad(state, windows):
            return False
        if not self._is_bad(without, windows):
            return True
        before, after = self._slack(without, windows), self._slack(state, windows)
        if before is None or after is None:
            one, other = self.values(state, windows), self.values(without, windows)
            return any(one[name] != other[name] or one[name] is None for name in self._part.condition.names)
        return after < before - TOLERANCE

    def _is_higher(self, before: State, after: State, windows: Mapping[str, float]) -> bool:
        old, new = self._slack(before, windows), self._slack(after, windows)
        return old is not None and new is not None and new > old + TOLERANCE

    def _is_bad(self, state: State, windows: Mapping[str, float]) -> bool:
        values = self.values(state, windows)
        if any(values[name] is None for name in self._part.condition.names):
            return True
        try:
            return not self._part.condition.holds(values)
        except ExpressionError:
            return True

    def _slack(self, state: State, windows: Mapping[str, float]) -> float | None:
        if self._part.slack is None:
            return None
        try:
            value = self._part.slack(self.values(state, windows))
        except ExpressionError:
            return None
        return value if isinstance(value, int | float) else None

    # Values

    def _reader(self, term: BoundTerm) -> Callable[[State], Value]:
        """Return how the value of a term is read from a state; what nothing is on is added up once."""
        scene, slots = self._scene, self._slots
        if term.kind == "field":
            return self._single(term)
        places = [place for name, place in slots.items() if scene.is_of(name, term)]
        still = [state.at(scene.now_us) for name, state in scene.members(term).items() if name not in slots]
        if term.kind == "count":
            return lambda state: len(still) + sum(state[place] != _ABSENT for place in places)
        numbers = [value for value in still if isinstance(value, int | float)]
        if len(numbers) != len(still):
            return lambda _state: None
        if term.kind == "sum":
            total = sum(numbers)
            return lambda state: _reduced(lambda found: total + sum(found), _there(state, places))
        pick = max if term.kind == "max" else min
        most = [pick(numbers)] if numbers else []
        return lambda state: _reduced(lambda found: pick([*most, *found], default=0), _there(state, places))

    def _single(self, term: BoundTerm) -> Callable[[State], Value]:
        value, place = self._scene.value(term.name), self._slots.get(term.name)
        if term.pattern is not None:
            return lambda _state: None
        if place is None:
            return lambda _state: value
        return lambda state: value if state[place] == _ABSENT else state[place]

    # Ranges

    def _is_sure(self) -> bool:
        ranges = dict(self._ranges())
        return surely(self._part.condition, ranges) and not any(
            isinstance(ranges[name], Among) and None in ranges[name] for name in self._part.condition.names
        )

    def _ranges(self) -> Iterator[tuple[str, Possible]]:
        """Yield what each name of the invariant may be, with everything in flight and this act."""
        fields = {name: _possible(self._scene, name) for name in self._slots}
        for name, term in self._windows:
            steps = [self._scene.step(term, effect, piece) for piece in self._scene.pieces for effect in piece.effects]
            low, high = -self._scene.most([(term, -1.0)])[1], self._scene.most([(term, 1.0)])[1]
            yield name, Span(low + sum(s for s in steps if s < 0), high + sum(s for s in steps if s > 0))
        for name, term, read in self._reads:
            touched = [field for field in self._slots if self._scene.is_of(field, term)]
            if not touched or term.kind == "field":
                yield name, fields[term.name] if touched else _one(read(self.start))
            else:
                yield name, self._of_many(term, [fields[field] for field in touched])

    def _of_many(self, term: BoundTerm, touched: Sequence[Possible]) -> Possible:
        """Return what an aggregate may be; that a field may not exist yet only widens it."""
        still = [
            state.at(self._scene.now_us) for name, state in self._scene.members(term).items() if name not in self._slots
        ]
        new = [name for name in self._scene.new if self._scene.is_of(name, term)]
        if term.kind == "count":
            count = len(still) + len(touched)
            return Span(count - len(new), count)
        spans = [item for item in touched if isinstance(item, Span)]
        numbers = [value for value in still if isinstance(value, int | float)]
        if len(spans) != len(touched) or len(numbers) != len(still):
            return Among(frozenset((None,)))
        if term.kind == "sum":
            low, high = sum(span.low for span in spans), sum(span.high for span in spans)
            return Span(
                sum(numbers) + (min(low, 0.0) if new else low), sum(numbers) + (max(high, 0.0) if new else high)
            )
        lows, highs = [*numbers, *(span.low for span in spans)], [*numbers, *(span.high for span in spans)]
        if new:
            return Span(min(0.0, *lows), max(0.0, *highs))
        return Span(max(lows), max(highs)) if term.kind == "max" else Span(min(lows), min(highs))


def _in_both(move: Move) -> Callable[[Both], Both]:
    def moved(both: Both) -> Both:
        after = move(both[0])
        return after, after if both[1] is both[0] else move(both[1])

    return moved


def _with_the_act(move: Move) -> Callable[[Both], Both]:
    return lambda both: (move(both[0]), both[1])


def _there(state: State, places: Sequence[int]) -> list[FieldValue]:
    return [state[place] for place in places if state[place] != _ABSENT]


def _reduced(reduce: Callable[[list[float]], float], values: list[FieldValue]) -> float | None:
    numbers = [value for value in values if isinstance(value, int | float)]
    return reduce(numbers) if len(numbers) == len(values) else None


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else 0.0


def _one(value: Value) -> Possible:
    return Among(frozenset((value,)))


def _possible(scene: Scene, field: str) -> Possible:
    """Return what a field may be after any of what is in flight and the act, in any order."""
    effects = [effect for piece in scene.pieces for effect in piece.effects if effect.field == field]
    values = [scene.value(field), *(effect.value for effect in effects if effect.op == "set")]
    steps = [effect for effect in effects if effect.op != "set"]
    numbers = [value for value in values if isinstance(value, int | float)]
    if len(numbers) == len(values) and all(isinstance(e.value, int | float) and e.op == "add" for e in steps):
        moves = [_number(effect.value) for effect in steps]
        if not moves:
            return Among(frozenset(values)) if all(isinstance(v, bool) for v in values) else _span(numbers)
        return Span(min(numbers) + sum(m for m in moves if m < 0), max(numbers) + sum(m for m in moves if m > 0))
    if not steps:
        return Among(frozenset(values))
    if not all(isinstance(value, tuple) for value in values):
        return Among(frozenset((None,)))
    return Among(frozenset(_sets([value for value in values if isinstance(value, tuple)], steps)))


def _span(numbers: Sequence[float]) -> Span:
    return Span(min(numbers), max(numbers))


def _sets(starts: Sequence[tuple[Value, ...]], steps: Sequence[Effect]) -> Iterator[Value]:
    """Yield what a set may be: each element that is touched may be in it or not; None where they are too many."""
    given = {
        part for effect in steps for part in (effect.value if isinstance(effect.value, tuple) else (effect.value,))
    }
    touched = as_set(frozenset(given))
    if len(touched) > ELEMENTS_MAX:
        yield None
        return
    for start in starts:
        for choice in product((False, True), repeat=len(touched)):
            kept: set[Any] = {part for part, is_in in zip(touched, choice, strict=True) if is_in}
            yield as_set((set(start) - set(touched)) | kept)
