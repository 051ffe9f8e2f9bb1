"""What tests assert of a world: that its agents are safe together, and that a counterexample no longer happens."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from comity.coordination.loading import load_world
from comity.rehearsal.markdown import markdown
from comity.rehearsal.rehearsing import Options, rehearse, stage_of
from comity.rehearsal.report import Report
from comity.rehearsal.trace import Trace, replay


def assert_coordinated(
    world: str | os.PathLike[str], *, coordinated: bool | None = None, agents: tuple[str, ...] = (), seed: int = 0
) -> Report:
    """Rehearse a world file, and fail with the counterexample and the fixes where it is not safe.

    Args:
        world: The file.
        coordinated: Whether calls pass admission; None for what the file says.
        agents: Only these; empty for all.
        seed: Of the random schedules beyond the bound of states.

    Returns: the report.

    Raises:
        AssertionError: it is not safe.
        UsageError: the file is wrong.
    """
    __tracebackhide__ = True
    folder = str(Path(world).resolve().parent)
    options = Options(agents=agents, coordinated=coordinated, seed=seed, folder=folder)
    report = rehearse(load_world(world).document, options)
    if not report.is_safe:
        raise AssertionError("\n" + markdown(report, str(world)))
    return report


def assert_replay_holds(world: str | os.PathLike[str], trace: str) -> None:
    """Take the steps of a counterexample again, and fail where they still end as they did.

    Raises:
        AssertionError: the same steps still break an invariant, or still go round.
        UsageError: the file is wrong, or the trace is of another world.
    """
    __tracebackhide__ = True
    wanted = msgspec.json.decode(trace, type=Trace)
    options = Options(folder=str(Path(world).resolve().parent))
    if wanted.coordinated:
        options = Options(coordinated=True, folder=options.folder)
    run = replay(stage_of(load_world(world).document, options), wanted)
    if run.broken:
        broken = ", ".join(f"`{item.invariant}`" for item in run.broken)
        raise AssertionError(f"the {len(run.steps)} steps still break {broken}: `comity rehearse {world}` has fixes")
    if wanted.ends == "lasso" and len(run.steps) == len(wanted.steps):
        raise AssertionError(f"the agents still go round: `comity rehearse {world}` has fixes")
