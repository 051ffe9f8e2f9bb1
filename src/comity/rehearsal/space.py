"""What all processes of a rehearsal share: field values, what is in flight, faults left. Interned, judged once.

Each distinct shared state has a number; what follows from one (a write, an invariant, a decision) is computed once for
it and then looked up, which is what makes the search fast.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from comity.coordination.handling import as_set
from comity.core.errors import UsageError
from comity.journal.world import FieldValue
from comity.rehearsal.model import Model, Values, Write

SHARED_MAX = 1 << 22
DIGITS = 9
"""Numbers are rounded to so many decimals, so that sums of fractions meet again."""


class Flying(NamedTuple):
    """An effect under way: of the agent `owner` (its number), -1 for what follows by a dependency with a lag."""

    owner: int
    writes: tuple[Write, ...]
    may_drop: bool = False


class Held(NamedTuple):
    """What an agent holds over places: its claim between thinking and acting, or the way in which it moved one last."""

    owner: int
    places: frozenset[int]
    sign: int = 0


class Shared(NamedTuple):
    """A shared state."""

    values: Values
    marks: tuple[float, ...] = ()
    flying: tuple[Flying, ...] = ()
    faults: int = 0
    held: tuple[Held, ...] = ()


class Space:
    """The shared states that were met, by number."""

    def __init__(self, model: Model) -> None:
        """Know none yet."""
        self.model = model
        self.states: list[Shared] = []
        self.is_bad: list[bool] = []
        self.broken: dict[int, tuple[str, ...]] = {}
        self.warned: set[str] = set()
        self._ids: dict[Shared, int] = {}
        sections = [model.world.require(name) for name in model.fields]
        self._sections = sections
        self.bounded = [place for place, item in enumerate(sections) if item.values or item.type == "integer"]

    def number(self, state: Shared) -> int:
        """Return the number of a state, which is judged where it is new."""
        found = self._ids.get(state)
        if found is None:
            found = self._ids[state] = len(self.states)
            if found >= SHARED_MAX:
                raise UsageError("too_many_states", f"more than {SHARED_MAX:,} shared states", hint="bound the fields")
            self.states.append(state)
            broken = tuple(self._broken(state))
            self.is_bad.append(bool(broken))
            if broken:
                self.broken[found] = broken
        return found

    def start(self, values: Values) -> Shared:
        """Return a first state."""
        section = self.model.section
        return Shared(values, (0,) * len(self.model.marks), (), section.faults_max if section.faults else 0)

    def after(self, state: Shared, writes: Iterable[Write], *, is_touch: bool = True) -> Shared:
        """Return the state after writes and what follows from them; those of a touch count in windows."""
        values, marks, flying = list(state.values), list(state.marks), list(state.flying)
        for write in writes:
            before = values[write.place]
            after = values[write.place] = self._written(before, write)
            if is_touch:
                self._count(marks, write)
            if isinstance(before, int | float) and isinstance(after, int | float) and after != before:
                for target, gain, is_late in self.model.influences[write.place]:
                    step = Write(target, "add", tidy((after - before) * gain))
                    if is_late:
                        flying.append(Flying(-1, (step,)))
                    else:
                        values[target] = self._written(values[target], step)
        return state._replace(values=tuple(values), marks=tuple(marks), flying=tuple(flying))

    def _written(self, before: FieldValue, write: Write) -> FieldValue:
        op, value = write.op, write.value
        if op == "set":
            if self._sections[write.place].type == "set" and not isinstance(value, tuple):
                return (value,)
            return tidy(value) if isinstance(value, float) else value
        if op == "add":
            if not isinstance(before, int | float) or not isinstance(value, int | float):
                raise self._unfit(before, write)
            return tidy(before + value)
        if not isinstance(before, tuple):
            raise self._unfit(before, write)
        given = frozenset(value) if isinstance(value, tuple) else frozenset({value})
        return as_set(frozenset(before) | given if op == "append" else frozenset(before) - given)

    def _unfit(self, before: FieldValue, write: Write) -> UsageError:
        name = self.model.fields[write.place]
        return UsageError(
            "unfit_touch",
            f"`{write.op}` of `{write.value}` does not fit `{name}`, which is `{before}`",
            hint=f"give `{name}` a value under `rehearsal.values`, or another op to the touch",
        )

    def _count(self, marks: list[float], write: Write) -> None:
        for number, mark in enumerate(self.model.marks):
            if write.place in mark.places:
                is_step = write.op == "add" and isinstance(write.value, int | float) and not mark.is_count
                marks[number] = tidy(marks[number] + (write.value if is_step else 1))  # type: ignore[operator]

    def _broken(self, state: Shared) -> Iterable[str]:
        for place in self.bounded:
            value, section = state.values[place], self._sections[place]
            if value is not None and section.values and value not in section.values:
                yield f"values of {self.model.fields[place]}"
            elif section.type == "integer" and isinstance(value, float):
                yield f"whole {self.model.fields[place]}"
        for check in self.model.checks:
            if not check.holds(state.values, state.marks):
                if check.is_strict:
                    yield check.key
                else:
                    self.warned.add(check.key)


def tidy(value: float) -> int | float:
    """Return a number rounded, whole ones as integers."""
    if isinstance(value, int):
        return value
    made = round(value, DIGITS)
    return int(made) if made.is_integer() else made
