"""The stage: a model with all that moves on it, and the teams that are explored together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import combinations
from typing import TypeVar

from comity.coordination.document import AgentSection, WorldDocument
from comity.core.errors import UsageError
from comity.rehearsal.device import Device, Settings
from comity.rehearsal.model import Model, UnknownField
from comity.rehearsal.process import Admitter, Footprint, Process
from comity.rehearsal.rule_agent import RuleAgent
from comity.rehearsal.space import Space
from comity.rehearsal.surroundings import Network, Surroundings
from comity.rehearsal.team import Team

T = TypeVar("T")
AdmitterOf = Callable[[Space], Admitter]
MakeAgent = Callable[[str, int, AgentSection, Space, Device], Process]
AGENTS_MAX = 64


def settings_of(document: WorldDocument, *, coordinated: bool | None = None) -> Settings:
    """Return how a document asks to be explored; `coordinated` overrules what it says."""
    section = document.rehearsal
    if section is None:
        return Settings()
    is_coordinated = section.coordinated if coordinated is None else coordinated
    damping = document.detectors.get("oscillation")
    has_dwell = damping is not None and damping.mode == "enforce" and damping.action == "damp"
    return Settings(frozenset(section.faults), is_coordinated, dwell=is_coordinated and has_dwell)


class Stage:
    """A document, compiled, with its agents and surroundings."""

    def __init__(
        self,
        document: WorldDocument,
        settings: Settings,
        *,
        make_agent: MakeAgent,
        admitter: AdmitterOf,
        extra: Iterable[str] = (),
    ) -> None:
        """Compile.

        Raises:
            UsageError: something does not fit, or an invariant is false from the start.
        """
        self.model = Model(document, extra)
        self.settings = settings
        self._make_agent, self._admitter, self._extra = make_agent, admitter, tuple(extra)
        self.space = Space(self.model)
        self.device = Device(self.space, settings, admitter(self.space))
        self.agents: dict[str, Process] = {}
        self.is_symmetric = not (settings.has_network or settings.holds_claims or settings.dwell)
        sections = self.model.section.agents
        if len(sections) > AGENTS_MAX:
            raise UsageError("too_many_agents", f"{len(sections)} agents are rehearsed, at most {AGENTS_MAX} can be")
        met: list[tuple[AgentSection, str]] = []
        for number, (name, section) in enumerate(sections.items()):
            twin = next((other for known, other in met if known == section), None)
            if twin is not None and self.is_symmetric:
                self.agents[name] = self.agents[twin]
            else:
                self.agents[name] = make_agent(name, number, section, self.space, self.device)
                met.append((section, name))
        self._order()
        self.surroundings = {
            name: Surroundings(name, item, self.space) for name, item in self.model.section.environment.items()
        }
        self._prints: dict[str, Footprint] = {name: item.footprint() for name, item in self.agents.items()}
        self._check_starts()

    def like(self, document: WorldDocument, settings: Settings) -> Stage:
        """Return a stage for another document, made in the same way."""
        return Stage(document, settings, make_agent=self._make_agent, admitter=self._admitter, extra=self._extra)

    def team(self, names: Collection[str], *, is_reduced: bool = True) -> Team:
        """Return agents with the surroundings that concern them; all of these where there is no agent."""
        chosen = [name for name in self.agents if name in names]
        chosen.sort(
            key=lambda name: (list(self.agents.values()).index(self.agents[name]), list(self.agents).index(name))
        )
        around = list(self.surroundings) if not chosen or not is_reduced else self._around(chosen)
        processes: list[Process] = [self.agents[name] for name in chosen]
        processes += [self.surroundings[name] for name in around]
        is_late = any(late for item in self.model.influences for _, _, late in item)
        if self.settings.has_network or is_late:
            processes.append(Network(self.space, may_reorder="reorder" in self.settings.faults))
            around = [*around, "network"]
        team = Team(self.space, processes, [*chosen, *around], is_reduced=is_reduced)
        if self.settings.holds_claims or self.settings.dwell:
            team.may_move_alone = False  # a thought or an act is marked for the others to see
        return team

    def groups(self, names: Collection[str]) -> list[frozenset[str]]:
        """Return agents in groups that do not concern each other.

        None reads or writes what one of another group writes, and no invariant speaks of what two of them write.
        """
        if self.settings.ordered:
            return [frozenset(names)] if names else []
        written = {place for name in names for place in self._prints[name].writes}
        members: dict[str, Footprint] = {name: self._prints[name] for name in names}
        for name, item in self.surroundings.items():
            found = item.footprint()
            if found.reads & written:
                members[f"~{name}"] = found
        roots = {name: name for name in members}
        for (one, left), (other, right) in combinations(members.items(), 2):
            if self._concern(left, right):
                roots[_root(roots, one)] = _root(roots, other)
        groups: dict[str, set[str]] = {}
        for name in names:
            groups.setdefault(_root(roots, name), set()).add(name)
        return [frozenset(group) for group in groups.values()]

    def alike(self, names: Iterable[str]) -> tuple[int, ...]:
        """Return what is the same for sets of agents that are alike."""
        return tuple(sorted(id(self.agents[name]) for name in names))

    # Inside

    def _concern(self, one: Footprint, other: Footprint) -> bool:
        if one.writes & (other.reads | other.writes) or other.writes & one.reads:
            return True
        return any(check.fields & one.writes and check.fields & other.writes for check in self.model.checks)

    def _around(self, names: list[str]) -> list[str]:
        """Return the moves of the surroundings that matter to agents, and those that matter to these."""
        used: set[int] = set()
        for name in names:
            used |= self._prints[name].reads | self._prints[name].writes
        for check in self.model.checks:
            if check.fields & used:
                used |= check.fields
        chosen: dict[str, None] = {}
        while True:
            more = {name: item.footprint() for name, item in self.surroundings.items() if name not in chosen}
            fresh = {name: item for name, item in more.items() if item.writes & used}
            if not fresh:
                return [name for name in self.surroundings if name in chosen]
            for name, item in fresh.items():
                chosen[name] = None
                used |= item.reads | item.writes

    def _order(self) -> None:
        made = [agent for agent in self.agents.values() if isinstance(agent, RuleAgent)]
        if self.settings.ordered:
            for place, agent in enumerate(made):
                agent.earlier = made[:place]

    def _check_starts(self) -> None:
        model, space = self.model, self.space
        for name, section in model.section.agents.items():
            for field in section.reads.values():
                self._check_value(f"agent `{name}` reads", field)
        for name, move in model.section.environment.items():
            for field in move.reads.values():
                self._check_value(f"move `{name}` reads", field)
        for check in model.checks:
            for place in check.fields if not check.is_bound else ():
                self._check_value(f"invariant `{check.rule}` speaks of", model.fields[place])
        for values in model.starts:
            start = space.start(values)
            broken = space.broken.get(space.number(start))
            if broken:
                terms = next((c.terms(start.values, start.marks) for c in model.checks if c.key == broken[0]), {})
                shown = ", ".join(f"{name} = {value}" for name, value in terms.items())
                raise UsageError(
                    "already_broken",
                    f"invariant `{broken[0]}` is false from the start{f' ({shown})' if shown else ''}",
                    hint="change the values under `rehearsal.values`, or the invariant",
                )

    def _check_value(self, who: str, field: str) -> None:
        place = self.model.at(field)
        section = self.model.world.require(self.model.fields[place])
        if section.type != "text" and any(values[place] is None for values in self.model.starts):
            raise UsageError(
                "no_value",
                f"{who} `{field}`, which has no value",
                hint=f"write `rehearsal: {{values: {{{field}: …}}}}`, or give the field an `initial`",
            )


def with_fields(build: Callable[[tuple[str, ...]], T]) -> T:
    """Build and use what needs to know every field, again with one more for each that turns up."""
    extra: tuple[str, ...] = ()
    while True:
        try:
            return build(extra)
        except UnknownField as error:
            extra = (*extra, error.field)


def _root(roots: Mapping[str, str], name: str) -> str:
    while roots[name] != name:
        name = roots[name]
    return name
