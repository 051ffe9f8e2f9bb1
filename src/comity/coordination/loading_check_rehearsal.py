"""Whether a rehearsal can be played: who takes part, what they read and do, where it starts, and that it ends."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from comity.coordination.document import AgentSection, MoveSection, RehearsalSection, RuleSection
from comity.coordination.loading_check import Flaws, check_value
from comity.coordination.loading_check_rules import start_values
from comity.coordination.loading_check_tools import argument_names
from comity.coordination.loading_names import plain
from comity.coordination.loading_problem import Path, cut, nearest
from comity.coordination.loading_types import UNKNOWN, Meaning, meaning_of

TURNS_MAX: Final = 1_000
"""What acts or moves more often than this does not end, as far as a search is concerned."""
STATES_MAX: Final = 1_000_000_000
_PYTHON: Final = re.compile(r"(?:[\w./-]+\.py|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):[A-Za-z_]\w*")


def check_rehearsal(flaws: Flaws) -> None:
    """Look at the rehearsal, where there is one."""
    rehearsal = flaws.document.rehearsal
    if rehearsal is None:
        return
    path: Path = ("rehearsal",)
    if not rehearsal.agents:
        flaws.tell((*path, "agents"), "nobody takes part", "describe an agent: what it reads, and its rules")
    if rehearsal.states_max > STATES_MAX:
        hint = f"at most {STATES_MAX:,}; what is larger is searched up to a bound"
        flaws.tell((*path, "states_max"), f"`{rehearsal.states_max}` states fit into no memory", hint)
    if len(set(rehearsal.faults)) < len(rehearsal.faults):
        flaws.tell(
            (*path, "faults"), "a fault stands here twice", "name each once; `faults_max` is how many may happen"
        )
    for field, value in rehearsal.values.items():
        check_value(flaws, (*path, "values", field), field, value)
    for place, start in enumerate(rehearsal.starts):
        for field, value in start.items():
            check_value(flaws, (*path, "starts", place, field), field, value)
    known = _begun(flaws, rehearsal)
    for name, agent in rehearsal.agents.items():
        _check_agent(flaws, (*path, "agents", name), agent, known)
    for name, move in rehearsal.environment.items():
        _check_move(flaws, (*path, "environment", name), move, known)


def _begun(flaws: Flaws, rehearsal: RehearsalSection) -> frozenset[str]:
    """Return the fields that have a value, or are said to have none, wherever the rehearsal starts."""
    known = {field for field, value in start_values(flaws).items() if value is not None}
    known |= {plain(field) for field in rehearsal.values}
    if rehearsal.starts:
        known |= set.intersection(*({plain(field) for field in start} for start in rehearsal.starts))
    return frozenset(known)


def _check_agent(flaws: Flaws, path: Path, agent: AgentSection, known: frozenset[str]) -> None:
    if agent.python and agent.rules:
        hint = "keep `python` to rehearse the real code, or `rules` to rehearse what it is meant to do"
        flaws.tell((*path, "python"), "it has rules too, and only one of the two is played", hint)
    elif agent.python and not _PYTHON.fullmatch(agent.python):
        hint = "write `agents.ops:clerk` or `agents/ops.py:clerk`"
        flaws.tell((*path, "python"), f"`{cut(agent.python)}` names no function", hint)
    elif not agent.python and not agent.rules:
        flaws.tell(path, "it does nothing", "add `rules:` with what it does and when, or `python:` with its code")
    _check_turns(flaws, (*path, "acts_max"), agent.acts_max, "acts")
    names = _reads(flaws, path, agent.reads, known)
    for place, rule in enumerate(agent.rules):
        _check_rule(flaws, (*path, "rules", place), rule, names)
    if agent.goal:
        flaws.judge((*path, "goal"), agent.goal, names, wanted="boolean")


def _check_rule(flaws: Flaws, path: Path, rule: RuleSection, names: Mapping[str, Meaning]) -> None:
    flaws.judge((*path, "when"), rule.when, names, wanted="boolean")
    for argument, text in rule.given.items():
        flaws.judge((*path, "given", argument), text, names)
    tools = flaws.document.tools
    if rule.do not in tools:
        hint = nearest(rule.do, tools) or "describe it below `tools`: what it touches"
        flaws.tell((*path, "do"), f"there is no tool `{cut(rule.do)}` here", hint)
        return
    missing = sorted(argument_names(tools[rule.do]) - {*rule.given})
    if missing:
        message = f"tool `{cut(rule.do)}` touches by argument `{cut(missing[0])}`, which is not given"
        flaws.tell(path, message, f"add `given: {{{cut(missing[0])}: …}}`")


def _check_move(flaws: Flaws, path: Path, move: MoveSection, known: frozenset[str]) -> None:
    names = _reads(flaws, path, move.reads, known)
    flaws.judge((*path, "when"), move.when, names, wanted="boolean")
    if not move.set:
        flaws.tell((*path, "set"), "the move changes nothing", "write a field, and what it becomes")
    for field, text in move.set.items():
        found = flaws.find_one((*path, "set", field), field)
        wanted = meaning_of(found.fields).type if found.fields else ""
        flaws.judge((*path, "set", field), text, names, wanted=wanted)
    _check_turns(flaws, (*path, "times"), move.times, "moves")


def _check_turns(flaws: Flaws, path: Path, turns: int, word: str) -> None:
    if turns > TURNS_MAX:
        hint = f"a rehearsal must end: write at most {TURNS_MAX:,}; 2 to 5 find most of what goes wrong"
        flaws.tell(path, f"it {word} {turns:,} times, which never ends", hint)


def _reads(flaws: Flaws, path: Path, reads: Mapping[str, str], known: frozenset[str]) -> dict[str, Meaning]:
    """Return what the names that are read mean; tell of those that cannot be read."""
    names = {}
    for name, field in reads.items():
        where = (*path, "reads", name)
        flaws.name(where, name)
        found = flaws.find_one(where, field)
        names[name] = meaning_of(found.fields) if found.fields else UNKNOWN
        if not found.fault and plain(field) not in known:
            hint = (
                f"add `{cut(field)}: …` to `rehearsal.values`, or `initial` to the kind and the resource to `resources`"
            )
            flaws.tell(where, f"`{cut(field)}` has no value to start with", hint)
    return names
