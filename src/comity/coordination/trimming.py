"""Trim: the largest part of what was asked that passes, found by asking again with less."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from comity.coordination.handling import Handling, is_number
from comity.coordination.picture import Picture
from comity.coordination.ruling import Proposal

HALVINGS_MAX = 24
"""A part of a number is found to within so many halvings."""
TRIES_MAX = 16
"""Of so many whole numbers each is tried, from the largest down; of more, what passes is taken to be one stretch."""


def trimmed(
    proposal: Proposal, handling: Handling, picture: Picture, fits: Callable[[dict[str, Any]], bool]
) -> dict[str, Any] | None:
    """Return arguments that pass and are as near as possible to what was asked; None where nothing but nothing passes.

    The argument that `trim` names is moved from what was asked towards no change at all.
    """
    name = handling.section.trim
    asked = proposal.args.get(name)
    if not is_number(asked):
        return None
    nothing, is_whole = _nothing(proposal, handling, picture, name)
    if nothing is None or nothing == asked:
        return None
    is_whole = is_whole or isinstance(asked, int)
    if is_whole and not (float(nothing).is_integer() and float(asked).is_integer()):
        return None
    find = _largest_whole if is_whole else _largest
    best = find(lambda value: fits({**proposal.args, name: value}), nothing, asked)
    return None if best is None else {**proposal.args, name: best}


def _largest_whole(fits: Callable[[float], bool], nothing: float, asked: float) -> int | None:
    way = 1 if asked > nothing else -1
    low, high = 0, abs(int(asked) - int(nothing))
    tries = range(high - 1, 0, -1) if high <= TRIES_MAX else ()
    for steps in tries:
        if fits(int(nothing) + way * steps):
            return int(nothing) + way * steps
    while not tries and high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(int(nothing) + way * middle) else (low, middle)
    return int(nothing) + way * low if low else None


def _largest(fits: Callable[[float], bool], nothing: float, asked: float) -> float | None:
    low, high = nothing, asked
    for _ in range(HALVINGS_MAX):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return None if low == nothing else low


def _nothing(proposal: Proposal, handling: Handling, picture: Picture, name: str) -> tuple[float | None, bool]:
    """Return the argument that would change nothing (for a step 0, for a new value the present one); if it is whole."""
    change = next(iter(handling.bind(proposal.args).changes), None)
    if change is None or not is_number(change.value):
        return None, False
    section = picture.world.section(change.field)
    is_whole = section is not None and section.type == "integer"
    if change.op == "add":
        return 0, is_whole
    before = picture.peek(change.field).value
    if not isinstance(before, int | float) or not is_number(before):
        return None, False
    same = handling.bind({**proposal.args, name: before}).changes[0].value
    return before if same == before else None, is_whole
