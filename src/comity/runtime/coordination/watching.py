"""Detectors and map of a node: fed from the log and from what is observed, asked before an act is let through.

An enforced detector's action decides what it has against an act: *notify* lets it pass and tells; *damp* makes it wait;
*freeze*, *park* and *stop* ask a person, and do what they say to the field, the youngest task or the agent when the
alarm is there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from comity.coordination.causal import CausalMap
from comity.coordination.causality.linked import Linked
from comity.coordination.detector import Alarm
from comity.coordination.detectors.baseline import NO_BASELINE, Baseline, BaselineLearner
from comity.coordination.detectors.damping import Damping
from comity.coordination.detectors.panel import Panel
from comity.coordination.ruling import Objection, Proposal, Ruling
from comity.coordination.seen_world import SeenWorld
from comity.coordination.world import World
from comity.journal.world import Acted, Claim, Claimed, Observation, Seen, Turned, WorldEvent

ALARMS_KEPT = 1_000


class Watching:
    """What watches the world of a node. `alarms` are the newest alarms, oldest first."""

    def __init__(self, on_alarm: Callable[[Alarm, str], None] = lambda _alarm, _action: None) -> None:
        """Watch nothing until there is a world; `on_alarm` gets each enforced alarm with its action."""
        self.map = CausalMap()
        self.panel: Panel | None = None
        self.damping = Damping()
        self.alarms: deque[Alarm] = deque(maxlen=ALARMS_KEPT)
        self.baseline: Baseline = NO_BASELINE
        self.learner = BaselineLearner()
        self.world: World | None = None
        self._claims: dict[str, Claim] = {}
        self._seen: SeenWorld | None = None
        self._on_alarm = on_alarm

    def adopt(self, seen: SeenWorld | None) -> None:
        """Watch another world; detectors begin anew, what the map has recorded stays."""
        self._seen = seen
        self._claims = {}
        self.map.declared = seen
        self.world = seen.world if seen is not None else None
        self.panel = Panel(seen.world.document.detectors, seen, self.baseline) if seen is not None else None

    def feed(self, event: WorldEvent) -> None:
        """Take what happened."""
        self.map.feed(event)
        if self.panel is None:
            return
        self.learner.learn(event)
        for alarm in self.panel.feed(event):
            self.alarms.append(alarm)
            self.learner.exclude(alarm.at_us)
            action = self.panel.action(alarm.detector)
            if self.panel.mode(alarm.detector) != "enforce":
                continue
            if action == "damp" and self._seen is not None:
                for field in alarm.fields:
                    self.damping.strike(field, alarm.at_us, self._seen.place(field).settle_s)
            self._on_alarm(alarm, action)

    def use(self, baseline: Baseline) -> None:
        """Measure by another baseline, which somebody signed off; detectors begin anew where it differs."""
        if baseline != self.baseline:
            self.baseline = baseline
            self.adopt(self._seen)

    def claimed(self, claims: Sequence[Claim], now_us: int) -> None:
        """Take which claims are in force: those that are new began, those that are gone ended."""
        now = {claim.id: claim for claim in claims if claim.until_us > now_us}
        before, self._claims = self._claims, now
        for claim in [claim for name, claim in now.items() if before.get(name) != claim]:
            self.feed(Claimed(max(claim.since_us, 0) if claim.since_us <= now_us else now_us, claim))
        for claim in [claim for name, claim in before.items() if name not in now]:
            self.feed(Claimed(now_us, claim, is_over=True))

    def link(self, link: Linked) -> None:
        """Take what a journal says of causes."""
        self.map.feed(link)

    def saw(self, seen: Observation, version: int) -> None:
        """Take an observation."""
        self.feed(Seen(seen.at_us, seen.field, seen.value, version, seen.by, seen.id))

    def ruled(self, proposal: Proposal, ruling: Ruling, now_us: int) -> None:
        """Take a call that was turned away."""
        if ruling.word != "admit":
            self.feed(
                Turned(
                    now_us,
                    proposal.call,
                    proposal.actor,
                    proposal.tool,
                    ruling.word,
                    ruling.rule,
                    ruling.fields,
                    proposal.waits + (ruling.word == "defer"),
                )
            )

    def objections(self, act: Acted) -> Sequence[Objection]:
        """Return what detectors have against an act."""
        if self.panel is None:
            return ()
        found = []
        for change in act.changes:
            until_us = self.damping.until_us(change.field, act.at_us)
            if until_us:
                found.append(Objection("damping", f"`{change.field}` is damped", True, (until_us - act.at_us) / 1e6))
        for alarm in self.panel.would(act):
            action = self.panel.action(alarm.detector)
            is_enforced = self.panel.mode(alarm.detector) == "enforce" and action != "notify"
            settle_s = max((self._settle_s(field) for field in alarm.fields), default=0.0)
            wait_s = max(1.0, 2 * settle_s) if action == "damp" else 0.0
            found.append(Objection(alarm.detector, alarm.text, is_enforced, wait_s))
        return found

    def _settle_s(self, field: str) -> float:
        return self._seen.place(field).settle_s if self._seen is not None else 0.0
