"""Domain cap: the same kind of thing is taken down in several failure domains, or too much of one pool."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec

from comity.coordination.detector import Alarm
from comity.coordination.detectors.motion import kind_of, resource_of
from comity.coordination.detectors.recent import EVIDENCE_MAX, SECOND_US, Latch, Recent
from comity.coordination.detectors.surroundings import Surroundings
from comity.journal.world import Acted, Settled, WorldEvent

ACTS_MAX = 1024


class DomainCapParameters(msgspec.Struct, frozen=True):
    """More than `domains_max` domains within `window_s`, or above `pool_share` of a pool (and more than one of it)."""

    domains_max: int = 1
    window_s: float = 900.0
    pool_share: float = 0.25


class _Loss(msgspec.Struct, frozen=True):
    """One destructive act on one resource."""

    at_us: int
    call: str
    actor: str
    resource: str
    domains: tuple[str, ...]


class DomainCap:
    """Watches destructive acts, by the kind of what they take down. A plan excuses nothing here."""

    name = "domain_cap"

    def __init__(self, surroundings: Surroundings, parameters: DomainCapParameters | None = None) -> None:
        self._surroundings = surroundings
        self._with = parameters or DomainCapParameters()
        self._losses: Recent[str, deque[_Loss]] = Recent()
        self._latch: Latch[str] = Latch(self._with.window_s)

    def feed(self, event: WorldEvent) -> Sequence[Alarm]:
        """Take the next event."""
        if isinstance(event, Settled):
            if event.end == "not_happened":
                self._forget(event.call)
            return ()
        if not isinstance(event, Acted) or not event.is_destructive:
            return ()
        alarms = []
        for kind, new in self._new(event).items():
            losses = self._losses.use(kind, lambda: deque(maxlen=ACTS_MAX))
            while losses and losses[0].at_us < event.at_us - self._with.window_s * SECOND_US:
                losses.popleft()
            losses.extend(new)
            alarm = self._judge(event, kind, losses)
            if alarm is not None and self._latch.begins(kind, event.at_us):
                alarms.append(alarm)
        return alarms

    def would(self, act: Acted) -> Alarm | None:
        """Tell whether letting `act` through now would raise an alarm."""
        for kind, new in self._new(act).items() if act.is_destructive else ():
            since_us = act.at_us - self._with.window_s * SECOND_US
            kept = [loss for loss in self._losses.get(kind) or () if loss.at_us >= since_us]
            alarm = self._judge(act, kind, [*kept, *new])
            if alarm is not None and self._latch.would_begin(kind, act.at_us):
                return alarm
        return None

    def _new(self, act: Acted) -> dict[str, list[_Loss]]:
        found: dict[str, list[_Loss]] = {}
        for field in {resource_of(change.field): change.field for change in act.changes}.values():
            domain = self._surroundings.place(field).domain
            domains = (domain,) if domain else act.domains
            loss = _Loss(act.at_us, act.call, act.actor, resource_of(field), domains)
            found.setdefault(kind_of(field), []).append(loss)
        return found

    def _forget(self, call: str) -> None:
        for losses in self._losses.values():
            for loss in [loss for loss in losses if loss.call == call]:
                losses.remove(loss)

    def _judge(self, act: Acted, kind: str, losses: Sequence[_Loss]) -> Alarm | None:
        domains = {domain for loss in losses for domain in loss.domains}
        resources = {loss.resource for loss in losses}
        pool = max(self._surroundings.place(change.field).pool for change in act.changes)
        share = len(resources) / pool if pool else 0.0
        is_wide = len(domains) > self._with.domains_max
        if not is_wide and (len(resources) < 2 or share <= self._with.pool_share):
            return None
        where = f"in {len(domains)} domains" if is_wide else f"{share:.0%} of the pool"
        return Alarm(
            self.name,
            act.at_us,
            tuple(sorted({change.field for change in act.changes})),
            tuple(sorted({loss.actor for loss in losses})),
            tuple(dict.fromkeys(loss.call for loss in list(losses)[-EVIDENCE_MAX:])),
            max(len(domains) / (self._with.domains_max + 1), share / self._with.pool_share),
            f"`{kind}` is taken down {where}",
            {"domains": float(len(domains)), "resources": float(len(resources)), "pool_share": share},
        )
