"""Linear conditions over everything in flight: exact by their worst sum, but for `set`, whose order matters.

Σ factor·value + constant ≤ 0: what is known, plus the worst of each call in flight, plus the worst of the act. A field
that somebody sets counts with the worst value that it may have in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from comity.coordination.believed import Effect
from comity.coordination.finding import Finding
from comity.coordination.invariant import TOLERANCE, Form
from comity.coordination.scene import Piece, Scene
from comity.journal.world import FieldValue


class Future(NamedTuple):
    """A time to come: what windows hold as it begins and at worst, once steps of now left those up to `gone_us`."""

    now: float
    worst: float
    gone_us: int


class Sum:
    """A linear condition in a scene."""

    def __init__(self, scene: Scene, form: Form) -> None:
        """Look at the condition; nothing is reckoned yet."""
        self._scene = scene
        self._form = form
        self._weights: dict[str, float] = {}
        patterns = {name for name, _ in (*form.groups, *form.counts)}
        self._new = {name for name in scene.new if not patterns.isdisjoint(scene.picture.world.groups_of(name))}
        self._sets: set[str] = set()

    def judge(self) -> Finding:
        """Tell what the act means for the condition."""
        way = self._way()
        if way == 0 or (way < 0 and not self._is_broken()):
            return Finding()
        self._weigh()
        return self._judge() if self._sets or self._new else self._judge_steps()

    def _judge_steps(self) -> Finding:
        """Judge where nothing is set: every call counts with the most that its stages raise the sum by."""
        scene = self._scene
        held, unknown = self._held()
        futures = self._futures()
        is_worse = max(self._rises(scene.mine, futures[-1].gone_us)) > TOLERANCE
        if unknown or self._is_unclear():
            return Finding(is_unknown=is_worse, alone=is_worse, presses=is_worse)
        still = held + self._form.constant
        is_broken = self._form.is_over(still + futures[0].now)
        if not is_worse:
            return Finding(is_broken=is_broken, improves=is_broken and max(self._rises(scene.mine)) < -TOLERANCE)
        alone = [still + future.worst + max(self._rises(scene.mine, future.gone_us)) for future in futures]
        others = self._others(futures[-1].gone_us)
        together = [one + others for one in alone]
        return Finding(
            breaks=self._form.is_over(max(together)),
            alone=self._form.is_over(max(alone)),
            is_broken=is_broken,
            presses=True,
        )

    def _way(self) -> float:
        """Return 0 where the act moves nothing here, less where all that it does lowers the sum, else more."""
        scene, most, least = self._scene, 0.0, 0.0
        for effect in scene.mine.effects:
            weight = self._weight(effect.field)
            if effect.field in self._new or (weight and effect.op != "add"):
                return 1.0
            steps = [weight * _number(effect.value)] if weight else []
            steps += [factor * scene.step(term, effect, scene.mine) for term, factor in self._form.windows]
            most, least = max([most, *steps]), min([least, *steps])
        return most if most > TOLERANCE else least if least < -TOLERANCE else 0.0

    def _is_broken(self) -> bool:
        held, unknown = self._held()
        return not unknown and self._form.is_over(held + self._form.constant + self._futures()[0].now)

    def _weigh(self) -> None:
        """Weigh the fields that anything in flight is on."""
        weights, sets, new = self._weights, self._sets, self._new
        for piece in self._scene.pieces:
            for effect in piece.effects:
                if effect.field not in weights:
                    weights[effect.field] = self._weight(effect.field)
                if weights[effect.field] and (effect.op != "add" or effect.field in new):
                    sets.add(effect.field)

    def _judge(self) -> Finding:
        scene, form = self._scene, self._form
        futures = self._futures()
        mine = [max(self._rises(scene.mine, future.gone_us)) + self._appearing() for future in futures]
        is_worse = mine[-1] > TOLERANCE or any(self._may_raise(field) for field in self._sets)
        if not is_worse and mine[0] > -TOLERANCE and not self._sets:
            return Finding()
        held, unknown = self._held()
        if unknown - self._overwritten() or self._is_unclear():
            return Finding(is_unknown=is_worse, alone=is_worse, presses=is_worse)
        ranges = {field: self._ends(field, scene.pieces) for field in self._sets}
        rest = held + form.constant - sum(self._weights[field] * _number(self._base(field)) for field in self._sets)
        own = [one + future.worst for one, future in zip(mine, futures, strict=True)]
        others = self._others(futures[-1].gone_us)
        together = rest + max(own) + others + sum(high for _, high in ranges.values())
        alone = rest + max(own) + sum(self._ends(field, (scene.mine,))[1] for field in self._sets)
        is_broken = not unknown and self._form.is_over(held + form.constant + futures[0].now)
        return Finding(
            breaks=is_worse and self._form.is_over(together),
            alone=is_worse and self._form.is_over(alone),
            is_broken=is_broken,
            improves=is_broken and not is_worse and alone < held + form.constant + futures[0].worst - TOLERANCE,
            presses=is_worse,
        )

    # What is known

    def _weight(self, field: str) -> float:
        return self._form.weight(field, self._scene.picture.world.groups_of(field))

    def _base(self, field: str) -> FieldValue:
        """Return what a field adds before anything in flight: one that does not exist is in no sum."""
        is_single = any(name == field for name, _ in self._form.singles)
        return self._scene.value(field) if is_single or field not in self._new else 0

    def _held(self) -> tuple[float, set[str]]:
        """Return what the fields add by what is known, and those of which nothing is."""
        total, unknown, now_us = 0.0, set[str](), self._scene.now_us
        for name, factor in self._form.singles:
            value = self._scene.value(name)
            if isinstance(value, int | float):
                total += factor * value
            else:
                unknown.add(name)
        for pattern, factor in self._form.groups:
            there, missing = self._scene.picture.group(pattern).total(now_us)
            total += factor * there
            unknown |= missing
        for pattern, factor in self._form.counts:
            total += factor * len(self._scene.picture.group(pattern).members)
        return total, unknown

    def _futures(self) -> tuple[Future, ...]:
        """Return the times to come: from now on, and after each width of a window."""
        if not self._form.windows:
            return (Future(0.0, 0.0, 0),)
        made: list[Future] = []
        for gone_us in (0, *sorted({term.window_us for term, _ in self._form.windows})):
            kept = [(term, factor) for term, factor in self._form.windows if term.window_us > gone_us]
            made.append(Future(*self._scene.most(kept), gone_us))
        return tuple(made)

    def _appearing(self) -> float:
        """Return what the fields that the act makes exist add to counts."""
        groups = [(name, factor) for name, factor in self._form.counts if self._new]
        return sum(
            factor * sum(name in self._scene.picture.world.groups_of(field) for field in self._new)
            for name, factor in groups
        )

    # What is in flight

    def _others(self, gone_us: int) -> float:
        """Return the most by which everything in flight raises the sum.

        It may have happened before what the windows hold: its steps may have left while those are there.
        """
        return sum([max(0.0, *self._rises(piece, gone_us)) for piece in self._scene.others])

    def _rises(self, piece: Piece, gone_us: int = 0) -> list[float]:
        """Return by how much a call raises the sum, for each stage that shows; fields that are set are not counted.

        Its steps may have left the windows that are no wider than `gone_us`: together, the narrow windows first.
        """
        total, found = 0.0, []
        steps = dict.fromkeys(sorted({term.window_us for term, _ in self._form.windows}), 0.0)
        for stage in piece.stages:
            for effect in stage:
                weight = self._weights[effect.field]
                if weight and effect.field not in self._sets and not piece.is_seen:
                    total += weight * _number(effect.value)
                for term, factor in self._form.windows:
                    steps[term.window_us] += factor * self._scene.step(term, effect, piece)
            found.append(total + _kept(steps, gone_us))
        return found

    def _may_raise(self, field: str) -> bool:
        """Tell whether the act may raise what a field that is set adds, in some world."""
        own = [effect for effect in self._scene.mine.effects if effect.field == field]
        weight = self._weights[field]
        if field in self._new:
            return self._ends(field, (self._scene.mine,))[1] > TOLERANCE
        if not all(isinstance(effect.value, int | float) for effect in own):
            return True
        if any(effect.op != "add" for effect in own) and not isinstance(self._base(field), int | float):
            return True
        least = self._ends(field, self._scene.others)[0] if own else 0.0
        return any(
            weight * _number(effect.value) > (0.0 if effect.op == "add" else least) + TOLERANCE for effect in own
        )

    def _ends(self, field: str, pieces: Iterable[Piece]) -> tuple[float, float]:
        """Return the least and the most that a field may add after any of these calls, in any order."""
        effects = [e for piece in pieces if not piece.is_seen for e in piece.effects if e.field == field]
        base = self._base(field)
        starts = [_number(effect.value) for effect in effects if effect.op == "set"]
        if field not in self._overwritten():
            starts.append(_number(base))
        if field in self._new:
            starts.append(_number(self._scene.value(field)))
        steps = [_number(effect.value) for effect in effects if effect.op == "add"]
        low = min(starts) + sum(step for step in steps if step < 0)
        high = max(starts) + sum(step for step in steps if step > 0)
        ends = sorted((self._weights[field] * low, self._weights[field] * high))
        return ends[0], ends[1]

    def _overwritten(self) -> set[str]:
        """Return the fields that are not known, but will be once the act has set them."""
        first: dict[str, Effect] = {}
        for effect in self._scene.mine.effects:
            first.setdefault(effect.field, effect)
        return {
            field
            for field, effect in first.items()
            if effect.op == "set" and not effect.lag_us and not isinstance(self._scene.value(field), int | float)
        }

    def _is_unclear(self) -> bool:
        """Tell whether something in flight makes a field unknown, or a new one appears of which nothing is known."""
        is_lost = any(
            self._weights[effect.field] and not isinstance(effect.value, int | float)
            for piece in self._scene.pieces
            for effect in piece.effects
        )
        if not self._new:
            return is_lost
        new = [field for field in self._new if self._weights[field]]
        is_twice = any(name in new for name, _ in self._form.singles) and bool(self._form.groups)
        over = self._overwritten()
        return (
            is_lost
            or is_twice
            or any(field not in over and not isinstance(self._scene.value(field), int | float) for field in new)
        )


def _kept(steps: Mapping[int, float], gone_us: int) -> float:
    """Return the most that steps add to windows, by width, of which those up to `gone_us` may be over."""
    left = most = sum(steps.values())
    for width_us, step in steps.items():
        if width_us <= gone_us:
            left -= step
            most = max(most, left)
    return most


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else 0.0
