"""Herding: many agents do the same at once, each for itself, and often on the same observation.

A plan counts as one agent, however many work on it. What is usual for a signature comes from a signed baseline.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from copy import copy

import msgspec

from comity.coordination.detector import Alarm
from comity.coordination.detectors.baseline import NO_BASELINE, Baseline
from comity.coordination.detectors.motion import moves, signature_of, step_of
from comity.coordination.detectors.recent import EVIDENCE_MAX, SECOND_US, Latch, Recent
from comity.coordination.detectors.surroundings import Surroundings
from comity.journal.world import Acted, Change, WorldEvent

ACTS_MAX = 1024
"""So many acts of one signature are remembered at most."""


class HerdingParameters(msgspec.Struct, frozen=True):
    """At least `agents_min` agents, and `baseline_times` what is usual, with one signature within `window_s`.

    Or within `exposure_s`, where one observation, of as many agents, is behind more than `observation_share` of the
    exposure; or where the effective number of bets of `crowds_min` times as many is below 1 / `bets_divisor` of them.
    """

    agents_min: int = 8
    window_s: float = 10.0
    baseline_times: float = 5.0
    exposure_s: float = 300.0
    bets_divisor: float = 5.0
    observation_share: float = 0.4
    crowds_min: int = 2
    quiet_s: float = 300.0


class _Stake(msgspec.Struct, frozen=True):
    """One act: who (an agent, or a plan), on which observation, how much."""

    at_us: int
    who: str
    actor: str
    observation: str
    exposure: float
    call: str
    field: str


class _Herd:
    """The acts of one signature: those of the exposure window, and how many of each there are in either window."""

    def __init__(self) -> None:
        self.stakes: deque[_Stake] = deque()
        self.crowd: deque[_Stake] = deque()
        self.near: Counter[str] = Counter()
        self.all: Counter[str] = Counter()
        self.bets: dict[str, float] = {}
        self.sharers: dict[str, Counter[str]] = {}

    def fork(self) -> _Herd:
        other = copy(self)
        other.stakes, other.crowd = self.stakes.copy(), self.crowd.copy()
        other.near, other.all, other.bets = self.near.copy(), self.all.copy(), dict(self.bets)
        other.sharers = {key: count.copy() for key, count in self.sharers.items()}
        return other

    def add(self, stake: _Stake) -> None:
        self.stakes.append(stake)
        self.crowd.append(stake)
        self.near[stake.who] += 1
        self.all[stake.who] += 1
        self.bets[stake.observation] = self.bets.get(stake.observation, 0.0) + stake.exposure
        self.sharers.setdefault(stake.observation, Counter())[stake.who] += 1

    def forget(self, near_us: int, all_us: int) -> None:
        while self.crowd and (self.crowd[0].at_us < near_us or len(self.crowd) > ACTS_MAX):
            _less(self.near, self.crowd.popleft().who)
        while self.stakes and (self.stakes[0].at_us < all_us or len(self.stakes) > ACTS_MAX):
            stake = self.stakes.popleft()
            _less(self.all, stake.who)
            self.bets[stake.observation] -= stake.exposure
            sharers = self.sharers[stake.observation]
            _less(sharers, stake.who)
            if not sharers:
                del self.sharers[stake.observation], self.bets[stake.observation]


class Herding:
    """Watches each signature."""

    name = "herding"

    def __init__(
        self,
        surroundings: Surroundings,
        parameters: HerdingParameters | None = None,
        baseline: Baseline = NO_BASELINE,
    ) -> None:
        self._surroundings = surroundings
        self._with = parameters or HerdingParameters()
        self._baseline = baseline
        self._herds: Recent[str, _Herd] = Recent()
        self._latch: Latch[str] = Latch(self._with.quiet_s)

    def feed(self, event: WorldEvent) -> Sequence[Alarm]:
        """Take the next event."""
        if not isinstance(event, Acted):
            return ()
        alarms = []
        for signature, change in self._signatures(event):
            herd = self._herds.use(signature, _Herd)
            alarm = self._join(herd, signature, event, change)
            if alarm is not None and self._latch.begins(signature, event.at_us):
                alarms.append(alarm)
        return alarms

    def would(self, act: Acted) -> Alarm | None:
        """Tell whether letting `act` through now would raise an alarm."""
        for signature, change in self._signatures(act):
            herd = self._herds.get(signature)
            if herd is not None and self._latch.would_begin(signature, act.at_us):
                alarm = self._join(herd.fork(), signature, act, change)
                if alarm is not None:
                    return alarm
        return None

    def _signatures(self, act: Acted) -> Sequence[tuple[str, Change]]:
        found: dict[str, Change] = {}
        for change in act.changes:
            if moves(change, self._surroundings.place(change.field).epsilon):
                found.setdefault(signature_of(act.tool, change), change)
        return tuple(found.items())

    def _join(self, herd: _Herd, signature: str, act: Acted, change: Change) -> Alarm | None:
        who = f"plan {act.plan}" if act.plan else act.actor
        exposure = abs(step_of(change) or 1.0)
        observation = act.observation or f"of {who}"
        herd.add(_Stake(act.at_us, who, act.actor, observation, exposure, act.call, change.field))
        near_us = act.at_us - int(self._with.window_s * SECOND_US)
        herd.forget(near_us, act.at_us - int(self._with.exposure_s * SECOND_US))
        least = max(self._with.agents_min, self._with.baseline_times * self._baseline.usual(signature))
        if len(herd.near) >= least:
            return self._alarm(herd.crowd, herd, signature, act, len(herd.near) / least)
        agents = len(herd.all)
        if agents < least:
            return None
        total = sum(herd.bets.values())
        effective = total * total / sum(bet * bet for bet in herd.bets.values()) if total else float(agents)
        top = max(herd.bets, key=herd.bets.__getitem__)
        share = herd.bets[top] / total if total else 0.0
        is_shared = share > self._with.observation_share and len(herd.sharers[top]) >= least
        is_one_bet = agents >= self._with.crowds_min * least and effective < agents / self._with.bets_divisor
        if not is_shared and not is_one_bet:
            return None
        behind = [stake for stake in herd.stakes if stake.observation == top] if is_shared else list(herd.stakes)
        return self._alarm(behind, herd, signature, act, agents / least)

    def _alarm(self, stakes: Sequence[_Stake], herd: _Herd, signature: str, act: Acted, score: float) -> Alarm:
        total = sum(herd.bets.values())
        facts = {
            "agents": float(len({stake.who for stake in stakes})),
            "baseline": self._baseline.usual(signature),
            "observation_share": max(herd.bets.values()) / total if total else 0.0,
        }
        return Alarm(
            self.name,
            act.at_us,
            tuple(sorted({stake.field for stake in stakes})[:EVIDENCE_MAX]),
            tuple(sorted({stake.actor for stake in stakes})),
            tuple(stake.call for stake in list(stakes)[-EVIDENCE_MAX:]),
            score,
            f"{facts['agents']:g} agents do the same at once: `{signature}`",
            facts,
        )


def _less(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
