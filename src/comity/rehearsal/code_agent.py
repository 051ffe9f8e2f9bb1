"""A real agent on simulated devices: its code decides, the world file says what its tools see and do."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from comity.coordination.document import AgentSection
from comity.coordination.naming import Template
from comity.core.errors import UsageError
from comity.core.expression import parse
from comity.journal.call import Call, CallKey, Delivered, Kind
from comity.rehearsal.code_replay import CALLS_MAX, Code, Given, Standing, as_args, is_refused, refusal, result_of
from comity.rehearsal.device import Device
from comity.rehearsal.model import UnknownField
from comity.rehearsal.process import Act, Footprint, Label, Move
from comity.rehearsal.space import Shared, Space
from comity.testing.agent import done


class CodeLocal(NamedTuple):
    """Where an agent stands: how often it may still act, and what it was told so far."""

    left: int
    given: Given = ()


class CodeAgent:
    """An agent whose code is run. Its state is what it was told: code that is told the same stands where it stood."""

    is_agent = True

    def __init__(self, name: str, number: int, section: AgentSection, space: Space, device: Device, code: Code) -> None:
        """Run `code` on `device`.

        Raises:
            UsageError: its goal does not parse.
        """
        self.name, self.number, self.section, self.code = name, number, section, code
        self._space, self._model, self._device = space, space.model, device
        self._reads = {own: self._model.at(field) for own, field in section.reads.items()}
        self._goal = parse(section.goal, section.reads) if section.goal else None
        self.has_goal = self._goal is not None
        self._locals: list[CodeLocal] = []
        self._numbers: dict[CodeLocal, int] = {}
        self._standing: dict[Given, Standing] = {}
        self.start = self._number(CodeLocal(section.acts_max))

    def moves(self, shared: int, local: int) -> Sequence[Move]:
        """Return what each of its open calls may come to, and each answer that its model may give."""
        here, state = self._locals[local], self._space.states[shared]
        if len(here.given) >= CALLS_MAX:
            return ()
        standing = self._stand(here)
        made: list[Move] = []
        for key, answers in standing.answers:
            for answer in answers:
                act = Act(0, key.name, (("answer", _answer_text(answer)),))
                made.append(self._move(state, here, key, answer, Label("think", act)))
        for call in standing.calls:
            made += self._called(state, here, call)
        return made

    def footprint(self) -> Footprint:
        """Return what the tools that it may call see and touch."""
        reads, writes = set(self._reads.values()), set[int]()
        for tool in self._tools():
            found = self._device.footprint(tool)
            reads |= found.reads
            writes |= found.writes
            for field in self._model.handling(tool).section.observes:
                reads |= self._model.matching(field)
        return Footprint(frozenset(reads), frozenset(writes))

    def is_pending(self, local: int) -> bool:
        """Tell whether a call of its that acts is open."""
        return any(self._acts(call) for call in self._stand(self._locals[local]).calls)

    def spent(self, local: int) -> int:
        """Return how often it has acted."""
        return self.section.acts_max - self._locals[local].left

    def left(self, local: int) -> int:
        """Return how often it may still act."""
        return self._locals[local].left

    def without_count(self, local: int) -> object:
        """Return what it asks: code that has been told more and asks the same has come round."""
        standing = self._stand(self._locals[local])
        return tuple((call.kind, call.name, call.args) for call in standing.calls), standing.is_over

    def reaches_goal(self, shared: Shared, local: int) -> bool:
        """Tell whether its goal holds."""
        if self._goal is None:
            return True
        return self._goal.holds({name: shared.values[place] for name, place in self._reads.items()})

    # Inside

    def _called(self, state: Shared, here: CodeLocal, call: Call) -> Iterator[Move]:
        args = as_args(call)
        if not self._acts(call):
            seen, places = self._observed(state, call.name, args)
            act = Act(0, call.name, _shown(args))
            yield self._move(state, here, call.key, result_of(seen), Label("think", act, places=places))
            return
        if not here.left:
            return
        act = self._device.bind(0, call.name, args)
        for after, _, label in self._device.perform(state, act, self.name, self.number):
            if label.fault == "crash before the effect":
                yield Move(self._space.number(after), self._number(here), label)
                continue
            outcome = self._outcome(after, call, args, label)
            left = here if label.kind == "refused" else here._replace(left=here.left - 1)
            yield self._move(after, left, call.key, outcome, label)

    def _outcome(self, after: Shared, call: Call, args: Mapping[str, Any], label: Label) -> Delivered:
        """Return what the agent is told: a crash after the effect is resolved, so that it is told what happened."""
        if label.kind == "refused":
            return refusal(label.rule)
        if self._model.handling(call.name).section.observes:
            return result_of(self._observed(after, call.name, args)[0])
        return done(None)

    def _observed(self, state: Shared, tool: str, args: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[int, ...]]:
        """Return what a read gives: the world file's `observes`, the other way round."""
        seen: dict[str, Any] = {}
        places = []
        for text, value in self._model.handling(tool).section.observes.items():
            field = Template(text).fill(args)
            tree = parse(value).tree
            if not isinstance(tree, ast.Name):
                raise UsageError(
                    "observed_by_formula",
                    f"tool `{tool}`: what it gives cannot be told from `{value}`",
                    hint="for a rehearsal, `observes` maps a field to `result` or to one name of the result",
                )
            self._model.world.require(field)
            if field not in self._model.place:
                raise UnknownField(field)
            places.append(self._model.place[field])
            found = state.values[places[-1]]
            seen[tree.id] = list(found) if isinstance(found, tuple) else found
        return seen, tuple(places)

    def _move(self, state: Shared, here: CodeLocal, key: CallKey, outcome: Delivered, label: Label) -> Move:
        return Move(self._space.number(state), self._number(CodeLocal(here.left, (*here.given, (key, outcome)))), label)

    def _stand(self, here: CodeLocal) -> Standing:
        found = self._standing.get(here.given)
        if found is None:
            found = self._standing[here.given] = self.code.stand(here.given, self._is_of_world)
            if found.error and not any(is_refused(outcome) for _, outcome in here.given):
                raise UsageError(
                    "agent_failed",
                    f"agent `{self.name}` ({self.code.where}) failed in the rehearsal: {found.error}",
                    hint="a tool that the world does not describe gives None; say under `tools` what it `observes`",
                )
        return found

    def _is_of_world(self, call: Call) -> bool:
        if call.kind != Kind.TOOL or call.name not in self._model.document.tools:
            return False
        section = self._model.handling(call.name).section
        return bool(section.touches or section.premises or section.observes)

    def _acts(self, call: Call) -> bool:
        return self._model.handling(call.name).acts

    def _tools(self) -> list[str]:
        known = self._model.document.tools
        named = [name for name in self.code.spec.tools if name in known]
        return named or list(known)

    def _number(self, local: CodeLocal) -> int:
        found = self._numbers.get(local)
        if found is None:
            found = self._numbers[local] = len(self._locals)
            self._locals.append(local)
        return found


def _shown(args: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted((name, tuple(value) if isinstance(value, list) else value) for name, value in args.items()))


def _answer_text(answer: Delivered) -> str:
    return answer.value.decode()[:200]
