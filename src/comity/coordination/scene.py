"""An invariant, what is known of its fields, and what is in flight on them, with a new act."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf

import msgspec

from comity.coordination.believed import Effect, FieldState, Flight, WindowStep, step_of
from comity.coordination.invariant import BoundTerm, Instance
from comity.coordination.orders import TooMany, stages
from comity.coordination.picture import Picture
from comity.journal.world import FieldValue

Effects = tuple[Effect, ...]
End = tuple[int, int, float, int]
"""When a step leaves a window at the earliest and at the latest, how it counts, and which window."""


class Piece(msgspec.Struct, frozen=True, gc=False):
    """What of one call counts here: its effects, in stages; `done_us` is when it had happened, 0 for not known.

    One that `is_seen` is in the values already: only its steps count, in the windows.
    """

    effects: Effects
    stages: tuple[Effects, ...]
    done_us: int = 0
    is_seen: bool = False

    @classmethod
    def of(cls, effects: Sequence[Effect], done_us: int = 0) -> Piece:
        """Return effects in their stages."""
        here = tuple(effects)
        return cls(here, (here,) if len(here) == 1 else stages(here), done_us)


class Scene:
    """An invariant, what is known of its fields, and what is in flight on them, with a new act."""

    __slots__ = ("_others", "instance", "mine", "new", "now_us", "picture")

    def __init__(self, instance: Instance, picture: Picture, effects: Sequence[Effect], now_us: int) -> None:
        """Look at the picture once."""
        self.instance = instance
        self.picture = picture
        self.now_us = now_us
        horizon_us, names = instance.horizon_us, instance.names
        mine: list[Effect] = []
        new: list[str] = []
        for effect in effects:
            field = effect.field
            if effect.lag_us <= horizon_us and (field in names or self._is_of_group(field)):
                mine.append(effect)
                if field not in picture.fields:
                    new.append(field)
        self.mine, self.new = Piece.of(mine), frozenset(new)
        self._others: Sequence[Piece] | None = None

    @property
    def others(self) -> Sequence[Piece]:
        """Return what is in flight; looked for when it is asked for."""
        if self._others is None:
            found = self._flights()
            self._others = self._pieces(found) if found else ()
        return self._others

    @property
    def pieces(self) -> list[Piece]:
        """Return all that is in flight, and the act last."""
        return [*self.others, self.mine]

    def value(self, field: str) -> FieldValue:
        """Return what is known of a field, None for nothing."""
        return self.picture.peek(field).at(self.now_us)

    def members(self, term: BoundTerm) -> Mapping[str, FieldState]:
        """Return the fields of a term that exist."""
        if term.pattern is None:
            return {term.name: self.picture.peek(term.name)}
        return self.picture.group(term.name).members

    def is_of(self, field: str, term: BoundTerm) -> bool:
        """Tell whether a field is part of a term."""
        if term.pattern is None:
            return field == term.name
        return term.name in self.picture.world.groups_of(field)

    def step(self, term: BoundTerm, effect: Effect, piece: Piece) -> float:
        """Return what an effect adds to a window: nothing if it follows by a dependency, or happened before it."""
        is_over = piece.done_us and piece.done_us <= self.now_us - term.window_us
        if effect.lag_us or is_over or not self.is_of(effect.field, term):
            return 0.0
        return step_of(effect) if term.kind == "sum_within" else 1.0

    def in_windows(self) -> dict[str, float]:
        """Return what the windows hold by what is known."""
        terms = self.instance.terms
        return {name: sum(by for _, _, by in self.leaving(term)) for name, term in terms.items() if term.window_us}

    def windows(self, count_max: int) -> list[dict[str, float]]:
        """Return all that the windows may hold, now and as steps leave: nobody has to act for that.

        Steps of which nobody knows which was first leave in any order.

        Raises:
            TooMany: it is more than `count_max`.
        """
        held, terms = self.in_windows(), self.instance.terms
        start = tuple(held.values())
        found = {start}
        ends = [(*end, place) for place, name in enumerate(held) for end in self.leaving(terms[name])]
        for together in _together(sorted(ends)):
            is_one = together[0][0] == max(late_us for _, late_us, _, _ in together)
            states = {start}
            for _, _, by, place in together:
                states |= {_less(state, by, place) for state in states}
                start = _less(start, by, place)
                if not is_one and len(states) > count_max:
                    raise TooMany
            found |= {start} if is_one else states
            if len(found) > count_max:
                raise TooMany
        return [dict(zip(held, state, strict=True)) for state in found]

    def most(self, terms: Iterable[tuple[BoundTerm, float]]) -> tuple[float, float]:
        """Return what windows add up to, each with its factor: by what is known, and at most as steps leave."""
        ends: list[tuple[int, float]] = []
        for term, factor in terms:
            for early_us, late_us, by in self.leaving(term):
                step = factor * by
                ends.append((late_us, -step) if step > 0 else (early_us, -step))
        now = -sum(change for _, change in ends)
        most = left = now
        for _, change in sorted(ends):
            left += change
            most = max(most, left)
        return now, most

    def leaving(self, term: BoundTerm) -> list[tuple[int, int, float]]:
        """Return the steps in a window: when each leaves it at the earliest and at the latest, and how it counts."""
        width_us, is_sum = term.window_us, term.kind == "sum_within"
        return [
            (at_us - span_us + width_us, at_us + width_us, by if is_sum else 1.0)
            for at_us, by, span_us in self.held(term)
        ]

    def held(self, term: BoundTerm) -> list[WindowStep]:
        """Return the steps that may be in a window now, oldest first, be they counted or added up."""
        name, picture = term.name, self.picture
        there = picture.peek(name).steps if term.pattern is None else picture.group(name).steps()
        return there[bisect_right(there, (self.now_us - term.window_us, inf)) :]

    def _is_of_group(self, field: str) -> bool:
        patterns = self.instance.patterns
        return bool(patterns) and not self.picture.world.groups_of(field).isdisjoint(patterns)

    def _flights(self) -> dict[str, Flight]:
        picture, found = self.picture, dict[str, Flight]()
        for name in self.instance.names:
            there = picture.flights_by_field.get(name)
            if there is not None:
                found.update(there)
        for pattern in self.instance.patterns:
            group = picture.groups.get(pattern)
            if group is not None:
                found.update(group.flights)
        return found

    def _pieces(self, found: Mapping[str, Flight]) -> list[Piece]:
        picture = self.picture
        pieces: list[Piece] = []
        for ticket in sorted(found):
            flight = found[ticket]
            here = [effect for effect in flight.effects if self._may_show(flight, effect)]
            for effects in picture.parted(flight, here):
                pieces.append(Piece.of(effects, flight.done_us))
                if self.instance.has_windows and picture.may_be_seen(flight, effects):
                    pieces.append(msgspec.structs.replace(pieces[-1], is_seen=True))
        return pieces

    def _may_show(self, flight: Flight, effect: Effect) -> bool:
        """Tell whether an effect counts here: on a field of the invariant, and to come within its horizon."""
        if effect.field not in self.instance.names and not self._is_of_group(effect.field):
            return False
        waited_us = self.now_us - flight.done_us if flight.done_us else 0
        return effect.lag_us - waited_us <= self.instance.horizon_us


def _together(ends: Iterable[End]) -> Iterator[list[End]]:
    """Yield, one after the other, the ends of which nobody knows which comes first."""
    made: list[End] = []
    until_us = 0
    for end in ends:
        if made and end[0] > until_us:
            yield made
            made = []
        made.append(end)
        until_us = max(until_us, end[1])
    if made:
        yield made


def _less(state: tuple[float, ...], by: float, place: int) -> tuple[float, ...]:
    return (*state[:place], state[place] - by, *state[place + 1 :])
