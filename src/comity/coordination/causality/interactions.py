"""*Which agents interact at all*: over which fields, how often, and in what way. Counts outlive what left the map."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Literal

import msgspec

from comity.coordination.causality.declared import Declared
from comity.coordination.causality.happening import FieldMemory
from comity.coordination.causality.recorded import Recorded
from comity.coordination.naming import Template

INTERACTIONS_MAX = 1_000

Way = Literal["read_from", "both_write", "shared_invariant"]


class Interaction(msgspec.Struct, frozen=True, omit_defaults=True):
    """Two agents that meet over fields.

    *read_from*: `two` read what `one` wrote, `count` times. *both_write*, *shared_invariant* (`invariant` reads fields
    that either writes): `count` writes of both together; then `one` and `two` are in alphabetical order.
    """

    one: str
    two: str
    way: Way
    fields: tuple[str, ...]
    count: int
    last_us: int = 0
    invariant: str = ""


def interactions(recorded: Recorded, declared: Declared | None) -> tuple[Interaction, ...]:
    """Return all pairs that interact, the most frequent first, at most `INTERACTIONS_MAX`."""
    found = [*_read_from(recorded), *_both_write(recorded)]
    if declared is not None:
        found += _shared(recorded, declared)
    found.sort(key=lambda it: (-it.count, it.one, it.two, it.way, it.invariant))
    return tuple(found[:INTERACTIONS_MAX])


def _read_from(recorded: Recorded) -> list[Interaction]:
    by_pair: dict[tuple[str, str], dict[str, tuple[int, int]]] = {}
    for (one, two, field), counted in recorded.pairs.items():
        if one and two:
            by_pair.setdefault((one, two), {})[field] = counted
    return [
        Interaction(one, two, "read_from", tuple(sorted(fields)), *_sums(fields.values()))
        for (one, two), fields in by_pair.items()
    ]


def _both_write(recorded: Recorded) -> list[Interaction]:
    by_pair: dict[tuple[str, str], dict[str, tuple[int, int]]] = {}
    for state in recorded.fields.values():
        for one, two in combinations(_writers(state), 2):
            count = state.writes[one] + state.writes[two]
            by_pair.setdefault((one, two), {})[state.name] = (count, state.written_us)
    return [
        Interaction(one, two, "both_write", tuple(sorted(fields)), *_sums(fields.values()))
        for (one, two), fields in by_pair.items()
    ]


def _shared(recorded: Recorded, declared: Declared) -> list[Interaction]:
    found: list[Interaction] = []
    bounds = {
        (bound.name, bound.fields): bound
        for name in sorted(recorded.fields)
        if recorded.fields[name].writes
        for bound in declared.bounds(name)
    }
    for bound in bounds.values():
        states = [state for name in bound.fields for state in _covered(recorded, name)]
        agents = sorted({agent for state in states for agent in _writers(state)})
        for one, two in combinations(agents, 2):
            met = [state for state in states if one in state.writes or two in state.writes]
            if len(met) < 2:
                continue  # over one field alone they both write it, which is told already
            count = sum(state.writes.get(one, 0) + state.writes.get(two, 0) for state in met)
            fields, last_us = tuple(sorted(state.name for state in met)), max(state.written_us for state in met)
            found.append(Interaction(one, two, "shared_invariant", fields, count, last_us, bound.name))
    return found


def _covered(recorded: Recorded, name: str) -> list[FieldMemory]:
    """Return the field of that name, or those that a pattern matches."""
    template = Template(name)
    if not template.is_pattern:
        return [recorded.fields[name]] if name in recorded.fields else []
    return [state for field, state in sorted(recorded.fields.items()) if template.match(field) is not None]


def _writers(state: FieldMemory) -> list[str]:
    return sorted(agent for agent in state.writes if agent)


def _sums(counted: Iterable[tuple[int, int]]) -> tuple[int, int]:
    pairs = list(counted)
    return sum(count for count, _ in pairs), max(last_us for _, last_us in pairs)
