"""What is usual: how many agents do the same within one window, learned from events, frozen and signed off.

Learning never changes what detectors use: an operator looks at a proposal and freezes it. Windows around an alarm are
left out, so that a herd does not become the usual.
"""

from __future__ import annotations

from collections import deque

import msgspec

from comity.coordination.detectors.motion import signature_of
from comity.coordination.detectors.recent import SECOND_US, Recent
from comity.core.errors import UsageError
from comity.journal.world import Acted, WorldEvent

AGENTS_MAX = 4096
SIGNATURES_MAX = 2048


class Baseline(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many agents usually act with each signature within `window_s`, over the windows in which any does.

    `windows` were learned from, `excluded` left out. `signed_by` is empty as long as nobody has signed it off.
    """

    usual_agents: dict[str, float] = {}
    window_s: float = 10.0
    since_us: int = 0
    until_us: int = 0
    windows: int = 0
    excluded: int = 0
    signed_by: str = ""
    signed_at_us: int = 0

    def usual(self, signature: str) -> float:
        """Return what is usual for `signature`; 0 where nothing was learned of it."""
        return self.usual_agents.get(signature, 0.0)

    def freeze(self, by: str, at_us: int) -> Baseline:
        """Return it signed off by an operator.

        Raises:
            UsageError: nobody signs, or there is nothing to sign.
        """
        if not by.strip():
            raise UsageError("unsigned_baseline", "a baseline is signed off by somebody", hint="name the operator")
        if not self.windows:
            hint = "let it learn for longer; windows around alarms are left out"
            raise UsageError("empty_baseline", "nothing was learned yet", hint=hint)
        return msgspec.structs.replace(self, signed_by=by.strip(), signed_at_us=at_us)


NO_BASELINE = Baseline()
"""Nothing is usual: only the fixed numbers count."""


class _Window:
    """One window: who acted with which signature."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.agents: dict[str, set[str]] = {}


class BaselineLearner:
    """Learns a baseline from events in order; windows wait for `margin_s` in case an alarm excludes them."""

    def __init__(self, window_s: float = 10.0, margin_s: float = 300.0) -> None:
        self._window_us = max(1, int(window_s * SECOND_US))
        self._margin_us = int(margin_s * SECOND_US)
        self._window_s = window_s
        self._waiting: deque[_Window] = deque()
        # signature → (windows in which it was there, agents in them)
        self._learned: Recent[str, tuple[int, int]] = Recent(SIGNATURES_MAX)
        self._since_us = self._until_us = self._windows = self._excluded = 0
        self._alarmed_us = -1

    def learn(self, event: WorldEvent) -> None:
        """Take the next event. Acts under a plan are no habit of many, and are not counted."""
        self._since_us = self._since_us or event.at_us
        self._until_us = max(self._until_us, event.at_us)
        self._take_in()
        if not isinstance(event, Acted) or event.plan:
            return
        number = event.at_us // self._window_us
        if not self._waiting or number > self._waiting[-1].number:
            self._waiting.append(_Window(number))
        window = self._waiting[-1]
        for change in event.changes:
            agents = window.agents.setdefault(signature_of(event.tool, change), set())
            if len(agents) < AGENTS_MAX:
                agents.add(event.actor)

    def exclude(self, at_us: int) -> None:
        """Leave out the windows around an alarm at `at_us`: those not yet taken in, and the next ones."""
        self._alarmed_us = max(self._alarmed_us, at_us)
        kept = [window for window in self._waiting if not self._is_alarmed(window)]
        self._excluded += len(self._waiting) - len(kept)
        self._waiting = deque(kept)

    def propose(self) -> Baseline:
        """Return what was learned so far, not signed."""
        usual = {signature: agents / windows for signature, (windows, agents) in sorted(self._learned.items())}
        return Baseline(usual, self._window_s, self._since_us, self._until_us, self._windows, self._excluded)

    def _is_alarmed(self, window: _Window) -> bool:
        start_us = window.number * self._window_us
        return self._alarmed_us >= 0 and abs(start_us - self._alarmed_us) <= self._margin_us + self._window_us

    def _take_in(self) -> None:
        while self._waiting and (self._waiting[0].number + 1) * self._window_us + self._margin_us < self._until_us:
            window = self._waiting.popleft()
            if self._is_alarmed(window):
                self._excluded += 1
                continue
            self._windows += 1
            for signature, agents in window.agents.items():
                windows, count = self._learned.get(signature) or (0, 0)
                self._learned.put(signature, (windows + 1, count + len(agents)))
