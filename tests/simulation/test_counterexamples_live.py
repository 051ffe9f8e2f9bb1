"""What rehearsal finds happens: a scenario's counterexample, replayed in a running kernel, ends in the same state."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import msgspec
import pytest

from comity.agents.context import Context
from comity.agents.tool import agent, tool
from comity.coordination.document import WorldDocument
from comity.coordination.loading import load_world
from comity.core.errors import Refused
from comity.journal.world import Observation
from comity.rehearsal import Options, rehearse
from comity.rehearsal.trace import Trace
from comity.runtime.embedded import Embedded
from stage import Stage

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
SLUGS = sorted(file.parent.name for file in SCENARIOS.glob("*/world.yaml"))


@agent
async def actor(context: Context) -> str:
    """Do what the goal says."""
    name, args = context.goal
    try:
        await context.act(name, **args)
    except Refused as refusal:
        return f"{refusal.code}: {refusal.reason}"
    return "done"


def tool_named(name: str, args: dict[str, Any]) -> Any:
    """Return a tool of that name that takes these arguments, and does nothing but be called."""

    def act(**_given: Any) -> str:
        return "done"

    kept = inspect.Parameter.KEYWORD_ONLY
    act.__signature__ = inspect.Signature([inspect.Parameter(key, kept, annotation=Any) for key in args])  # type: ignore[attr-defined]
    act.__annotations__ = dict.fromkeys(args, Any)
    act.__name__ = name
    return tool(effect="idempotent", name=name.replace(".", "_"))(act)


def observing(document: WorldDocument) -> WorldDocument:
    """Return the world with every rule of the file in *observe*, in which changes show at once."""
    kinds = {
        name: msgspec.structs.replace(
            kind,
            fields={
                field: msgspec.structs.replace(section, settle_s=0.0, low=None, high=None, max_age_s=None)
                for field, section in kind.fields.items()
            },
        )
        for name, kind in document.kinds.items()
    }
    rules = {name: msgspec.structs.replace(rule, mode="observe") for name, rule in document.invariants.items()}
    contracts = {name: msgspec.structs.replace(item, mode="observe") for name, item in document.contracts.items()}
    return msgspec.structs.replace(
        document, kinds=kinds, invariants=rules, contracts=contracts, detectors={}, rehearsal=None
    )


def found(slug: str) -> tuple[WorldDocument, Trace]:
    """Return a scenario's world and the counterexample that rehearsal finds."""
    file = SCENARIOS / slug / "world.yaml"
    document = load_world(file).document
    report = rehearse(document, Options(folder=str(file.parent), has_fixes=False))
    assert report.counterexample is not None
    return document, report.counterexample


async def replayed(here: Stage, node: Embedded, trace: Trace) -> dict[str, Any]:
    """Take the steps of a trace with real calls and observations; return what the node believes in the end."""
    coordinator = node.coordination.coordinator
    world = coordinator.world
    assert world is not None
    lag_s = 2.0 + 3 * max((item.lag_s for item in world.document.dependencies), default=0.0)
    for field, value in trace.start.items():
        await coordinator.observe(Observation(field, value, here.clock.wall_us(), "operator"))
    for step in trace.steps:
        await here.clock.advance(1.0)
        if step.kind == "act":
            task = await node.create("actor", [step.tool.replace(".", "_"), step.args])
            assert await here.ended(node, task) == "done", step
            await here.clock.advance(lag_s)  # whatever follows by dependencies has come
        elif step.kind == "move":
            for change in step.changes:
                seen = Observation(change.field, change.after, here.clock.wall_us(), "operator")
                await coordinator.observe(seen)
    return {field: coordinator.believed(field) for field in trace.end}


@pytest.mark.parametrize("slug", SLUGS)
async def test_a_counterexample_ends_in_the_same_state_in_a_running_kernel(slug: str) -> None:
    document, trace = found(slug)
    tools = {step.tool: tool_named(step.tool, step.args) for step in trace.steps if step.kind == "act"}
    here = Stage(actor, *tools.values(), world=observing(document))
    async with here.node() as node:
        assert await replayed(here, node, trace) == trace.end
