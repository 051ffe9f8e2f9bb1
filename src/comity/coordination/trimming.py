"""Trim: the largest part of what was asked that passes, found by asking again with less."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from comity.coordination.handling import Handling
from comity.coordination.picture import Picture
from comity.coordination.ruling import Proposal

HALVINGS_MAX = 24


def trimmed(
    proposal: Proposal, handling: Handling, picture: Picture, fits: Callable[[dict[str, Any]], bool]
) -> dict[str, Any] | None:
    """Return arguments that pass and are as near as possible to what was asked; None where nothing but nothing passes.

    The argument that `trim` names is moved from what was asked towards no change at all.
    """
    name = handling.section.trim
    asked = proposal.args.get(name)
    if not isinstance(asked, int | float) or isinstance(asked, bool):
        return None
    nothing = _nothing(proposal, handling, picture, name)
    if nothing is None or nothing == asked:
        return None
    is_whole = isinstance(asked, int)
    if is_whole:
        nothing = round(nothing)
    low, high = nothing, asked
    best: float | None = None
    for _ in range(HALVINGS_MAX):
        middle = (
            (low + high) // 2 if is_whole and high > low else -((-low - high) // 2) if is_whole else (low + high) / 2
        )
        if middle in (low, high) and best is not None:
            break
        if middle == nothing:
            break
        if fits({**proposal.args, name: middle}):
            best = low = middle
        else:
            high = middle
        if abs(high - low) <= (1 if is_whole else abs(asked - nothing) * 1e-6):
            break
    return None if best is None else {**proposal.args, name: int(best) if is_whole else best}


def _nothing(proposal: Proposal, handling: Handling, picture: Picture, name: str) -> float | None:
    """Return the value of the argument that would change nothing: for a step 0, for a new value the present one."""
    change = next(iter(handling.bind(proposal.args).changes), None)
    if change is None or not isinstance(change.value, int | float):
        return None
    if change.op == "add":
        return 0
    before = picture.state(change.field).value
    if not isinstance(before, int | float):
        return None
    same = handling.bind({**proposal.args, name: before}).changes[0].value
    return before if same == before else None
