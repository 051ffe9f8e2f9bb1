"""The panel: all detectors of a world, fed with each event, with the mode and the action of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Literal

import msgspec

from comity.coordination.detector import Alarm, Detector
from comity.coordination.detectors.baseline import NO_BASELINE, Baseline
from comity.coordination.detectors.cascade import Cascade, CascadeParameters
from comity.coordination.detectors.contract_drift import ContractDrift, ContractDriftParameters
from comity.coordination.detectors.direct_conflict import DirectConflict, DirectConflictParameters
from comity.coordination.detectors.domain_cap import DomainCap, DomainCapParameters
from comity.coordination.detectors.herding import Herding, HerdingParameters
from comity.coordination.detectors.implicit_conflict import ImplicitConflict, ImplicitConflictParameters
from comity.coordination.detectors.indirect_conflict import IndirectConflict, IndirectConflictParameters
from comity.coordination.detectors.intake import Intake
from comity.coordination.detectors.intent_violation import IntentViolation, IntentViolationParameters
from comity.coordination.detectors.limit_cycle import LimitCycle, LimitCycleParameters
from comity.coordination.detectors.livelock import Livelock, LivelockParameters
from comity.coordination.detectors.oscillation import Oscillation, OscillationParameters
from comity.coordination.detectors.parameters import parameters
from comity.coordination.detectors.stale import Stale, StaleParameters
from comity.coordination.detectors.surroundings import Surroundings
from comity.coordination.detectors.undo_war import UndoWar, UndoWarParameters
from comity.coordination.document import DetectorSection, Mode
from comity.core.errors import UsageError
from comity.journal.world import Acted, Claimed, Measured, Published, Seen, Settled, Turned, WorldEvent

Action = Literal["notify", "damp", "freeze", "park", "stop"]


class Kind(msgspec.Struct, frozen=True):
    """A detector's class, its parameters, and the events that it takes notice of."""

    make: Callable[..., Detector]
    parameters: type[msgspec.Struct]
    takes: tuple[type[WorldEvent], ...]


KINDS: Mapping[str, Kind] = {
    "oscillation": Kind(Oscillation, OscillationParameters, (Acted,)),
    "limit_cycle": Kind(LimitCycle, LimitCycleParameters, (Acted, Seen)),
    "direct_conflict": Kind(DirectConflict, DirectConflictParameters, (Acted, Settled)),
    "indirect_conflict": Kind(IndirectConflict, IndirectConflictParameters, (Acted, Settled, Seen)),
    "implicit_conflict": Kind(ImplicitConflict, ImplicitConflictParameters, (Acted, Seen, Measured)),
    "stale": Kind(Stale, StaleParameters, (Acted, Settled, Seen, Turned)),
    "undo_war": Kind(UndoWar, UndoWarParameters, (Acted, Settled)),
    "intent_violation": Kind(IntentViolation, IntentViolationParameters, (Acted, Claimed)),
    "cascade": Kind(Cascade, CascadeParameters, (Acted,)),
    "herding": Kind(Herding, HerdingParameters, (Acted,)),
    "domain_cap": Kind(DomainCap, DomainCapParameters, (Acted, Settled)),
    "livelock": Kind(Livelock, LivelockParameters, (Acted, Turned, Measured)),
    "contract_drift": Kind(ContractDrift, ContractDriftParameters, (Published,)),
}
"""Every detector by its name."""


class Standing(msgspec.Struct, frozen=True):
    """How a detector stands: its settings, how often it has alarmed, and when last (0: never)."""

    name: str
    mode: Mode
    action: Action
    parameters: dict[str, float]
    alarms: int = 0
    last_us: int = 0


class Panel:
    """Holds one detector of each kind. Those that the world file does not name observe, with their defaults."""

    def __init__(
        self,
        sections: Mapping[str, DetectorSection],
        surroundings: Surroundings,
        baseline: Baseline = NO_BASELINE,
    ) -> None:
        """Make the detectors.

        Raises:
            UsageError: a detector or a parameter is unknown, a parameter's value is none that it can have, or the
                baseline was not signed off.
        """
        if baseline.windows and not baseline.signed_by:
            hint = "freeze it first: `comity detectors baseline --sign`"
            raise UsageError("unsigned_baseline", "the baseline was not signed off", hint=hint)
        for name in sections:
            _require(name)
        self._sections = {name: sections.get(name, DetectorSection()) for name in KINDS}
        self._detectors: dict[str, Detector] = {}
        self._standing: dict[str, Standing] = {}
        self._feeds: dict[type, list[Callable[[WorldEvent], Sequence[Alarm]]]] = {}
        for name, kind in KINDS.items():
            section = self._sections[name]
            chosen = parameters(kind.parameters, name, section.parameters)
            more = {"baseline": baseline} if name == "herding" else {}
            self._detectors[name] = kind.make(surroundings, chosen, **more)
            for event in kind.takes:
                self._feeds.setdefault(event, []).append(self._detectors[name].feed)
            self._standing[name] = Standing(name, section.mode, section.action, msgspec.structs.asdict(chosen))
        self._intake = Intake()

    def feed(self, event: WorldEvent) -> Sequence[Alarm]:
        """Take the next event; return the alarms that begin with it, one for each detector and fields.

        Guarantees: an event that comes again changes nothing; one that comes late happens now.
        """
        taken = self._intake.take(event)
        if taken is None:
            return ()
        found: list[Alarm] = []
        for feed in self._feeds[type(taken)]:
            alarms = feed(taken)
            if alarms:
                found += alarms
        if not found:
            return ()
        merged = _merged(found)
        for alarm in merged:
            was = self._standing[alarm.detector]
            self._standing[alarm.detector] = msgspec.structs.replace(was, alarms=was.alarms + 1, last_us=alarm.at_us)
        return merged

    def would(self, act: Acted) -> Sequence[Alarm]:
        """Return the alarms that letting `act` through now would raise; changes nothing."""
        found = [detector.would(act) for detector in self._detectors.values()]
        return tuple(alarm for alarm in found if alarm is not None)

    def detector(self, name: str) -> Detector:
        """Return one of them.

        Raises:
            UsageError: there is no such detector.
        """
        return self._detectors[_require(name)]

    def mode(self, detector: str) -> Mode:
        """Return whether a detector observes or enforces.

        Raises:
            UsageError: there is no such detector.
        """
        return self._sections[_require(detector)].mode

    def action(self, detector: str) -> Action:
        """Return what a detector does when it fires while it is enforced.

        Raises:
            UsageError: there is no such detector.
        """
        return self._sections[_require(detector)].action

    def standing(self) -> Sequence[Standing]:
        """Return how each detector stands, in the order of the table."""
        return tuple(self._standing.values())

    def statistics(self) -> dict[str, int]:
        """Return how many events came again, and how many late."""
        return {"repeated": self._intake.repeated, "late": self._intake.late}


def _require(name: str) -> str:
    if name not in KINDS:
        near = get_close_matches(name, KINDS, 1)
        meant = f"did you mean `{near[0]}`? " if near else ""
        hint = f"{meant}there are: {', '.join(f'`{one}`' for one in KINDS)}"
        raise UsageError("unknown_detector", f"there is no detector `{name}`", hint=hint)
    return name


def _merged(alarms: Sequence[Alarm]) -> Sequence[Alarm]:
    """Make one of the alarms of one detector on the same fields."""
    merged: dict[tuple[str, tuple[str, ...]], Alarm] = {}
    for alarm in alarms:
        key = (alarm.detector, alarm.fields)
        other = merged.get(key)
        if other is None:
            merged[key] = alarm
            continue
        most = max(other, alarm, key=lambda one: one.score)
        merged[key] = msgspec.structs.replace(
            most,
            actors=tuple(sorted({*other.actors, *alarm.actors})),
            evidence=tuple(dict.fromkeys((*other.evidence, *alarm.evidence))),
        )
    return tuple(merged.values())
