"""The linear condition that is met most: nothing set, nothing new, and windows that only empty while nobody acts.

Then no order matters, and every call in flight counts with the most that its stages raise the sum by.
"""

from __future__ import annotations

from math import inf

from comity.coordination.finding import NOTHING, Finding
from comity.coordination.handling import NUMBERS
from comity.coordination.invariant import TOLERANCE, Form
from comity.coordination.scene import Piece, Scene


def judge_steps(scene: Scene, form: Form) -> Finding | None:
    """Tell what the act means for the condition; None where there is more to it than steps.

    Cost: linear in what is in flight on the condition's fields.
    """
    mine = None if scene.new else _rise(scene, form, scene.mine)
    counted = _counted(scene, form) if form.windows else 0.0
    if mine is None or counted is None:
        return None
    rise, is_rising = mine
    if not is_rising and rise >= -TOLERANCE:
        return NOTHING
    held, is_unknown = _held(scene, form)
    held += counted
    is_broken = not is_unknown and form.is_over(held)
    if not is_rising and not is_broken:
        return NOTHING
    alone = together = held + rise
    for piece in scene.others:
        other = _rise(scene, form, piece)
        if other is None:
            return None
        together += max(0.0, other[0])
    if rise <= TOLERANCE:
        return Finding(is_broken=is_broken, improves=is_broken and rise < -TOLERANCE)
    if is_unknown:
        return Finding(is_unknown=True, alone=True, presses=True)
    return Finding(form.is_over(together), form.is_over(alone), is_broken=is_broken, presses=True)


def _rise(scene: Scene, form: Form, piece: Piece) -> tuple[float, bool] | None:
    """Return the most that a call's stages raise the sum by, and if any step does; None where that is not all."""
    total, rise, is_rising = 0.0, -inf, False
    if piece.is_seen:
        return None
    for stage in piece.stages:
        for effect in stage:
            field = effect.field
            weight = form.weight(field, scene.picture.world.groups_of(field) if form.groups else ())
            if weight:
                if effect.op != "add" or not isinstance(effect.value, NUMBERS):
                    return None
                step = weight * effect.value
                total += step
                is_rising = is_rising or step > TOLERANCE
            for term, factor in form.windows:
                step = factor * scene.step(term, effect, piece)
                if step < 0:
                    return None
                total += step
                is_rising = is_rising or step > TOLERANCE
        rise = max(rise, total)
    return rise, is_rising


def _counted(scene: Scene, form: Form) -> float | None:
    """Return what the windows add; None where something in them lowers the sum, and its leaving would raise it."""
    total = 0.0
    for term, factor in form.windows:
        held = scene.held(term)
        if not held:
            continue
        if term.kind == "count_within":
            least, added = factor, factor * len(held)
        else:
            steps = [factor * step.by for step in held]
            least, added = min(steps), sum(steps)
        if least < 0:
            return None
        total += added
    return total


def _held(scene: Scene, form: Form) -> tuple[float, bool]:
    """Return what the sum comes to by what is known, and whether something is not."""
    picture, now_us = scene.picture, scene.now_us
    total, is_unknown = form.constant, False
    for name, factor in form.singles:
        value = picture.peek(name).at(now_us)
        if isinstance(value, NUMBERS):
            total += factor * value
        else:
            is_unknown = True
    for pattern, factor in form.groups:
        there, missing = picture.group(pattern).total(now_us)
        total += factor * there
        is_unknown = is_unknown or bool(missing)
    for pattern, factor in form.counts:
        total += factor * len(picture.group(pattern).members)
    return total, is_unknown
