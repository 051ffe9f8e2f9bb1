"""Intent violation: a write inside what somebody else has claimed, or a *correction* of an announced change."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from comity.coordination.detector import Alarm
from comity.coordination.detectors.motion import DOWN, UP, direction_of, moves
from comity.coordination.detectors.recent import SECOND_US, Latch, Recent
from comity.coordination.detectors.surroundings import Surroundings
from comity.journal.world import Acted, Change, Claim, Claimed, Rank, WorldEvent

CLAIMS_MAX = 1024
_RANKS: dict[Rank, int] = {"agent": 0, "operator": 1, "person": 2}


class IntentViolationParameters(msgspec.Struct, frozen=True):
    """At once; the same actor against the same claim again only after `quiet_s`."""

    quiet_s: float = 300.0


class IntentViolation:
    """Watches what is claimed."""

    name = "intent_violation"

    def __init__(self, surroundings: Surroundings, parameters: IntentViolationParameters | None = None) -> None:
        self._surroundings = surroundings
        self._with = parameters or IntentViolationParameters()
        self._claims: Recent[str, tuple[Claim, re.Pattern[str]]] = Recent(CLAIMS_MAX)
        self._found: Recent[str, tuple[Claim, ...]] = Recent()
        self._latch: Latch[tuple[str, str]] = Latch(self._with.quiet_s)

    def feed(self, event: WorldEvent) -> Sequence[Alarm]:
        """Take the next event."""
        if isinstance(event, Claimed):
            self._found = Recent()
            if event.is_over:
                self._claims.drop(event.claim.id)
            else:
                self._claims.put(event.claim.id, (event.claim, _pattern(event.claim.scope)))
            return ()
        if not isinstance(event, Acted) or not len(self._claims):
            return ()
        return [
            alarm
            for claim, alarm in self._violations(event)
            if self._latch.begins((claim.id, event.actor), event.at_us)
        ]

    def would(self, act: Acted) -> Alarm | None:
        """Tell whether letting `act` through now would raise an alarm."""
        for claim, alarm in self._violations(act):
            if self._latch.would_begin((claim.id, act.actor), act.at_us):
                return alarm
        return None

    def _violations(self, act: Acted) -> list[tuple[Claim, Alarm]]:
        found = []
        for change in act.changes:
            if not moves(change, self._surroundings.place(change.field).epsilon):
                continue
            for claim in self._over(change.field):
                is_running = claim.since_us <= act.at_us <= claim.until_us
                if is_running and not _may_write(act, claim) and _is_against(claim, change):
                    found.append((claim, self._alarm(act, claim, change)))
        return found

    def _over(self, field: str) -> tuple[Claim, ...]:
        """Return the claims over `field`, looked up once until a claim begins or ends."""
        claims = self._found.get(field)
        if claims is None:
            claims = tuple(claim for claim, pattern in self._claims.values() if pattern.fullmatch(field))
            self._found.put(field, claims)
        return claims

    def _alarm(self, act: Acted, claim: Claim, change: Change) -> Alarm:
        what = "takes back an announced change" if claim.is_change else f"writes against a claim ({claim.mode})"
        return Alarm(
            self.name,
            act.at_us,
            (change.field,),
            (act.actor,),
            (act.call, claim.id),
            1.0,
            f"`{act.actor}` {what} of `{claim.owner}` on `{change.field}`",
            {"remaining_s": (claim.until_us - act.at_us) / SECOND_US},
        )


def _may_write(act: Acted, claim: Claim) -> bool:
    """Tell whether the actor is the owner, acts under the claim, or stands above it."""
    if act.claim == claim.id or claim.owner in {act.actor, f"agent:{act.actor}"}:
        return True
    rank = act.actor.partition(":")[0]
    return rank in {"operator", "person"} and _RANKS[rank] > _RANKS[claim.rank]  # type: ignore[index]  # as was seen


def _is_against(claim: Claim, change: Change) -> bool:
    if claim.is_change:
        return True
    if claim.mode == "up-only":
        return direction_of(change) != UP
    if claim.mode == "down-only":
        return direction_of(change) != DOWN
    return claim.mode != "shared"


def _pattern(scope: str) -> re.Pattern[str]:
    """Return a scope as an expression: a resource stands for all of its fields."""
    return re.compile(".*".join(re.escape(part) for part in scope.split("*")) + r"(?:\..*)?")
