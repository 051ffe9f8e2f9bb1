"""Against production: calls that happened, and new agents: which of their decisions would now conflict."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from comity.coordination.document import WorldDocument
from comity.core.errors import UsageError
from comity.journal.world import FieldValue
from comity.rehearsal.recorded import RecordedCall, with_recording
from comity.rehearsal.rehearsing import Options, stage_of
from comity.rehearsal.search import search
from comity.rehearsal.stage import with_fields
from comity.rehearsal.trace import Trace, trace_of

CONFLICTS_MAX = 100
PLAIN = Options()
PRODUCTION = "production"
"""The agent that stands for what happened."""


class Conflict(msgspec.Struct, frozen=True):
    """A decision of a new agent that breaks an invariant together with what happened, and the shortest run to it.

    `recorded` is the call of production that came last before, empty where none had.
    """

    agent: str
    tool: str
    args: dict[str, FieldValue]
    recorded: str
    broken: tuple[str, ...]
    run: Trace


def conflicts(
    document: WorldDocument, calls: Sequence[RecordedCall], agents: Sequence[str] = (), options: Options = PLAIN
) -> tuple[Conflict, ...]:
    """Return which decisions of `agents` (all, where none is named) conflict with calls that happened, nearest first.

    The calls keep their order; the agents may think and act anywhere between.

    Raises:
        UsageError: the world cannot be rehearsed, a call is of a tool that it does not declare, or they break an
            invariant by themselves: then the world's first values are not what they were.
    """
    if document.rehearsal is not None and PRODUCTION in document.rehearsal.agents:
        raise UsageError("name_taken", f"an agent of the world is called `{PRODUCTION}`", hint="give it another name")
    ordered = sorted(calls, key=lambda call: call.at_us)
    recorded = with_recording(document, PRODUCTION, ordered)
    return with_fields(lambda extra: _conflicts(recorded, tuple(agents), options, extra))


def _conflicts(
    document: WorldDocument, agents: tuple[str, ...], options: Options, extra: Sequence[str]
) -> tuple[Conflict, ...]:
    stage = stage_of(document, options, extra)
    names = [name for name in stage.agents if not agents or name in agents or name == PRODUCTION]
    states_max = stage.model.section.states_max
    alone = search(stage.team([PRODUCTION]), states_max=states_max, watch=options.watch)
    if alone.bad:
        broken = ", ".join(f"`{item.invariant}`" for item in trace_of(stage, alone, alone.bad[0], ()).broken)
        hint = "set `rehearsal.values` to what they were before the first call"
        raise UsageError("recording_breaks", f"the recorded calls break {broken} by themselves", hint=hint)
    found = search(stage.team(names), states_max=states_max, is_first_enough=False, watch=options.watch)
    made: dict[object, Conflict] = {}
    for state in found.bad:
        run = trace_of(stage, found, state, names)
        acts = [step for step in run.steps if step.kind == "act"]
        mine = next((step for step in reversed(acts) if step.by != PRODUCTION), None)
        theirs = next((step for step in reversed(acts) if step.by == PRODUCTION), None)
        if mine is not None:
            told = f"{theirs.tool} {theirs.args}" if theirs is not None else ""
            broken_keys = tuple(item.invariant for item in run.broken)
            key = (mine.by, mine.tool, repr(mine.args), told, broken_keys)
            made.setdefault(key, Conflict(mine.by, mine.tool, mine.args, told, broken_keys, run))
        if len(made) >= CONFLICTS_MAX:
            break
    return tuple(made.values())
