"""The rehearsal of a world: sets of agents from the smallest up, a verdict, the nearest counterexample, remedies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from comity.coordination.document import WorldDocument
from comity.core.errors import UsageError
from comity.rehearsal.bounded import Bounded, look_further
from comity.rehearsal.coverage import Counting
from comity.rehearsal.cycles import lasso, starving
from comity.rehearsal.fixes import remedies
from comity.rehearsal.make import agent_maker
from comity.rehearsal.minimal import Examination, Examined
from comity.rehearsal.production import ProductionAdmitter
from comity.rehearsal.report import Fix, Outcome, Report, Starving
from comity.rehearsal.search import Searched, Watch, search, unwatched
from comity.rehearsal.stage import AdmitterOf, Stage, settings_of, with_fields
from comity.rehearsal.trace import Trace, trace_of, traced

FIX_STATES_MIN = 20_000
FIX_GROWTH_MAX, FIXES_SHARE = 4, 2
"""A remedy is explored up to so many times the states of the original; one that needs more is not shown to
be safe. All of them share so many times the bound of states; those beyond are not tried."""


@dataclass(frozen=True)
class Options:
    """How to rehearse.

    Attributes:
        agents: Only these; empty for all.
        coordinated: Whether calls pass admission; None for what the world file says.
        seed: Of the random schedules beyond the bound.
        watch: Is told of progress, and may stop.
        has_fixes: Whether remedies are looked for.
        folder: Where the files of real agents are looked for.
        admitter: The admission that is asked.
    """

    agents: tuple[str, ...] = ()
    coordinated: bool | None = None
    seed: int = 0
    watch: Watch = unwatched
    has_fixes: bool = True
    folder: str = "."
    admitter: AdmitterOf = ProductionAdmitter


def stage_of(document: WorldDocument, options: Options = Options(), extra: Sequence[str] = ()) -> Stage:
    """Return the stage of a document.

    Raises:
        UsageError: it cannot be rehearsed.
    """
    settings = settings_of(document, coordinated=options.coordinated)
    return Stage(document, settings, make_agent=agent_maker(options.folder), admitter=options.admitter, extra=extra)


def rehearse(document: WorldDocument, options: Options = Options()) -> Report:
    """Explore what the agents of a world can do together, and judge it.

    Raises:
        UsageError: the world cannot be rehearsed; an invariant is false from the start.
    Guarantees: `tests/unit/rehearsal/test_reductions.py`, `tests/conformance/test_spin.py`.
    """
    return with_fields(lambda extra: _Rehearsal(document, options, extra).report())


class _Rehearsal:
    def __init__(self, document: WorldDocument, options: Options, extra: Sequence[str]) -> None:
        self._document, self._options = document, options
        self._stage = stage_of(document, options, extra)
        known = list(self._stage.agents)
        strangers = [name for name in options.agents if name not in known]
        if strangers:
            hint = f"there are: {', '.join(f'`{name}`' for name in known)}"
            raise UsageError("no_such_agent_here", f"the world rehearses no agent `{strangers[0]}`", hint=hint)
        self._names = tuple(name for name in known if not options.agents or name in options.agents)
        self._counting = Counting(self._stage)
        self._states_max = self._stage.model.section.states_max

    def report(self) -> Report:
        examination = Examination(self._stage, self._counting, states_max=self._states_max, watch=self._options.watch)
        examined = examination.run(self._names)
        further = self._further(examined)
        outcome, trace, hungry = self._judged(examined, further)
        bound = self._bound(examined, further) if outcome == "safe" else ""
        states, bad, fixes = self._whole(examined, outcome, trace)
        coverage = self._counting.done()
        minimal = examined.minimal
        if outcome == "lasso" and trace is not None:
            minimal = trace.agents
        verdict = outcome if outcome != "safe" else f"safe ({bound})" if bound else "safe (exhaustive)"
        return Report(
            self._document.name,
            verdict,
            outcome,
            states,
            examined.explored,
            self._names,
            self._stage.settings.coordinated,
            minimal,
            tuple(examined.subsets),
            trace,
            fixes,
            coverage,
            tuple(coverage.never()),
            hungry,
            tuple(sorted(self._stage.space.warned)),
            bound,
            bad,
            examined.is_minimal,
            self._notes(),
        )

    def _further(self, examined: Examined) -> Bounded | None:
        """Look beyond the bound of states, where there is one and time is left."""
        if examined.violating is not None:
            return None
        cut = [item for item in examined.whole if item.stopped]
        if not cut or self._options.watch(0):
            return None
        return look_further(cut, self._states_max, self._options.seed, self._options.watch)

    def _judged(
        self, examined: Examined, further: Bounded | None
    ) -> tuple[Outcome, Trace | None, tuple[Starving, ...]]:
        stage = self._stage
        if examined.violating is not None:
            found = examined.violating
            return "violated", trace_of(stage, found, found.bad[0], examined.minimal or ()), ()
        if further is not None and further.path is not None:
            team = further.team
            agents = [name for name, item in zip(team.names, team.processes, strict=True) if item.is_agent]
            return "violated", traced(stage, team, further.first, further.path, agents), ()
        for found in examined.whole:
            loop = self._loop(found)
            if loop is not None:
                return "lasso", loop, ()
        hungry = tuple(Starving(*item) for found in examined.whole if found.is_exhaustive for item in starving(found))
        return ("starvation", None, hungry) if hungry else ("safe", None, ())

    def _loop(self, found: Searched) -> Trace | None:
        loop = lasso(found)
        if loop is None:
            return None
        run = found.path(loop.state)
        team = found.team
        state, steps = found.first(loop.state), list(run)
        here = run[-1].state if run else state
        for taken in loop.loop:
            step = next(item for item in team.steps(here) if team.canonical(item.state) == team.canonical(taken.state))
            steps.append(step)
            here = step.state
        agents = dict.fromkeys(team.names[item.by] for item in steps[len(run) :])
        trace = traced(self._stage, team, state, steps, list(agents))
        return _as_lasso(trace, len(run))

    def _bound(self, examined: Examined, further: Bounded | None) -> str:
        cut = [item for item in examined.whole if item.stopped]
        if not cut and examined.whole:
            return ""
        said = [
            f"{item.stopped}: every run of at most {item.depth} steps" if item.depth else item.stopped for item in cut
        ] or ["not every set of agents was begun"]
        size = examined.size_seen
        if 0 < size < len(self._names):
            said.append("every agent by itself" if size == 1 else f"every set of at most {size} agents")
        return "bound: " + "; ".join(dict.fromkeys([*said, *(further.said if further is not None else [])]))

    def _whole(self, examined: Examined, outcome: Outcome, trace: Trace | None) -> tuple[int, int, tuple[Fix, ...]]:
        """Return the states of all agents together, how many of them are bad, and the remedies."""
        watch, states_max = self._options.watch, self._states_max
        if outcome in ("safe", "starvation") or trace is None:
            return sum(len(item.parents) for item in examined.whole), 0, ()
        found = [
            search(self._stage.team(group), states_max=states_max, is_first_enough=False, watch=watch)
            for group in self._stage.groups(self._names)
        ]
        for item in found:
            self._counting.add(item)
        states, bad = sum(len(item.parents) for item in found), sum(len(item.bad) for item in found)
        if not self._options.has_fixes:
            return states, bad, ()
        fixes = remedies(self._document, self._stage, found, trace, self._try(watch, states))
        return states, bad, fixes

    def _try(self, watch: Watch, states: int) -> Callable[[Stage], list[Searched]]:
        states_max = min(self._states_max, max(FIX_STATES_MIN, states * FIX_GROWTH_MAX))
        left = self._states_max * FIXES_SHARE

        def explore(stage: Stage) -> list[Searched]:
            nonlocal left
            if left <= 0 or watch(0):
                return []
            names = [name for name in self._names if name in stage.agents]
            found = [
                search(stage.team(group), states_max=states_max, is_first_enough=False, watch=watch)
                for group in stage.groups(names)
            ]
            left -= sum(len(item.parents) for item in found)
            return found

        return explore

    def _notes(self) -> tuple[str, ...]:
        notes = []
        if self._stage.model.marks:
            notes.append("windows are taken to be longer than a run: what is counted within one is never forgotten")
        return tuple(notes)


def _as_lasso(trace: Trace, loop_from: int) -> Trace:

    return msgspec.structs.replace(trace, ends="lasso", loop_from=loop_from)
