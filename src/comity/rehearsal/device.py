"""The simulated devices: what a tool's call does to the world, and how that may go wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from comity.core.errors import UsageError
from comity.core.expression import Value
from comity.journal.world import FieldValue
from comity.rehearsal.model import Model, UnknownField
from comity.rehearsal.process import Act, Admitter, Footprint, Label, Resting
from comity.rehearsal.space import Flying, Held, Shared, Space


class Settings(NamedTuple):
    """How a model is explored: its faults, whether calls pass admission, which remedies are tried on it.

    With `claims` an agent holds what it will touch from its thought to its act; with `ordered` agents take turns in the
    order in which they are written; with `dwell` nobody reverses a change until the surroundings have moved.
    """

    faults: frozenset[str] = frozenset()
    coordinated: bool = False
    claims: bool = False
    ordered: bool = False
    dwell: bool = False

    @property
    def holds_claims(self) -> bool:
        """Tell whether thinking is marked in the shared state."""
        return self.claims or self.ordered

    @property
    def has_network(self) -> bool:
        """Tell whether effects may be under way for a while."""
        return bool(self.faults & {"crash", "delay", "duplicate", "reorder"})


Performed = tuple[Shared, bool, Label]
"""The state after an act, whether its agent believes that it acted, and what it was."""


class Device:
    """All tools of a world."""

    def __init__(self, space: Space, settings: Settings, admitter: Admitter) -> None:
        """Perform on `space`; `admitter` is asked where calls are coordinated."""
        self._space, self._model = space, space.model
        self.settings = settings
        self._admitter = admitter
        self._bound: dict[object, Act] = {}

    def bind(self, rule: int, tool: str, args: Mapping[str, Value]) -> Act:
        """Return the act that a call comes to.

        Raises:
            UsageError: an argument is missing or cannot be meant.
        """
        key = (rule, tool, *args.items())
        found = self._bound.get(key)
        if found is None:
            found = self._bound[key] = bind(self._model, rule, tool, args)
        return found

    def footprint(self, tool: str, constants: Mapping[str, str] = {}) -> Footprint:
        """Return what a tool may read and touch, whatever its arguments, but for those that are always the same."""

        def matching(template: str) -> frozenset[int]:
            for name, value in constants.items():
                template = template.replace(f"{{{name}}}", value)
            return self._model.matching(template)

        section = self._model.handling(tool).section
        writes: set[int] = set()
        for touch in section.touches:
            writes |= matching(touch.field)
        for place in tuple(writes):
            writes |= {target for target, _, _ in self._model.influences[place]}
        reads = {place for item in section.premises for place in matching(item.field)}
        return Footprint(frozenset(reads), frozenset(writes))

    def perform(self, state: Shared, act: Act, name: str, number: int) -> Iterator[Performed]:
        """Yield every way in which an act may go."""
        refused = self._refused(state, act, name)
        if isinstance(refused, str):
            yield state, False, Label("refused", act, "", refused)
            return
        trimmed = "trimmed" if refused is not act else ""
        act = refused
        done = self._done(state, act, number)
        yield done, True, Label("act", act, "", trimmed)
        if state.faults:
            yield from self._faults(state, act, done, number)

    def _refused(self, state: Shared, act: Act, name: str) -> str | Act:
        """Return the act as it may be performed, or what refuses it."""
        for premise in act.premises:
            if not premise.holds.holds({**dict(premise.names), "value": state.values[premise.place]}):
                return f"premise on {self._model.fields[premise.place]}"
        for write in act.writes:
            if write.op == "set" and self._model.world.require(self._model.fields[write.place]).generation:
                before = state.values[write.place]
                if isinstance(before, int | float) and (
                    not isinstance(write.value, int | float) or write.value <= before
                ):
                    return f"generation of {self._model.fields[write.place]}"
        if self.settings.dwell and any(_reverses(item, state, act) for item in state.held):
            return "dwell"
        if self.settings.coordinated:
            ruling = self._admitter.judge(state, act, name)
            if ruling.verdict == "refuse":
                return ruling.rule
            return ruling.act if ruling.act is not None else act
        return act

    def _done(self, state: Shared, act: Act, number: int) -> Shared:
        done = self._space.after(state, act.writes)
        if self.settings.dwell:
            moved = [Held(number, frozenset({write.place}), _sign(state, write)) for write in act.writes]
            kept = [item for item in state.held if not item.places & act.places]
            done = done._replace(held=tuple(sorted((*kept, *(item for item in moved if item.sign)), key=repr)))
        return done

    def _faults(self, state: Shared, act: Act, done: Shared, number: int) -> Iterator[Performed]:
        kinds, left = self.settings.faults, state.faults - 1
        sent = Flying(number, act.writes)
        if "crash" in kinds:
            yield done._replace(faults=left), False, Label("act", act, "crash after the effect")
            yield state._replace(faults=left), False, Label("act", act, "crash before the effect")
            doubt = Flying(number, act.writes, may_drop=True)
            yield state._replace(faults=left, flying=(*state.flying, doubt)), False, Label("act", act, "crash in doubt")
        if kinds & {"delay", "reorder"}:
            yield state._replace(faults=left, flying=(*state.flying, sent)), True, Label("act", act, "delay")
        if "duplicate" in kinds:
            yield done._replace(faults=left, flying=(*done.flying, sent)), True, Label("act", act, "duplicate")
        if "lose" in kinds:
            yield state._replace(faults=left), True, Label("act", act, "lose")


def bind(model: Model, rule: int, tool: str, args: Mapping[str, Value]) -> Act:
    """Return the act that a call of `tool` with `args` comes to.

    Raises:
        UsageError: an argument is missing or cannot be meant.
        UnknownField: it touches a resource that the model has no place for yet.
    """
    bound = model.handling(tool).bind({name: _plain(value) for name, value in args.items()})
    writes = model.writes((change.field, change.op, change.value) for change in bound.changes)
    premises = []
    for item in bound.premises:
        model.world.require(item.field)
        if item.field not in model.place:
            raise UnknownField(item.field)
        premises.append(Resting(model.place[item.field], item.holds, tuple(sorted(item.names.items()))))
    return Act(
        rule, tool, tuple(sorted((name, _field_value(value)) for name, value in args.items())), writes, tuple(premises)
    )


def _plain(value: Value) -> Any:
    return list(value) if isinstance(value, tuple | frozenset) else value


def _field_value(value: Value) -> FieldValue:
    if isinstance(value, tuple | frozenset):
        if any(isinstance(item, tuple | frozenset) for item in value):
            raise UsageError("bad_argument", f"`{value}` is a list of lists, which no argument can be")
        return tuple(value)  # type: ignore[arg-type]  # its items are scalars
    return value


def _sign(state: Shared, write: Any) -> int:
    before = state.values[write.place]
    if write.op == "add":
        return 1 if write.value > 0 else -1 if write.value < 0 else 0
    if isinstance(before, int | float) and isinstance(write.value, int | float):
        return 1 if write.value > before else -1 if write.value < before else 0
    return 0 if before == write.value else 2


def _reverses(item: Held, state: Shared, act: Act) -> bool:
    signs = [_sign(state, write) for write in act.writes if write.place in item.places]
    return any(sign and (sign == -item.sign or 2 in (sign, item.sign)) for sign in signs)
