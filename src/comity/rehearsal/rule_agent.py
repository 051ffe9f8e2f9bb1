"""An agent made of rules: it reads, decides by the first rule that applies, and acts later on what it then knew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from comity.coordination.document import AgentSection
from comity.core.errors import UsageError
from comity.core.expression import ExpressionError, Value, parse
from comity.journal.world import FieldValue
from comity.rehearsal.device import Device
from comity.rehearsal.model import Model, Values
from comity.rehearsal.process import Act, Footprint, Label, Move
from comity.rehearsal.space import Held, Shared, Space

View = tuple[FieldValue, ...]
NOWHERE = -1
"""The place that stands for an act which touches nothing: who holds it is busy. Who holds no place has no acts left."""


class Local(NamedTuple):
    """Where an agent stands: acts left, what it is about to do, what it saw last (where reads may be stale)."""

    left: int
    act: Act | None = None
    seen: View = ()


class RuleAgent:
    """An agent of the world file. Agents that are alike share one, but for `number`, `name` and what others hold."""

    is_agent = True

    def __init__(self, name: str, number: int, section: AgentSection, space: Space, device: Device) -> None:
        """Compile its rules.

        Raises:
            UsageError: a rule does not parse, or names what is not there.
        """
        self.name, self.number, self.section = name, number, section
        self._space, self._device, self._settings = space, device, device.settings
        self._model: Model = space.model
        self._names = tuple(section.reads)
        self._places = tuple(self._model.at(field) for field in section.reads.values())
        self._view = _getter(self._places)
        self._rules = [self._compiled(place) for place in range(len(section.rules))]
        self._goal = parse(section.goal, self._names) if section.goal else None
        self.has_goal = self._goal is not None
        self._decided: dict[View, Act | None] = {}
        self._locals: list[Local] = []
        self._numbers: dict[Local, int] = {}
        self._tracks_seen = "stale" in self._settings.faults
        first = self._view(self._model.starts[0]) if self._tracks_seen else ()
        self.start = self._number(Local(section.acts_max, None, first))
        self.earlier: list[RuleAgent] = []
        """Agents that go first, where there is an order."""
        self.decided: set[tuple[int, str]] = set()

    # As a process

    def moves(self, shared: int, local: int) -> Sequence[Move]:
        """Return its thinking, or how its act may go."""
        here, state = self._locals[local], self._space.states[shared]
        if here.act is not None:
            return list(self._acts(state, here))
        return list(self._thoughts(state, here)) if here.left else ()

    def footprint(self) -> Footprint:
        """Return what its rules may read and touch."""
        reads, writes = set(self._places), set[int]()
        for rule, (_, given) in zip(self.section.rules, self._rules, strict=True):
            constants = {name: str(value({})) for name, value in given.items() if not value.names}
            found = self._device.footprint(rule.do, constants)
            reads |= found.reads
            writes |= found.writes
        return Footprint(frozenset(reads), frozenset(writes))

    def is_pending(self, local: int) -> bool:
        """Tell whether it has thought and not acted."""
        return self._locals[local].act is not None

    def spent(self, local: int) -> int:
        """Return how often it has acted."""
        return self.section.acts_max - self._locals[local].left

    def left(self, local: int) -> int:
        """Return how often it may still act."""
        return self._locals[local].left

    def without_count(self, local: int) -> object:
        """Return what it is about to do and saw last."""
        here = self._locals[local]
        return here.act, here.seen

    def reaches_goal(self, shared: Shared, local: int) -> bool:
        """Tell whether its goal holds."""
        return self._goal is None or self._goal.holds(self._named(self._view(shared.values)))

    def wants(self, values: Values) -> Act | None:
        """Return what it would decide now."""
        view = self._view(values)
        if view not in self._decided:
            self._decided[view] = self._decide(view)
        return self._decided[view]

    def act_of(self, local: int) -> Act | None:
        """Return what it is about to do."""
        return self._locals[local].act

    def seen(self, values: Values) -> dict[str, FieldValue]:
        """Return what it reads, by its own names."""
        return dict(zip(self._names, self._view(values), strict=True))

    # Thinking

    def _thoughts(self, state: Shared, here: Local) -> list[Move]:
        view = self._view(state.values)
        act = self.wants(state.values)
        made = []
        if act is not None and not self._is_held_back(state, act):
            made.append(self._thought(state, here, act, view, ""))
        if self._tracks_seen and state.faults and here.seen != view:
            old = self._decided[here.seen] if here.seen in self._decided else self._decide(here.seen)
            if old is not None and old != act:
                made.append(self._thought(state._replace(faults=state.faults - 1), here, old, here.seen, "stale"))
        return made

    def _thought(self, state: Shared, here: Local, act: Act, view: View, fault: str) -> Move:
        if self._settings.holds_claims:
            state = state._replace(
                held=tuple(sorted((*state.held, Held(self.number, self._claimed(act))), key=_by_owner))
            )
        local = self._number(Local(here.left, act, view if self._tracks_seen else ()))
        return Move(self._space.number(state), local, Label("think", act, fault))

    def _claimed(self, act: Act) -> frozenset[int]:
        """Return what it touches, with all that an invariant ties to it."""
        tied = (check.fields for check in self._model.checks if check.fields & act.places)
        return act.places.union(*tied) or frozenset({NOWHERE})

    def _is_held_back(self, state: Shared, act: Act) -> bool:
        if self._settings.claims:
            return any(item.places & act.places for item in state.held)
        if self._settings.ordered:
            spent = {item.owner for item in state.held if not item.places}
            others = (other for other in self.earlier if other.number not in spent)
            is_somebody_busy = any(item.places for item in state.held)
            return is_somebody_busy or any(other.wants(state.values) is not None for other in others)
        return False

    def _decide(self, view: View) -> Act | None:
        names = self._named(view)
        for number, (when, given) in enumerate(self._rules):
            try:
                if not when.holds(names):
                    continue
                args = {name: value(names) for name, value in given.items()}
            except ExpressionError as error:
                raise UsageError("rule_failed", f"agent `{self.name}`: {error.message}", hint=error.hint) from None
            return self._device.bind(number, self.section.rules[number].do, args)
        return None

    def _named(self, view: View) -> Mapping[str, Value]:
        return dict(zip(self._names, view, strict=True))

    # Acting

    def _acts(self, state: Shared, here: Local) -> list[Move]:
        assert here.act is not None
        idle = Local(here.left, None, here.seen)
        done = Local(here.left - 1, None, here.seen)
        if self._settings.holds_claims:
            state = state._replace(held=tuple(item for item in state.held if item.owner != self.number))
        made = []
        for performed, happened, label in self._device.perform(state, here.act, self.name, self.number):
            after = performed
            if self._settings.ordered and happened and here.left == 1:
                after = after._replace(held=tuple(sorted((*after.held, Held(self.number, frozenset())), key=_by_owner)))
            made.append(Move(self._space.number(after), self._number(done if happened else idle), label))
        return made

    def _number(self, local: Local) -> int:
        found = self._numbers.get(local)
        if found is None:
            found = self._numbers[local] = len(self._locals)
            self._locals.append(local)
        return found

    def _compiled(self, place: int) -> tuple[Any, dict[str, Any]]:
        rule = self.section.rules[place]
        try:
            self._model.handling(rule.do)
            given = {name: parse(text, self._names) for name, text in rule.given.items()}
            return parse(rule.when, self._names), given
        except UsageError as error:
            where = f"agent `{self.name}`, rule {place + 1}: {error.message}"
            raise UsageError(error.code, where, hint=error.hint) from None


def _by_owner(item: Held) -> int:
    return item.owner


def _getter(places: tuple[int, ...]) -> Any:
    """Return a function from values to those at `places`, as a tuple."""
    if not places:
        return lambda _values: ()
    if len(places) == 1:
        only = places[0]
        return lambda values: (values[only],)
    return itemgetter(*places)
