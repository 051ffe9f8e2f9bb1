"""*What would this touch*: a call's own fields, what follows from them as declared, and the invariants on the way."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from comity.coordination.causality.declared import Bound, Declared
from comity.coordination.causality.recorded import Recorded
from comity.coordination.document import Relation
from comity.journal.world import Change, FieldValue, Op

REACH_DEPTH_MAX = 3
REACHED_MAX = 256


class Reached(msgspec.Struct, frozen=True, omit_defaults=True):
    """A field that a call would touch: itself (`depth` 0) or through dependencies, `path` being the fields passed.

    `step` is by how much a number would move (None: not known), after `lag_s` in all. `op` and `value` are the call's
    own, for depth 0.
    """

    field: str
    depth: int
    path: tuple[str, ...]
    relation: Relation | None = None
    step: float | None = None
    gain: float = 1.0
    lag_s: float = 0.0
    op: Op | None = None
    value: FieldValue = None


class WouldTouch(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a call would touch: fields by depth, invariants that read any of them, agents that read or write them.

    `is_undeclared`: nobody said what the tool touches, so that nothing here means *unknown*, not *nothing*.
    """

    tool: str
    fields: tuple[Reached, ...] = ()
    rests_on: tuple[str, ...] = ()
    bounds: tuple[Bound, ...] = ()
    agents: tuple[str, ...] = ()
    is_undeclared: bool = False
    cut: int = 0


def would_touch(
    recorded: Recorded, declared: Declared | None, tool: str, args: Mapping[str, Any], depth: int
) -> WouldTouch:
    """Return what a call of `tool` with `args` would touch, at most `depth` dependencies away.

    Raises:
        UsageError: the arguments do not fill the tool's templates and expressions.
    """
    if declared is None or not declared.is_declared(tool):
        return WouldTouch(tool, is_undeclared=True)
    reached, cut = _spread(recorded, declared, declared.changes(tool, args), min(depth, REACH_DEPTH_MAX))
    bounds: dict[tuple[str, tuple[str, ...]], Bound] = {}
    agents: set[str] = set()
    for field in dict.fromkeys(one.field for one in reached):
        for bound in declared.bounds(field):
            bounds.setdefault((bound.name, bound.fields), bound)
        state = recorded.fields.get(field)
        if state is not None:
            agents.update(state.writes, state.reads)
    return WouldTouch(
        tool,
        tuple(reached),
        tuple(declared.rests_on(tool, args)),
        tuple(bounds.values()),
        tuple(sorted(agents - {""})),
        cut=cut,
    )


def _spread(recorded: Recorded, declared: Declared, changes: Sequence[Change], depth: int) -> tuple[list[Reached], int]:
    """Follow dependencies breadth first; a field is reached once for each field that leads to it, never in a circle."""
    reached = [Reached(it.field, 0, (it.field,), step=_step(recorded, it), op=it.op, value=it.value) for it in changes]
    waiting, seen, cut = deque(reached), {(it.field, it.field) for it in reached}, 0
    while waiting:
        here = waiting.popleft()
        if here.depth >= depth:
            continue
        for influence in declared.influences(here.field):
            if influence.target in here.path or (here.field, influence.target) in seen:
                continue
            if len(reached) >= REACHED_MAX:
                cut += 1
                continue
            seen.add((here.field, influence.target))
            moves = influence.relation == "derives" and here.step is not None
            there = Reached(
                influence.target,
                here.depth + 1,
                (*here.path, influence.target),
                influence.relation,
                here.step * influence.gain if moves and here.step is not None else None,
                here.gain * influence.gain,
                here.lag_s + influence.lag_s,
            )
            reached.append(there)
            waiting.append(there)
    return reached, cut


def _step(recorded: Recorded, change: Change) -> float | None:
    """Return by how much a change moves a number, where that is known."""
    value = _number(change.value)
    if change.op == "add":
        return value
    if change.op == "remove":
        return value  # the signed step stands in the change
    if change.op != "set" or value is None:
        return None
    state = recorded.fields.get(change.field)
    before = _number(change.before if change.before is not None else state.value if state is not None else None)
    return None if before is None else value - before


def _number(value: FieldValue) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
