"""The causal map: who acts on whom, from what is recorded; guesses stand apart and are called so.

It is fed with the events of the world and with links that the journal knows, and answers: who made this happen, what
would this touch, which agents interact at all. Where loops close is asked of `causality.loops`, which loads more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from comity.coordination.causality.answer import Odd
from comity.coordination.causality.correlation import Correlation, Guess, GuessLimits
from comity.coordination.causality.declared import Declared
from comity.coordination.causality.interactions import Interaction, interactions
from comity.coordination.causality.linked import Linked
from comity.coordination.causality.origins import origins
from comity.coordination.causality.reach import REACH_DEPTH_MAX, WouldTouch, would_touch
from comity.coordination.causality.recorded import MapLimits, MapStatistics, Recorded
from comity.coordination.causality.why import Why, why
from comity.coordination.causality.window import WINDOW_NODES_MAX, Detail, Look, MapWindow, look
from comity.journal.world import WorldEvent

ODD_MAX = 1_000


class CausalMap:
    """The map over a bounded window of events; pure, and fed in any order.

    `declared` is the world as it is declared now; replace it when that changes. Nothing of it is recorded.

    Guarantees: edges between events close no circle, whatever is fed; what is held is bounded by its limits; events
    told twice count once (tests/unit/coordination/causality/test_properties.py).
    """

    def __init__(
        self,
        declared: Declared | None = None,
        *,
        limits: MapLimits | None = None,
        guess_limits: GuessLimits | None = None,
    ) -> None:
        """Hold nothing yet."""
        self.declared = declared
        self.recorded = Recorded(limits or MapLimits())
        self._correlation = Correlation(guess_limits or GuessLimits())

    def feed(self, event: WorldEvent | Linked) -> bool:
        """Take an event; return whether it told anything new.

        Cost: constant for each change and read of it; eviction is amortised.
        """
        is_new = self.recorded.take(event)
        if is_new and not isinstance(event, Linked):
            self._correlation.feed(event)
        return is_new

    def feed_all(self, events: Iterable[WorldEvent | Linked]) -> int:
        """Take events one after the other; return how many told anything new."""
        return sum(self.feed(event) for event in events)

    def statistics(self) -> MapStatistics:
        """Return how many events were taken, repeated, late, and how many happenings left."""
        return msgspec.structs.replace(self.recorded.tally)

    def why(self, asked: str) -> Why:
        """Return who made this happen.

        Args:
            asked: a call (`TASK/CALL`), a version (`FIELD@VERSION`), a field or a resource (why it is as it is), or
                any other node by its id.
        """
        return why(self.recorded, asked)

    def would_touch(self, tool: str, args: Mapping[str, Any], *, depth: int = REACH_DEPTH_MAX) -> WouldTouch:
        """Return what a call of `tool` with `args` would touch: itself, and what follows as declared.

        Raises:
            UsageError: the arguments do not fill the tool's templates and expressions.
        """
        return would_touch(self.recorded, self.declared, tool, args, depth)

    def interactions(self) -> tuple[Interaction, ...]:
        """Return which agents interact, over which fields, how often, and in what way."""
        return interactions(self.recorded, self.declared)

    def guesses(self) -> tuple[Guess, ...]:
        """Return undeclared couplings that the numbers suggest: correlation at a lag, no more than that."""
        return tuple(it for it in self._correlation.guesses() if not self._is_declared(it))

    def odd(self) -> tuple[Odd, ...]:
        """Return recorded edges that cannot be, at most `ODD_MAX`: they are no part of the map."""
        found: list[Odd] = []
        for happening in self.recorded.in_order():
            found += origins(self.recorded, happening).odd
            if len(found) >= ODD_MAX:
                break
        return tuple(found[:ODD_MAX])

    def window(
        self,
        from_us: int,
        until_us: int,
        *,
        focus: str = "",
        hops: int = 2,
        limit: int = WINDOW_NODES_MAX,
        detail: Detail = "agents",
    ) -> MapWindow:
        """Return what the map shows of that time, both ends included.

        Args:
            from_us: The first moment.
            until_us: The last one.
            focus: A node's id, a call's, agent's or field's name; what is within `hops` of it is shown.
            hops: How far from the focus.
            limit: At most so many nodes (never more than `WINDOW_NODES_MAX`).
            detail: `agents` (who reads and writes what) or `calls` (what made what happen).
        """
        asked = Look(from_us, until_us, focus, hops, limit, detail)
        return look(self.recorded, self.declared, self.guesses(), asked)

    def _is_declared(self, guess: Guess) -> bool:
        if self.declared is None:
            return False
        ends = (guess.source, guess.target)
        return any(
            there.target in ends
            for here in ends
            for there in self.declared.influences(here)
            if there.target != here
        )  # fmt: skip
