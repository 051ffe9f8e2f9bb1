"""An invariant, what is known of its fields, and what is in flight on them, with a new act."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from comity.coordination.believed import Effect, FieldState, Flight, step_of
from comity.coordination.invariant import BoundTerm, Instance
from comity.coordination.orders import stages
from comity.coordination.picture import Picture
from comity.journal.world import FieldValue

Effects = tuple[Effect, ...]


class Piece(msgspec.Struct, frozen=True, gc=False):
    """What of one call counts here: its effects, in stages; `done_us` is when it had happened, 0 for not known."""

    effects: Effects
    stages: tuple[Effects, ...]
    done_us: int = 0

    @classmethod
    def of(cls, effects: Sequence[Effect], done_us: int = 0) -> Piece:
        """Return effects in their stages."""
        here = tuple(effects)
        return cls(here, stages(here), done_us)


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
        new: set[str] = set()
        for effect in effects:
            if effect.lag_us <= horizon_us and (effect.field in names or self._is_here(effect.field)):
                mine.append(effect)
                if effect.field not in picture.fields:
                    new.add(effect.field)
        self.mine, self.new = Piece.of(mine), new
        self._others: list[Piece] | None = None

    @property
    def others(self) -> list[Piece]:
        """Return what is in flight; looked for when it is asked for."""
        if self._others is None:
            self._others = self._pieces()
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
        """Return what a window holds now: when it was, and how much."""
        since_us, is_sum = self.now_us - term.window_us, term.kind == "sum_within"
        name, picture = term.name, self.picture
        there = picture.peek(name).steps if term.pattern is None else picture.group(name).steps()
        if is_sum:
            return [step for step in there if step[0] > since_us]
        return [(at_us, 1.0) for at_us, _ in there if at_us > since_us]

    def _is_here(self, field: str) -> bool:
        if field in self.instance.names:
            return True
        patterns = self.instance.patterns
        return bool(patterns) and not patterns.isdisjoint(self.picture.world.groups_of(field))

    def _pieces(self) -> list[Piece]:
        picture = self.picture
        found: dict[str, Flight] = {}
        for name in self.instance.names:
            if name in picture.flights_by_field:
                found.update(picture.flights_by_field[name])
        for pattern in self.instance.patterns:
            if pattern in picture.groups:
                found.update(picture.groups[pattern].flights)
        pieces: list[Piece] = []
        for ticket in sorted(found):
            flight = found[ticket]
            here = [effect for effect in flight.effects if self._may_show(flight, effect)]
            pieces += [Piece.of(effects, flight.done_us) for effects in picture.parted(flight, here)]
        return pieces

    def _may_show(self, flight: Flight, effect: Effect) -> bool:
        """Tell whether an effect counts here: on a field of the invariant, and to come within its horizon."""
        if not self._is_here(effect.field):
            return False
        waited_us = self.now_us - flight.done_us if flight.done_us else 0
        return effect.lag_us - waited_us <= self.instance.horizon_us
