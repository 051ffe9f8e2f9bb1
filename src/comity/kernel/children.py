"""Children: the row is in the parent's unit, the id derived from the call, budget carved out, grant narrowed."""

from __future__ import annotations

from typing import Any

from comity.core.codec import canonical, decode
from comity.core.errors import UsageError
from comity.core.ids import derived_id, show_id
from comity.journal.budget import Budget, Grant
from comity.journal.call import Attempt
from comity.journal.spec import AgentSpec
from comity.journal.task import NewTask
from comity.journal.verdict import Park
from comity.kernel import budget
from comity.kernel.create import goal_segments, new_task
from comity.kernel.passage import Passage


async def plan(passage: Passage) -> Attempt:
    """Work out the child; nothing is written before the outcome's unit."""
    run = passage.run
    args = decode(passage.call.args)
    program = await run.kernel.programs.find(args["agent"])
    spec = program.agent(args["agent"]) if program else None
    if program is None or spec is None:
        return Attempt("failed", error=f"agent `{args['agent']}` is not registered")
    asked = args.get("budget")
    try:
        carved = budget.carve(run.ledger.budget, run.ledger.usage, read_budget(asked) if asked else None)
    except UsageError as error:
        return Attempt("failed", error=error.message)
    if isinstance(carved, Park):
        return Attempt("failed", error=f"the budget does not allow it: {carved.detail}")
    key = passage.asked.key
    child = derived_id(run.row.id, run.label(key).encode(), str(run.ledger.round).encode())
    result = {"task": show_id(child), "budget": _plain(carved), "version": program.version(spec)}
    passage.carved = carved
    passage.child = _new_task(passage, spec, args, carved, child)
    passage.segments = (*passage.segments, *goal_segments(canonical(args["goal"])))
    return Attempt("done", canonical(result))


def made(passage: Passage, attempt: Attempt) -> tuple[NewTask, ...]:
    """Return the child's row and journal, to be written with the outcome."""
    return (passage.child,) if passage.child is not None and attempt.end == "done" else ()


def over_budget(passage: Passage) -> Park | None:
    """Return why the child's carved budget is no longer there to give, or None."""
    run = passage.run
    if passage.is_dropped:
        return passage.withheld()
    if passage.child is None:
        return None
    carved = budget.carve(run.ledger.budget, run.ledger.usage, passage.carved)
    return carved if isinstance(carved, Park) else None


def read_budget(value: dict[str, Any]) -> Budget:
    """Return the budget that a person or program wrote down.

    Raises:
        UsageError: an unknown field, or a negative limit.
    """
    known = {"tokens", "usd", "usd_micro", "calls", "wall_s", "context_tokens"}
    unknown = sorted(set(value) - known)
    if unknown:
        raise UsageError("bad_budget", f"budget has no field `{unknown[0]}`", hint=f"known: {', '.join(sorted(known))}")
    fields = dict(value)
    if "usd" in fields:
        fields["usd_micro"] = round(float(fields.pop("usd")) * 1_000_000)
    for name, limit in [*fields.items(), *fields.get("calls", {}).items()]:
        if isinstance(limit, int | float) and limit < 0:
            raise UsageError("bad_budget", f"budget `{name}` is `{limit}`", hint="a limit is zero or more")
    return Budget(**fields)


def _plain(carved: Budget) -> dict[str, Any]:
    fields = {name: getattr(carved, name) for name in Budget.__struct_fields__}
    return {name: value for name, value in fields.items() if value not in (None, {})}


def _new_task(passage: Passage, spec: AgentSpec, args: dict[str, Any], carved: Budget, child: bytes) -> NewTask:
    run = passage.run
    mine = run.view(None).grant
    wanted = args.get("tools")
    tools = tuple(spec.tools if wanted is None else wanted)
    grant = mine.narrowed(Grant(tools, _models(spec, mine), spec.agents, f"task:{show_id(run.row.id)}"))
    return new_task(
        child,
        spec,
        canonical(args["goal"]),
        at_us=run.kernel.clock.wall_us(),
        tenant=run.row.tenant,
        session=args.get("session") or "",
        parent=run.row.id,
        grant=grant,
        budget=carved,
        priority=run.row.priority,
    )


def _models(spec: AgentSpec, mine: Grant) -> tuple[str, ...]:
    return spec.models or ((spec.model,) if spec.model else mine.models)
