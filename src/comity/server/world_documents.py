"""The documents on the shared world: what is in force and believed, claims, plans, detectors, the causal map."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

import msgspec

from comity.coordination.causality.interactions import Interaction
from comity.coordination.causality.loop import AgentLoops
from comity.coordination.causality.window import MapWindow
from comity.coordination.detector import Alarm
from comity.coordination.detectors.baseline import Baseline
from comity.coordination.detectors.panel import Standing
from comity.coordination.loading_problem import Problem
from comity.coordination.picture import Effect, Flight, Picture
from comity.core.ids import show_id
from comity.journal.world import Claim, ClaimMode, FieldValue, Plan, Rank
from comity.runtime.coordination.observing import Taken
from comity.runtime.coordination.reading import Snapshot, target_of
from comity.runtime.words import iso
from comity.server.documents import Moment, Uuid


class FieldDocument(msgspec.Struct, frozen=True):
    """What is believed of a field: `value` with all that landed, null where nobody knows.

    `observed_at` is null where nobody who may has seen it; `is_stale` says that this was too long ago to count.
    `proposed` is what somebody said who may not observe it. `target` is the value once all that is in flight has
    happened; `in_flight` counts that. `version` moves with each change.
    """

    field: str
    value: FieldValue
    version: int
    observed_at: Moment | None
    observed_by: str | None
    is_stale: bool
    proposed: FieldValue
    target: FieldValue
    in_flight: int
    type: str
    unit: str
    component: str


class WorldDocumentPage(msgspec.Struct, frozen=True):
    """The world file in force and a page of its fields; where it `has_more`, the next begins `after` the last."""

    version: int
    name: str
    about: str
    applied_at: Moment | None
    applied_by: str
    document: dict[str, Any]
    fields: list[FieldDocument]
    in_flight: int
    has_more: bool


class ProblemDocument(msgspec.Struct, frozen=True):
    """One thing that is wrong with a world file: its line, the path of its value, and what to write instead."""

    line: int
    path: str
    message: str
    hint: str


class CheckDocument(msgspec.Struct, frozen=True):
    """Whether a world file could be put in force, and what is wrong with it."""

    is_valid: bool
    problems: list[ProblemDocument]


class TakenDocument(msgspec.Struct, frozen=True):
    """What became of an observation.

    `observed`: it is what is believed now. `proposed`: whoever said it may not observe the field. `older`: as new a
    one was known already, or an act was under way.
    """

    field: str
    taken: Literal["observed", "proposed", "older"]
    why: str


class TakenList(msgspec.Struct, frozen=True):
    """What became of observations, in their order; `by` is in whose name they were taken."""

    by: str
    observations: list[TakenDocument]


class EffectDocument(msgspec.Struct, frozen=True):
    """What an act does to a field, `lag_s` after it happened."""

    field: str
    op: str
    value: FieldValue
    lag_s: float


class ReservationDocument(msgspec.Struct, frozen=True):
    """An act in flight. `phase`: *held* and *meant* have no outcome yet, *doubt* may have happened, *done* settles."""

    ticket: str
    call: str
    task: Uuid
    agent: str
    tool: str
    phase: Literal["held", "meant", "doubt", "done"]
    since: Moment | None
    settles_at: Moment | None
    plan: str | None
    effects: list[EffectDocument]


class ReservationList(msgspec.Struct, frozen=True):
    """A page of what is in flight, by ticket; where it `has_more`, the next begins `after` the last."""

    reservations: list[ReservationDocument]
    has_more: bool


class ClaimDocument(msgspec.Struct, frozen=True):
    """A claim: what its owner intends with a scope, and until when."""

    id: str
    scope: str
    mode: ClaimMode
    owner: str
    rank: Rank
    since: Moment | None
    until: Moment | None
    reason: str
    task: Uuid | None
    is_change: bool
    is_in_force: bool


class ClaimList(msgspec.Struct, frozen=True):
    """A page of claims, by id; where it `has_more`, the next begins `after` the last."""

    claims: list[ClaimDocument]
    has_more: bool


class EndedClaim(msgspec.Struct, frozen=True):
    """A claim that was ended."""

    id: str
    scope: str
    owner: str


class PlanDocument(msgspec.Struct, frozen=True):
    """A plan; `agent` is null where any may act under it."""

    id: str
    scope: str
    issued_by: str
    until: Moment | None
    steps: int
    direction: Literal["up", "down", "any"]
    agent: str | None


class PlanList(msgspec.Struct, frozen=True):
    """A page of plans, by id; where it `has_more`, the next begins `after` the last."""

    plans: list[PlanDocument]
    has_more: bool


class AlarmDocument(msgspec.Struct, frozen=True):
    """What a detector saw: on which fields, by whose doing, from which calls; `score` 1 is just at its threshold."""

    detector: str
    at: Moment | None
    fields: list[str]
    actors: list[str]
    evidence: list[str]
    score: float
    text: str
    facts: dict[str, float]


class AlarmList(msgspec.Struct, frozen=True):
    """Alarms, oldest first; `has_more` says that older ones were left out."""

    alarms: list[AlarmDocument]
    has_more: bool


class DetectorDocument(msgspec.Struct, frozen=True):
    """How a detector stands: whether it observes or enforces, what it does when it fires, how often it did."""

    name: str
    mode: Literal["observe", "enforce"]
    action: str
    alarms: int
    last_at: Moment | None
    parameters: dict[str, float]


class DetectorList(msgspec.Struct, frozen=True):
    """All detectors."""

    detectors: list[DetectorDocument]


class DetectorPage(msgspec.Struct, frozen=True):
    """A detector with its newest alarms, oldest first."""

    detector: DetectorDocument
    recent: list[AlarmDocument]


class BaselineDocument(msgspec.Struct, frozen=True):
    """What is usual: agents that act with each signature within `window_s`; `windows` were learned from."""

    usual_agents: dict[str, float]
    window_s: float
    since: Moment | None
    until: Moment | None
    windows: int
    excluded: int
    signed_by: str | None
    signed_at: Moment | None


class BaselinePage(msgspec.Struct, frozen=True):
    """The baseline in force, null where nobody has signed one, and what was learned here since the start."""

    in_force: BaselineDocument | None
    proposed: BaselineDocument


class MapDocument(msgspec.Struct, frozen=True):
    """A window on the causal map, where loops close between agents, and which agents interact."""

    window: MapWindow
    loops: AgentLoops
    interactions: list[Interaction]


def field_document(found: Snapshot, name: str, now_us: int) -> FieldDocument:
    """Return what is believed of a field."""
    picture, state = found.picture, found.picture.peek(name)
    section = found.world.require(name)
    return FieldDocument(
        field=name,
        value=state.value,
        version=state.version,
        observed_at=iso(state.observed_us),
        observed_by=state.by or None,
        is_stale=state.at(now_us) is None and state.value is not None,
        proposed=state.proposed,
        target=target_of(picture, name),
        in_flight=len(picture.flights_by_field.get(name, ())),
        type=section.type,
        unit=section.unit,
        component=found.world.component_of(name),
    )


def problem_documents(problems: Iterable[Problem]) -> list[ProblemDocument]:
    """Return what is wrong with a world file."""
    return [ProblemDocument(item.line, item.path, item.message, item.hint) for item in problems]


def taken_document(taken: Taken, by: str) -> TakenDocument:
    """Return what became of an observation, in words."""
    if taken.taken == "proposed":
        why = f"`authority.observe` of the world file does not name `{by}` for it"
    elif taken.taken == "older":
        why = "as new an observation was known already, or an act was under way at that moment"
    else:
        why = ""
    return TakenDocument(taken.field, taken.taken, why)


def reservation_document(flight: Flight) -> ReservationDocument:
    """Return an act in flight."""
    return ReservationDocument(
        ticket=flight.ticket,
        call=flight.call,
        task=show_id(bytes.fromhex(flight.task)),
        agent=flight.actor,
        tool=flight.tool,
        phase=flight.phase,
        since=iso(flight.from_us),
        settles_at=iso(flight.settled_us),
        plan=flight.plan or None,
        effects=[_effect(item) for item in flight.effects],
    )


def claim_document(claim: Claim, now_us: int) -> ClaimDocument:
    """Return a claim."""
    return ClaimDocument(
        id=claim.id,
        scope=claim.scope,
        mode=claim.mode,
        owner=claim.owner,
        rank=claim.rank,
        since=iso(claim.since_us),
        until=iso(claim.until_us),
        reason=claim.reason,
        task=claim.task or None,
        is_change=claim.is_change,
        is_in_force=claim.since_us <= now_us < claim.until_us,
    )


def plan_document(plan: Plan) -> PlanDocument:
    """Return a plan."""
    return PlanDocument(
        plan.id, plan.scope, plan.issued_by, iso(plan.until_us), plan.steps, plan.direction, plan.grant or None
    )


def alarm_document(alarm: Alarm) -> AlarmDocument:
    """Return an alarm."""
    return AlarmDocument(
        alarm.detector,
        iso(alarm.at_us),
        list(alarm.fields),
        list(alarm.actors),
        list(alarm.evidence),
        alarm.score,
        alarm.text,
        alarm.facts,
    )


def detector_document(found: Standing) -> DetectorDocument:
    """Return how a detector stands."""
    return DetectorDocument(
        found.name, found.mode, found.action, found.alarms, iso(found.last_us), dict(found.parameters)
    )


def baseline_document(found: Baseline) -> BaselineDocument:
    """Return what is usual."""
    return BaselineDocument(
        dict(found.usual_agents),
        found.window_s,
        iso(found.since_us),
        iso(found.until_us),
        found.windows,
        found.excluded,
        found.signed_by or None,
        iso(found.signed_at_us),
    )


def us(moment: datetime | None, otherwise: int) -> int:
    """Return a moment in microseconds."""
    return otherwise if moment is None else round(moment.timestamp() * 1e6)


def fields_shown(picture: Picture) -> list[str]:
    """Return the fields that exist, by name."""
    return sorted(picture.fields)


def _effect(effect: Effect) -> EffectDocument:
    return EffectDocument(effect.field, effect.op, effect.value, effect.lag_us / 1e6)
