"""How a change moves its field: by how much, and which way."""

from __future__ import annotations

from typing import Final

from comity.journal.world import Change, FieldValue

UP: Final = "up"
DOWN: Final = "down"


def number_of(value: FieldValue) -> float | None:
    """Return the number that a value is, None where it is none; a boolean is no number."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def step_of(change: Change) -> float | None:
    """Return the signed step of a change of a number; None where it moves none, or from where is unknown."""
    before, after = number_of(change.before), number_of(change.after)
    if before is not None and after is not None:
        return after - before
    return number_of(change.value) if change.op == "add" else None


def goal_of(change: Change) -> FieldValue:
    """Return the value that a change leads to, as far as it is known."""
    if change.after is not None:
        return change.after
    return change.value if change.op == "set" else None


def is_same(one: FieldValue, other: FieldValue, epsilon: float = 0.0) -> bool:
    """Tell whether two values are the same: numbers that differ by at most `epsilon` are."""
    first, second = number_of(one), number_of(other)
    if first is not None and second is not None:
        return abs(first - second) <= epsilon
    return one == other


def moves(change: Change, epsilon: float = 0.0) -> bool:
    """Tell whether a change changes anything, as far as it is known."""
    if change.before is None and change.after is None:
        return True
    return not is_same(change.before, change.after, epsilon)


def direction_of(change: Change) -> str:
    """Return which way a change goes: `up`, `down`, or the value, or the element with its sign."""
    step = step_of(change)
    if step is not None:
        return UP if step > 0 else DOWN if step < 0 else "nowhere"
    if change.op == "set":
        return f"to {change.value}"
    return f"{'-' if change.op == 'remove' else '+'} {change.value}"


def kind_of(field: str) -> str:
    """Return the kind of the field's resource: the first part of its name."""
    return field.partition("/")[0].partition(".")[0]


def resource_of(field: str) -> str:
    """Return the resource of a field."""
    return field.rpartition(".")[0] or field


def signature_of(tool: str, change: Change) -> str:
    """Return what two acts of one herd have in common: tool, kind, field and direction."""
    return f"{tool} {kind_of(change.field)}.{change.field.rpartition('.')[2]} {direction_of(change)}"
