"""What moves besides the agents: the surroundings, and the network that delivers effects late."""

from __future__ import annotations

from collections.abc import Sequence

from comity.coordination.document import MoveSection
from comity.core.errors import UsageError
from comity.core.expression import parse
from comity.rehearsal.model import Write
from comity.rehearsal.process import Act, Footprint, Label, Move
from comity.rehearsal.space import Shared, Space


class Surroundings:
    """One move of the surroundings; its state is how often it was made."""

    is_agent = has_goal = False

    def __init__(self, name: str, section: MoveSection, space: Space) -> None:
        """Compile it.

        Raises:
            UsageError: it does not parse, or names what is not there.
        """
        self.name, self.section, self.start = name, section, 0
        self._space = space
        model = space.model
        self._reads = {name: model.at(field) for name, field in section.reads.items()}
        try:
            self._when = parse(section.when, section.reads)
            self._set = {model.at(field): parse(text, section.reads) for field, text in section.set.items()}
        except UsageError as error:
            raise UsageError(error.code, f"move `{name}`: {error.message}", hint=error.hint) from None

    def moves(self, shared: int, local: int) -> Sequence[Move]:
        """Return the move, where it may be made."""
        state = self._space.states[shared]
        if local >= self.section.times:
            return ()
        names = {name: state.values[place] for name, place in self._reads.items()}
        if not self._when.holds(names):
            return ()
        writes = tuple(Write(place, "set", value(names)) for place, value in self._set.items())  # type: ignore[arg-type]  # a field's value
        after = self._space.after(state, writes, is_touch=False)._replace(
            held=tuple(h for h in state.held if not h.sign)
        )
        return (Move(self._space.number(after), local + 1, Label("move", Act(0, self.name, (), writes))),)

    def footprint(self) -> Footprint:
        """Return what it reads and sets."""
        writes = set(self._set)
        for place in self._set:
            writes |= {target for target, _, _ in self._space.model.influences[place]}
        return Footprint(frozenset(self._reads.values()), frozenset(writes))

    def is_pending(self, local: int) -> bool:
        """Return False: it acts as it thinks."""
        return False

    def spent(self, local: int) -> int:
        """Return how often it has moved."""
        return local

    def left(self, local: int) -> int:
        """Return how often it may still move."""
        return self.section.times - local

    def without_count(self, local: int) -> object:
        """Return how often it has moved: a loop in which the surroundings move is none of the agents'."""
        return local

    def reaches_goal(self, shared: Shared, local: int) -> bool:
        """Return True: it wants nothing."""
        return True


class Network:
    """Delivers what is in flight: in the order in which each agent sent it, or in any."""

    is_agent = has_goal = False
    name = "network"
    start = 0

    def __init__(self, space: Space, *, may_reorder: bool) -> None:
        """Deliver on `space`."""
        self._space, self._may_reorder = space, may_reorder

    def moves(self, shared: int, local: int) -> Sequence[Move]:
        """Return each delivery, and each loss of what is in doubt."""
        state = self._space.states[shared]
        made: list[Move] = []
        met: set[int] = set()
        for place, item in enumerate(state.flying):
            if (place and item in state.flying[:place]) or (
                item.owner in met and not self._may_reorder and item.owner >= 0
            ):
                continue
            met.add(item.owner)
            rest = state._replace(flying=state.flying[:place] + state.flying[place + 1 :])
            act = Act(0, "", (), item.writes)
            landed = self._space.after(rest, item.writes, is_touch=item.owner >= 0)
            made.append(Move(self._space.number(landed), 0, Label("land", act)))
            if item.may_drop:
                made.append(Move(self._space.number(rest), 0, Label("drop", act)))
        return made

    def footprint(self) -> Footprint:
        """Return nothing: what it delivers is its senders'."""
        return Footprint(frozenset(), frozenset())

    def is_pending(self, local: int) -> bool:
        """Return False."""
        return False

    def spent(self, local: int) -> int:
        """Return 0."""
        return 0

    def left(self, local: int) -> int:
        """Return 0."""
        return 0

    def without_count(self, local: int) -> object:
        """Return its only state."""
        return 0

    def reaches_goal(self, shared: Shared, local: int) -> bool:
        """Return True: it wants nothing."""
        return True
