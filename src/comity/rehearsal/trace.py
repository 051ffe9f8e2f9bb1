"""Traces: a run as values that can be written down, read, drawn and replayed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from comity.core.errors import UsageError
from comity.journal.world import FieldValue
from comity.rehearsal.process import StepKind
from comity.rehearsal.rule_agent import RuleAgent
from comity.rehearsal.search import Searched
from comity.rehearsal.space import Shared
from comity.rehearsal.stage import Stage
from comity.rehearsal.team import Taken, Team

TRACE_STEPS_MAX = 10_000


class FieldStep(msgspec.Struct, frozen=True, array_like=True):
    """A field with its value before and after."""

    field: str
    before: FieldValue
    after: FieldValue


class TraceStep(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step: who did what, what was read (`think`), what changed, what went wrong, what refused it."""

    by: str
    kind: StepKind
    tool: str = ""
    args: dict[str, FieldValue] = {}
    reads: dict[str, FieldValue] = {}
    changes: tuple[FieldStep, ...] = ()
    fault: str = ""
    rule: str = ""


class Broken(msgspec.Struct, frozen=True, omit_defaults=True):
    """An invariant that came out false, and what its names stood for."""

    invariant: str
    terms: dict[str, FieldValue] = {}
    holds: str = ""


class Trace(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run of some agents of a world: first values, steps, and how it ended.

    In a `lasso` the steps from `loop_from` (0 is the first) lead back to where they began.
    """

    world: str
    agents: tuple[str, ...]
    start: dict[str, FieldValue]
    steps: tuple[TraceStep, ...]
    end: dict[str, FieldValue]
    ends: Literal["violated", "lasso", "run"] = "violated"
    broken: tuple[Broken, ...] = ()
    loop_from: int = 0
    coordinated: bool = False


def trace_of(stage: Stage, found: Searched, state: int, agents: Sequence[str]) -> Trace:
    """Return the shortest run to a state that a search has seen."""
    return traced(stage, found.team, found.first(state), found.path(state), agents)


def traced(stage: Stage, team: Team, first: int, path: Sequence[Taken], agents: Sequence[str]) -> Trace:
    """Return a run as a trace."""
    here = team.shared(first)
    start, steps = here, []
    for taken in path:
        after = stage.space.states[taken.move.shared]
        steps.append(_step(stage, team, taken, here, after))
        here = after
    used = _used(stage, team)
    broken = broken_in(stage, here)
    return Trace(
        stage.model.document.name,
        tuple(agents),
        _named(stage, start, used),
        tuple(steps),
        _named(stage, here, used),
        "violated" if broken else "run",
        broken,
        0,
        stage.settings.coordinated,
    )


def broken_in(stage: Stage, state: Shared) -> tuple[Broken, ...]:
    """Return the invariants that are false in a state."""
    checks = {check.key: check for check in stage.model.checks}
    made = []
    for key in stage.space.broken.get(stage.space.number(state), ()):
        check = checks.get(key)
        if check is None:
            made.append(Broken(key))
        else:
            made.append(Broken(key, check.terms(state.values, state.marks), check.text))
    return tuple(made)


def replay(stage: Stage, trace: Trace) -> Trace:
    """Take the steps of a trace again; return the run as far as it can be taken.

    A step can no longer be taken where its agent would now decide otherwise, or is refused.

    Raises:
        UsageError: the trace names agents or fields that are not there.
    """
    strangers = [name for name in trace.agents if name not in stage.agents]
    if strangers or len(trace.steps) > TRACE_STEPS_MAX:
        raise UsageError("foreign_trace", f"the trace is of another world: `{strangers[:1] or 'too long'}`")
    team = stage.team(trace.agents, is_reduced=False)
    place = stage.model.place
    firsts = [
        state
        for state in team.starts()
        if all(name in place and team.shared(state).values[place[name]] == value for name, value in trace.start.items())
    ]
    if not firsts:
        raise UsageError("foreign_trace", "the trace begins with other values than the world", hint="rehearse it again")
    state, path = firsts[0], []
    for step in trace.steps:
        taken = next((item for item in team.steps(state) if _is_same(stage, team, item, state, step)), None)
        if taken is None:
            break
        path.append(taken)
        state = taken.state
    return traced(stage, team, firsts[0], path, trace.agents)


def _is_same(stage: Stage, team: Team, taken: Taken, state: int, step: TraceStep) -> bool:
    made = _step(stage, team, taken, team.shared(state), stage.space.states[taken.move.shared])
    return (made.by, made.kind, made.tool, made.args, made.fault, made.changes) == (
        step.by,
        step.kind,
        step.tool,
        step.args,
        step.fault,
        step.changes,
    )


def _step(stage: Stage, team: Team, taken: Taken, before: Shared, after: Shared) -> TraceStep:
    label, process = taken.move.label, team.processes[taken.by]
    changes = tuple(
        FieldStep(name, old, new)
        for name, old, new in zip(stage.model.fields, before.values, after.values, strict=True)
        if old != new
    )
    reads: dict[str, FieldValue] = {}
    if label.kind == "think" and isinstance(process, RuleAgent):
        reads = process.seen(before.values)
    elif label.kind == "think":
        reads = {stage.model.fields[place]: before.values[place] for place in label.places}
    act = label.act
    return TraceStep(
        team.names[taken.by],
        label.kind,
        act.tool if act is not None else "",
        dict(act.args) if act is not None else {},
        reads,
        changes,
        label.fault,
        label.rule,
    )


def _used(stage: Stage, team: Team) -> list[int]:
    """Return the places that a team has to do with."""
    used: set[int] = set()
    for process in team.processes:
        found = process.footprint()
        used |= found.reads | found.writes
    used |= {place for check in stage.model.checks if check.fields & used for place in check.fields}
    return sorted(used)


def _named(stage: Stage, state: Shared, places: list[int]) -> dict[str, FieldValue]:
    return {stage.model.fields[place]: state.values[place] for place in places}
