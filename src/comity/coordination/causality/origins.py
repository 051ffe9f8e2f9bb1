"""The recorded causes of one happening: each name that it gives, looked up, and held against time.

Edges run strictly forward in (time, then order at that moment): an edge from a later cause is odd, and so is each edge
of a circle within one moment. So what is left has no circles, in whatever order it was told.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import msgspec

from comity.coordination.causality.answer import How, MapEdge, Missing, Odd, OddWhy, is_principal, node_id
from comity.coordination.causality.happening import Happening
from comity.coordination.causality.moments import circles
from comity.coordination.causality.recorded import Recorded

ANSWERS_MAX = 4
"""A call is joined with this many of the latest answers that its task had got."""


class Origins(msgspec.Struct, frozen=True):
    """The causes of one happening: recorded edges, names that nothing is known of, edges that cannot be."""

    edges: tuple[MapEdge, ...] = ()
    missing: tuple[Missing, ...] = ()
    odd: tuple[Odd, ...] = ()


class _Reference(msgspec.Struct, frozen=True):
    cause: Happening | None
    name: str
    how: How
    evidence: str


def origins(recorded: Recorded, happening: Happening) -> Origins:
    """Return what made a happening happen, one hop back.

    Cost: linear in what it reads and names; the first time after an event also in all that shares its moment.
    """
    edges: dict[tuple[str, How], MapEdge] = {}
    missing: list[Missing] = []
    odd: list[Odd] = []
    for reference in _references(recorded, happening):
        how, cause = reference.how, reference.cause
        if cause is None and not is_principal(reference.name):
            has_left = recorded.floor_us >= 0
            missing.append(Missing(happening.id, reference.name, how, "left" if has_left else "never"))
            continue
        cause_id = cause.id if cause is not None else reference.name
        why = _fault(recorded, cause, happening) if cause is not None else None
        if why is not None:
            odd.append(Odd(cause_id, happening.id, how, why, (reference.evidence,)))
            continue
        at_us = happening.at_us
        if how == "saw" and (cause_id, "read_from") in edges:
            how = "read_from"  # the version is the observation's own: one edge, twice told
        known = edges.get((cause_id, how))
        evidence = (*known.evidence, reference.evidence) if known else (reference.evidence,)
        edges[cause_id, how] = MapEdge(cause_id, happening.id, how, evidence, at_us, len(evidence))
    odd += _second_writers(recorded, happening)
    in_order = sorted(edges.values(), key=lambda it: (it.cause, it.how))
    return Origins(tuple(in_order), tuple(dict.fromkeys(missing)), tuple(odd))


def _references(recorded: Recorded, it: Happening) -> Iterator[_Reference]:
    for named in sorted(it.named, key=lambda named: (named.how, named.name, named.evidence)):
        if named.how == "saw":
            continue
        if named.how == "asked" and _is_approval(recorded.find(named.name), it):
            continue
        yield _Reference(recorded.find(named.name), named.name, named.how, named.evidence)
    if it.kind == "observation" and it.version > 0:
        version = f"{it.field}@{it.version}"
        writer = recorded.writer(version)
        if writer is not None and writer.kind == "call":
            yield _Reference(writer, version, "read_from", version)
    for version, read in sorted(it.reads.items()):
        if read.version > 0:
            yield _Reference(recorded.writer(version), version, "read_from", version)
    for named in (named for named in it.named if named.how == "saw"):
        yield _Reference(recorded.find(named.name), named.name, named.how, named.evidence)
    if it.task and it.kind != "answer":
        yield _Reference(recorded.happenings.get(node_id("task", it.task)), it.task, "made", it.task)
        if it.kind == "call":
            yield from _answers_before(recorded, it)


def _answers_before(recorded: Recorded, it: Happening) -> Iterator[_Reference]:
    """Yield the latest answers that the task had got: later ones, and approvals of the call itself.

    An answer to a call that was under way is no cause of that call, though they may stand at one moment.
    """
    found = [recorded.happenings[key] for key in recorded.answers.get(it.task, ())]
    before = sorted((one for one in found if one.at_us <= it.at_us), key=lambda one: (one.at_us, one.id))
    for answer in before[-ANSWERS_MAX:]:
        asker = next((recorded.find(named.name) for named in answer.named if named.how == "asked"), None)
        if asker is not it or _is_approval(it, answer):
            yield _Reference(answer, answer.name, "answered", answer.name)


def _is_approval(call: Happening | None, answer: Happening) -> bool:
    """Return whether the call was let through only after its answer: then the answer is its cause, not its effect."""
    if call is None or not call.is_acted:
        return False
    was_asked = call.turned.startswith("escalate")
    return call.at_us > answer.at_us or (was_asked and call.at_us == answer.at_us)


def _fault(recorded: Recorded, cause: Happening, effect: Happening) -> OddWhy | None:
    if cause.at_us != effect.at_us:
        return "backwards" if cause.at_us > effect.at_us else None
    if cause is effect:
        return "circle"
    if recorded.circles is None:
        recorded.circles = _circles(recorded)
    own = recorded.circles.get(effect.id)
    return "circle" if own is not None and own == recorded.circles.get(cause.id) else None


def _circles(recorded: Recorded) -> dict[str, tuple[int, int]]:
    """Return the members of all circles: each with its moment, and the number of the circle there."""
    moments: dict[int, list[str]] = {}
    for key, it in recorded.happenings.items():
        moments.setdefault(it.at_us, []).append(key)
    found: dict[str, tuple[int, int]] = {}
    for at_us, names in moments.items():
        if len(names) > 1:
            for name, number in circles(names, partial(_causes_at_once, recorded)).items():
                found[name] = (at_us, number)
    return found


def _causes_at_once(recorded: Recorded, name: str) -> list[str]:
    it = recorded.happenings[name]
    causes = (reference.cause for reference in _references(recorded, it))
    return [cause.id for cause in causes if cause is not None and cause.at_us == it.at_us]


def _second_writers(recorded: Recorded, it: Happening) -> Iterator[Odd]:
    """Yield that a call wrote a version which another call had written before."""
    for version in sorted(it.changes):
        calls = [one for one in recorded.writers_of(version) if one.kind == "call"]
        if len(calls) > 1 and calls[0] is not it:
            yield Odd(calls[0].id, it.id, "wrote", "two_writers", (version,))
