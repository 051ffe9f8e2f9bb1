"""Judges one invariant over everything in flight: what could it come to, with a new act and without.

Each call in flight may happen or not, in any order, and what follows from it by dependencies may show or not yet. An
act is let through only if no such world is broken by it. Linear conditions are exact by their worst sum (but for `set`,
whose order matters: by ranges); others by trying every order of up to `CALLS_MAX` calls; beyond that by ranges, which
leave nothing out and may refuse too much.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import permutations, product
from typing import NamedTuple

from comity.coordination.analysis import Among, Linear, Part, Possible, Span, surely
from comity.coordination.invariant import BoundTerm, Instance
from comity.coordination.picture import Effect, Flight, Picture, applied, step_of
from comity.core.expression import ExpressionError, Value
from comity.journal.world import FieldValue

CALLS_MAX = 4
TOLERANCE = 1e-9
"""Sums of floating-point numbers that differ by less are the same."""

Effects = tuple[Effect, ...]


class Finding(NamedTuple):
    """What an act means for an invariant.

    `breaks`: some world would be broken by it; `alone`: also if nothing that is in flight happens. `is_unknown`: a
    field that it needs has no value. `is_broken`: it is false already, by what is known; `improves`: the act makes it
    less so, and no world worse.
    """

    breaks: bool = False
    alone: bool = False
    is_unknown: bool = False
    is_broken: bool = False
    improves: bool = False
    condition: str = ""
    values: tuple[tuple[str, FieldValue], ...] = ()


class Scene:
    """An invariant, what is known of its fields, and what is in flight on them."""

    def __init__(self, instance: Instance, picture: Picture, now_us: int) -> None:
        """Look at the picture once."""
        self.instance = instance
        self.now_us = now_us
        self.horizon_us = round(instance.section.horizon_s * 1e6)
        self.members: dict[str, tuple[str, ...]] = {}
        self.base: dict[str, FieldValue] = {}
        self.steps: dict[str, float] = {}
        for name, term in instance.terms.items():
            self.members[name] = fields = _members(term, picture)
            if term.window_us:
                self.steps[name] = _recent(term, fields, picture, now_us)
            else:
                self.base.update((field, picture.known(field, now_us)) for field in fields)
        self.flights = self._in_flight(picture)

    def effects_here(self, effects: Iterable[Effect]) -> Effects:
        """Return which effects count here: of a field of the invariant, within its horizon."""
        return tuple(
            effect for effect in effects if effect.lag_us <= self.horizon_us and self.instance.covers(effect.field)
        )

    def values(self, done: Sequence[Effect]) -> dict[str, Value]:
        """Return the values of the invariant's names once `done` have happened in this order."""
        now = dict(self.base)
        for effect in done:
            if effect.field in now:
                now[effect.field] = applied(now[effect.field], effect)
        return {name: self._value(name, term, now, done) for name, term in self.instance.terms.items()}

    def is_unknown(self) -> bool:
        """Tell whether a field that the invariant needs has no value."""
        return any(value is None for value in self.base.values())

    def _in_flight(self, picture: Picture) -> list[Effects]:
        found: dict[str, Flight] = {}
        for name, term in self.instance.terms.items():
            fields = self.members[name] if term.pattern is None else picture.flights_by_field
            for field in fields:
                if term.covers(field):
                    found.update(picture.flights_by_field.get(field, {}))
        every = (self.effects_here(found[ticket].effects) for ticket in sorted(found))
        return [effects for effects in every if effects]

    def _value(self, name: str, term: BoundTerm, now: Mapping[str, FieldValue], done: Sequence[Effect]) -> Value:
        if term.window_us:
            return self.steps[name] + sum(_window_step(term, effect) for effect in done if term.covers(effect.field))
        if term.kind == "field":
            return now[term.name]
        held = [now[field] for field in self.members[name]]
        if term.kind == "count":
            return len(held)
        numbers = [value for value in held if isinstance(value, int | float)]
        if term.kind == "sum":
            return sum(numbers) if len(numbers) == len(held) else None
        if not numbers:
            return 0
        return max(numbers) if term.kind == "max" else min(numbers)


def judge(instance: Instance, picture: Picture, effects: Sequence[Effect], now_us: int) -> Finding:
    """Tell what an act with these effects means for an invariant.

    Cost: linear in what is in flight on the invariant's fields.
    """
    for effect in effects:
        picture.state(effect.field)
    scene = Scene(instance, picture, now_us)
    mine = scene.effects_here(effects)
    if not mine:
        return Finding()
    found = [_judge_part(scene, part, mine) for part in instance.parts]
    worst = next((one for one in found if one.breaks), None) or next((one for one in found if one.is_unknown), None)
    is_broken = any(one.is_broken for one in found)
    if worst is not None:
        return worst._replace(alone=any(one.alone for one in found), is_broken=is_broken, values=_told(scene))
    improves = any(one.improves for one in found)
    return Finding(is_broken=is_broken, improves=improves, values=_told(scene))


def is_false(instance: Instance, picture: Picture, now_us: int) -> bool:
    """Tell whether an invariant is false by what is known, nothing in flight counted; unknown is not false."""
    scene = Scene(instance, picture, now_us)
    return not scene.is_unknown() and any(_is_bad(part, scene, ()) for part in instance.parts)


def _told(scene: Scene) -> tuple[tuple[str, FieldValue], ...]:
    values = scene.values(())
    return tuple(
        (name, value) for name, value in values.items() if isinstance(value, bool | int | float | str) or value is None
    )


def _members(term: BoundTerm, picture: Picture) -> tuple[str, ...]:
    if term.pattern is None:
        picture.state(term.name)
        return (term.name,)
    return tuple(sorted(name for name in picture.fields if term.covers(name)))


def _recent(term: BoundTerm, fields: Iterable[str], picture: Picture, now_us: int) -> float:
    since_us = now_us - term.window_us
    steps = (step for field in fields for at_us, step in picture.state(field).steps if at_us > since_us)
    return sum(step if term.kind == "sum_within" else 1.0 for step in steps)


def _window_step(term: BoundTerm, effect: Effect) -> float:
    if effect.lag_us:
        return 0.0
    return step_of(effect) if term.kind == "sum_within" else 1.0


def _stages(effects: Effects) -> list[Effects]:
    """Return how much of an act may show: what it does at once, then each that follows by a dependency."""
    lags = sorted({effect.lag_us for effect in effects})
    return [tuple(effect for effect in effects if effect.lag_us <= lag) for lag in lags]


def _judge_part(scene: Scene, part: Part, mine: Effects) -> Finding:
    condition = part.condition.text
    if part.linear is not None and _is_additive(scene, part.linear):
        return _judge_linear(scene, part.linear, mine)._replace(condition=condition)
    if scene.is_unknown():
        return Finding(breaks=False, alone=True, is_unknown=True, condition=condition)
    is_broken = _is_bad(part, scene, ())
    if len(scene.flights) < CALLS_MAX:
        breaks, improves = _try_all(scene, part, mine)
    else:
        breaks = not all(surely(part.condition, _ranges(scene, stage)) for stage in _stages(mine))
        improves = False
    alone = breaks and any(_worsens(scene, part, (), stage, 0) for stage in _stages(mine))
    return Finding(breaks, alone, is_broken=is_broken, improves=is_broken and improves, condition=condition)


# Linear conditions


def _is_additive(scene: Scene, linear: Linear) -> bool:
    """Tell whether a linear condition is over numbers that can be added up."""
    kinds = {scene.instance.terms[name].kind for name in linear.coefficients}
    return kinds <= {"field", "sum", "count", "sum_within", "count_within"}


def _judge_linear(scene: Scene, linear: Linear, mine: Effects) -> Finding:
    """Judge Σ c·x + k ≤ 0: what is known, plus the worst of each call in flight, plus the worst of this one.

    Fields that somebody sets count with the worst value that they may have; steps of one call count together.
    """
    coefficients = _by_field(scene, linear)
    every = [*scene.flights, mine]
    sets = {effect.field for effects in every for effect in effects if effect.op != "add"} & set(coefficients)
    base = linear.constant
    for name, factor in linear.coefficients.items():
        if scene.instance.terms[name].window_us:
            base += factor * scene.steps[name]
        elif scene.instance.terms[name].kind == "count":
            base += factor * len(scene.members[name])
    held, unknown = 0.0, False
    for field, factor in coefficients.items():
        value = scene.base.get(field)
        held += factor * _number(value)
        unknown = unknown or (bool(factor) and not isinstance(value, int | float))
    others = sum(max(0.0, *_steps(scene, linear, coefficients, effects, sets)) for effects in scene.flights)
    mine_max = max(_steps(scene, linear, coefficients, mine, sets))
    is_worse = mine_max > TOLERANCE or any(_raises(scene, coefficients[field], field, mine) for field in sets)
    if unknown:
        return Finding(is_unknown=is_worse, alone=is_worse, improves=not is_worse and mine_max < -TOLERANCE)
    together, alone = _set_worst(scene, coefficients, sets, mine)
    still = base + held
    rest = still - sum(coefficients[field] * _number(scene.base[field]) for field in sets) + mine_max
    return Finding(
        is_worse and _is_over(linear, rest + others + together),
        is_worse and _is_over(linear, rest + alone),
        is_broken=_is_over(linear, still),
        improves=_is_over(linear, still) and not is_worse and rest + alone < still - TOLERANCE,
    )


def _is_over(linear: Linear, total: float) -> bool:
    return total >= -TOLERANCE if linear.is_strict else total > TOLERANCE


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else 0.0


def _raises(scene: Scene, factor: float, field: str, mine: Effects) -> bool:
    """Tell whether an act may raise what a field that is set adds to the sum, in some world."""
    others = [effect for effects in scene.flights for effect in effects if effect.field == field]
    span = _range(scene.base.get(field), others)
    least = min(factor * span.low, factor * span.high)
    return any(
        factor * _number(effect.value) > (least if effect.op == "set" else 0.0) + TOLERANCE
        for effect in mine
        if effect.field == field
    )


def _by_field(scene: Scene, linear: Linear) -> dict[str, float]:
    """Return the coefficient of each field: a sum gives its own to all of its members."""
    found: dict[str, float] = {}
    for name, factor in linear.coefficients.items():
        if scene.instance.terms[name].kind in ("field", "sum"):
            for field in scene.members[name]:
                found[field] = found.get(field, 0.0) + factor
    return found


def _steps(
    scene: Scene, linear: Linear, coefficients: Mapping[str, float], effects: Effects, sets: set[str]
) -> list[float]:
    """Return by how much a call raises the sum, for each of its stages; fields that are set are counted elsewhere."""
    windows = [(name, factor) for name, factor in linear.coefficients.items() if scene.instance.terms[name].window_us]
    found = []
    for stage in _stages(effects):
        total = sum(
            coefficients.get(effect.field, 0.0) * _number(effect.value)
            for effect in stage
            if effect.op == "add" and effect.field not in sets
        )
        for name, factor in windows:
            term = scene.instance.terms[name]
            total += factor * sum(_window_step(term, effect) for effect in stage if term.covers(effect.field))
        found.append(total)
    return found


def _set_worst(scene: Scene, coefficients: Mapping[str, float], sets: set[str], mine: Effects) -> tuple[float, float]:
    """Return what fields that are set add to the sum at worst: with everything in flight, and with the act alone."""
    together = alone = 0.0
    for field in sets:
        factor = coefficients[field]
        others = [effect for effects in scene.flights for effect in effects if effect.field == field]
        own = [effect for effect in mine if effect.field == field]
        value = scene.base.get(field)
        together += _worst(factor, _range(value, [*others, *own]))
        alone += _worst(factor, _after(value, own)) if own else factor * _number(value)
    return together, alone


def _worst(factor: float, span: Possible) -> float:
    assert isinstance(span, Span)
    return max(factor * span.low, factor * span.high)


def _range(value: FieldValue, effects: Sequence[Effect]) -> Span:
    """Return the range of a number that any of these effects may have reached, in any order."""
    points = [_number(value), *(_number(item.value) for item in effects if item.op == "set")]
    steps = [_number(item.value) for item in effects if item.op == "add"]
    return Span(min(points) + sum(step for step in steps if step < 0), max(points) + sum(s for s in steps if s > 0))


def _after(value: FieldValue, effects: Sequence[Effect]) -> Span:
    """Return the range of a number after some or all of one call's effects, in their order."""
    now, seen = _number(value), []
    for effect in effects:
        now = _number(effect.value) if effect.op == "set" else now + _number(effect.value)
        seen.append(now)
    return Span(min(seen), max(seen))


# Other conditions


def _is_bad(part: Part, scene: Scene, done: Sequence[Effect]) -> bool:
    try:
        return not part.condition.holds(scene.values(done))
    except ExpressionError:
        return True


def _slack(part: Part, scene: Scene, done: Sequence[Effect]) -> float | None:
    if part.slack is None:
        return None
    try:
        value = part.slack(scene.values(done))
    except ExpressionError:
        return None
    return value if isinstance(value, int | float) else None


def _worsens(scene: Scene, part: Part, others: Sequence[Effects], stage: Effects, place: int) -> bool:
    """Tell whether a world with the act is false, and not merely as false as the same world without it."""
    done = [effect for call in (*others[:place], stage, *others[place:]) for effect in call]
    if not _is_bad(part, scene, done):
        return False
    without = [effect for call in others for effect in call]
    if not _is_bad(part, scene, without):
        return True
    before, after = _slack(part, scene, without), _slack(part, scene, done)
    return before is None or after is None or after < before - TOLERANCE


def _try_all(scene: Scene, part: Part, mine: Effects) -> tuple[bool, bool]:
    """Try every order of every choice of what is in flight, with the act at every place; (breaks, improves)."""
    for others in _worlds(scene.flights):
        for stage in _stages(mine):
            for place in range(len(others) + 1):
                if _worsens(scene, part, others, stage, place):
                    return True, False
    last = _stages(mine)[-1]
    before, after = _slack(part, scene, ()), _slack(part, scene, last)
    is_mended = not _is_bad(part, scene, last)
    return False, is_mended or (before is not None and after is not None and after > before + TOLERANCE)


def _worlds(flights: Sequence[Effects]) -> Iterator[tuple[Effects, ...]]:
    """Yield every order of every subset of the calls in flight, each with as much of it shown as may be."""
    for count in range(len(flights) + 1):
        for chosen in permutations(flights, count):
            yield from product(*(_stages(call) for call in chosen))


def _ranges(scene: Scene, mine: Effects) -> dict[str, Possible]:
    """Return what each name of the invariant may be, with everything in flight and this act."""
    effects = [effect for call in (*scene.flights, mine) for effect in call]
    fields = {
        field: _possible(value, [effect for effect in effects if effect.field == field])
        for field, value in scene.base.items()
    }
    found: dict[str, Possible] = {}
    for name, term in scene.instance.terms.items():
        members = [fields[field] for field in scene.members[name] if field in fields]
        if term.window_us:
            steps = [_window_step(term, effect) for effect in effects if term.covers(effect.field)]
            known = scene.steps[name]
            found[name] = Span(known + sum(s for s in steps if s < 0), known + sum(s for s in steps if s > 0))
        elif term.kind == "field":
            found[name] = fields[term.name]
        elif term.kind == "count":
            found[name] = Span(len(members), len(members))
        else:
            spans = [item for item in members if isinstance(item, Span)]
            found[name] = _of_many(term, spans)
    return found


def _of_many(term: BoundTerm, spans: Sequence[Span]) -> Span:
    low, high = [span.low for span in spans] or [0.0], [span.high for span in spans] or [0.0]
    if term.kind == "sum":
        return Span(sum(low), sum(high))
    return Span(max(low), max(high)) if term.kind == "max" else Span(min(low), min(high))


def _possible(value: FieldValue, effects: Sequence[Effect]) -> Possible:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _range(value, effects)
    if all(effect.op == "set" for effect in effects):
        return Among(frozenset((value, *(effect.value for effect in effects))))
    return Among(frozenset(_orders(value, effects)))


def _orders(value: FieldValue, effects: Sequence[Effect]) -> Iterator[FieldValue]:
    """Yield what a set may be after any of these effects: each element that is touched may be in it or not."""
    there = set(value) if isinstance(value, tuple) else set()
    touched = sorted(
        {part for item in effects for part in (item.value if isinstance(item.value, tuple) else (item.value,))},
        key=str,
    )
    for choice in product((False, True), repeat=min(len(touched), 10)):
        yield tuple(
            sorted((there - set(touched)) | {t for t, is_in in zip(touched, choice, strict=False) if is_in}, key=str)
        )
