"""Coverage: what of a world was exercised by an exploration, and what never was."""

from __future__ import annotations

import msgspec

from comity.rehearsal.process import Label
from comity.rehearsal.search import Searched
from comity.rehearsal.stage import Stage


class Coverage(msgspec.Struct, frozen=True):
    """How often each part was met (distinct moves, or states); those with 0 never were."""

    rules: dict[str, int]
    tools: dict[str, int]
    invariants: dict[str, int]
    moves: dict[str, int]
    faults: dict[str, int]

    def never(self) -> list[str]:
        """Return what was never exercised."""
        sections = (("rule", self.rules), ("tool", self.tools), ("invariant", self.invariants), ("move", self.moves))
        found = [f"{word} {name}" for word, table in sections for name, count in table.items() if not count]
        return found + [f"fault {name}" for name, count in self.faults.items() if not count]


class Counting:
    """Counts over the explorations of one stage."""

    def __init__(self, stage: Stage) -> None:
        """Know everything that could be met."""
        section = stage.model.section
        self._stage = stage
        self.rules = {
            f"{name}, rule {number + 1} ({rule.do})": 0
            for name, agent in section.agents.items()
            for number, rule in enumerate(agent.rules)
        }
        used = {rule.do for agent in section.agents.values() for rule in agent.rules}
        self.tools = {name: 0 for name in stage.model.document.tools if name in used or not used}
        self.invariants = dict.fromkeys(stage.model.document.invariants, 0)
        self.moves = dict.fromkeys(section.environment, 0)
        self.faults: dict[str, int] = dict.fromkeys(section.faults, 0)

    def add(self, found: Searched) -> None:
        """Count what one exploration met."""
        team = found.team
        for (place, _, _), moves in team.met.items():
            name = team.names[place]
            for move in moves:
                self._count(name, move.label)

    def _count(self, name: str, label: Label) -> None:
        kind = label.kind
        if kind == "move":
            self.moves[name] += 1
        elif kind == "act" and label.act is not None:
            key = f"{name}, rule {label.act.rule + 1} ({label.act.tool})"
            if key in self.rules:
                self.rules[key] += 1
            self.tools[label.act.tool] = self.tools.get(label.act.tool, 0) + 1
        for fault in self.faults:
            if label.fault.startswith(fault) or (fault == "reorder" and kind == "land"):
                self.faults[fault] += 1

    def _count_invariants(self) -> None:
        """Count the states in which the fields of an invariant differ from where they began."""
        space = self._stage.space
        starts = [space.start(values) for values in self._stage.model.starts]
        for check in self._stage.model.checks:
            if check.is_bound:
                continue
            firsts = {tuple(check.terms(start.values, start.marks).items()) for start in starts}
            seen = {tuple(check.terms(state.values, state.marks).items()) for state in space.states}
            self.invariants[check.rule] = max(self.invariants[check.rule], len(seen - firsts))

    def done(self) -> Coverage:
        """Return what was counted."""
        self._count_invariants()
        return Coverage(self.rules, self.tools, self.invariants, self.moves, self.faults)
