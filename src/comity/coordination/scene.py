"""An invariant, what is known of its fields, and what is in flight on them, with a new act."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from math import inf

import msgspec

from comity.coordination.believed import Effect, FieldState, Flight, step_of
from comity.coordination.invariant import BoundTerm, Instance
from comity.coordination.orders import stages
from comity.coordination.picture import Picture
from comity.journal.world import FieldValue

Effects = tuple[Effect, ...]


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

    def windows(self) -> Iterator[dict[str, float]]:
        """Yield what the windows hold now, and then each time that a step leaves one: nobody has to act for that."""
        terms = {name: term for name, term in self.instance.terms.items() if term.window_us}
        steps = {name: self.steps(term) for name, term in terms.items()}
        held = {name: sum(by for _, by in there) for name, there in steps.items()}
        yield dict(held)
        ends = sorted((at_us + terms[name].window_us, name, by) for name, there in steps.items() for at_us, by in there)
        for place, (end_us, name, by) in enumerate(ends):
            held[name] -= by
            if place + 1 == len(ends) or ends[place + 1][0] > end_us:
                yield dict(held)

    def steps(self, term: BoundTerm) -> list[tuple[int, float]]:
        """Return what a window holds now, oldest first: when it was, and how much."""
        held = self.held(term)
        return held if term.kind == "sum_within" else [(at_us, 1.0) for at_us, _ in held]

    def held(self, term: BoundTerm) -> list[tuple[int, float]]:
        """Return the steps in a window now, oldest first, be they counted or added up."""
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
