"""Admission: may this call touch the world now, counting everything in flight? Pure; one judge a component.

The steps stand in their order, each may end it early: validity, same act, premises, generation, claims, redundant,
invariants, contracts, detectors, reserve. A rule in *observe* never ends anything: what it would have said is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from comity.coordination import claims
from comity.coordination.corners import Finding, judge
from comity.coordination.handling import Bound, Handling
from comity.coordination.invariant import Instance
from comity.coordination.picture import Effect, Flight, Picture, applied, covers
from comity.coordination.premises import holds_now
from comity.coordination.queueing import Queue
from comity.coordination.ruling import Proposal, Ruling
from comity.coordination.trimming import trimmed
from comity.coordination.world import World
from comity.core.codec import canonical, digest
from comity.core.errors import UsageError
from comity.core.expression import ExpressionError
from comity.journal.spec import ToolSpec
from comity.journal.world import Acted, Change, FieldValue, Touched

DEFERS_MAX = 5
"""After so many defers a person is asked."""
RETRY_S = 1.0
RETRY_S_MAX = 30.0
"""A deferred call is judged again after this time, doubled with each defer, unless what it waits for ends before."""


class Objection(msgspec.Struct, frozen=True):
    """What a detector has against an act, and whether it is enforced."""

    detector: str
    reason: str
    is_enforced: bool
    wait_s: float = 0.0


class Watch(Protocol):
    """Detectors, asked before an act is let through."""

    def objections(self, act: Acted) -> Sequence[Objection]:
        """Return what is to be said against an act; changes nothing."""
        ...


class _NoWatch:
    def objections(self, act: Acted) -> Sequence[Objection]:
        return ()


@dataclass(slots=True)
class Case:
    """A proposal being judged: what the steps have found out about it."""

    proposal: Proposal
    handling: Handling
    bound: Bound
    effects: tuple[Effect, ...]
    now_us: int
    findings: list[tuple[Instance, Finding]] = field(default_factory=list)
    would: list[str] = field(default_factory=list)

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the fields that it touches."""
        return tuple(dict.fromkeys(change.field for change in self.bound.changes))

    @property
    def actor(self) -> str:
        """Return who acts, as owners of claims are named."""
        return f"agent:{self.proposal.actor}"

    def repairs(self) -> bool:
        """Tell whether it improves an invariant that is broken, and harms none."""
        return any(found.improves and found.is_broken for _, found in self.findings) and not any(
            found.breaks or found.is_unknown for _, found in self.findings
        )


class Admission:
    """Judges proposals over one picture, and counts what it lets through until it is told what became of it."""

    def __init__(self, world: World, picture: Picture, watch: Watch | None = None) -> None:
        """Judge by a world and a picture of it."""
        self.world = world
        self.picture = picture
        self.queue = Queue()
        self._watch: Watch = watch or _NoWatch()
        self._steps: tuple[Callable[[Case], Ruling | None], ...] = (
            self._valid,
            self._same_act,
            self._known_fields,
            self._premises,
            self._generations,
            self._claims,
            self._redundant,
            self._turn,
            self._invariants,
            self._contracts,
            self._detectors,
        )

    def judge(self, proposal: Proposal, now_us: int, spec: ToolSpec | None = None) -> Ruling | None:
        """Judge a call; None where it does not concern the world. One that is admitted is held from now on.

        Raises:
            UsageError: its arguments do not fit what its tool declares, or the tool is declared twice.
        """
        handling = self.world.tool(proposal.tool, spec)
        if handling is None or not handling.acts:
            return self._undeclared(proposal)
        return self._judged(proposal, handling, now_us)

    def _judged(self, proposal: Proposal, handling: Handling, now_us: int, *, is_trial: bool = False) -> Ruling | None:
        bound = handling.bind(proposal.args)
        if not bound.changes and not bound.premises:
            return None
        case = Case(proposal, handling, bound, (), now_us)
        try:
            for change in bound.changes:
                self.world.require(change.field)
            case.effects = self._effects(bound)
            self._look(case)
            for step in self._steps:
                ruling = step(case)
                if ruling is not None:
                    return self._ended(case, ruling, is_trial=is_trial)
        except UsageError as error:
            return Ruling(word="reject", rule=error.code, reason=error.message, remedy=error.hint, fields=case.fields)
        if is_trial:
            return Ruling(word="admit")
        return self._reserve(case)

    def settle(self, ticket: str, end: str, now_us: int) -> Flight | None:
        """Take what became of an act: `done`, `failed` (it did not happen) or `unknown`."""
        if end == "failed":
            return self.picture.drop(ticket)
        return self.picture.move(ticket, "done" if end == "done" else "doubt", now_us if end == "done" else 0)

    # The steps

    def _valid(self, case: Case) -> Ruling | None:
        until_us = case.proposal.valid_until_us
        if until_us and case.now_us > until_us:
            return _reject("validity", f"the decision was valid until {until_us}", "decide anew")
        return None

    def _same_act(self, case: Case) -> Ruling | None:
        """The same intent has been decided: the same answer."""
        flight = self.picture.flights.get(case.proposal.ticket)
        if flight is not None and flight.key == _key(case.proposal):
            return Ruling(word="admit", touched=self._touched(case, flight.changes), flight=flight)
        return None

    def _known_fields(self, case: Case) -> Ruling | None:
        for change in case.bound.changes:
            why = _misfit(change, self.world.require(change.field))
            if why:
                return _reject("field_type", f"`{change.field}` {why}", "give a value that the field can have")
        return None

    def _premises(self, case: Case) -> Ruling | None:
        for premise in case.bound.premises:
            told = holds_now(premise, self.picture, case.now_us)
            if told.is_settled_false:
                return _reject(
                    "premise",
                    f"`{premise.holds.text}` does not hold: `{premise.field}` is {_shown(told.value)}",
                    "read it again, and decide anew",
                )
            if not told.holds:
                return self._defer(case, "premise", f"`{premise.field}` is being changed", [premise.field])
        return None

    def _generations(self, case: Case) -> Ruling | None:
        for change in case.bound.changes:
            if not self.world.require(change.field).generation or change.op != "set":
                continue
            known = self.picture.state(change.field).value
            flying = [
                effect.value
                for flight in self.picture.on_field(change.field)
                for effect in flight.effects
                if effect.field == change.field and effect.op == "set"
            ]
            newest = max((_number(value) for value in (known, *flying)), default=float("-inf"))
            if not _number(change.value) > newest:
                reason = f"`{change.field}` is at generation {newest:g}, and {_shown(change.value)} is not newer"
                return _reject("generation", reason, f"plan anew, with a generation above {newest:g}")
        return None

    def _claims(self, case: Case) -> Ruling | None:
        if case.repairs():
            return None
        for change in case.bound.changes:
            claim = claims.held_back(change, case.actor, "agent", self.picture, case.now_us)
            if claim is not None:
                by = "another party" if claim.tenant != case.proposal.tenant else claim.rank
                reason = f"`{change.field}` is claimed by {by} ({claim.mode}) until {claim.until_us}"
                return _reject("claim", reason, f"leave it alone until {claim.until_us}")
        return None

    def _redundant(self, case: Case) -> Ruling | None:
        """What is asked is so already: each change sets a field to what it was seen to be, and nothing is in flight."""
        if not case.bound.changes or any(self.world.require(c.field).generation for c in case.bound.changes):
            return None
        for change in case.bound.changes:
            state = self.picture.state(change.field)
            is_seen = not state.is_proposed and self.picture.known(change.field, case.now_us) is not None
            if change.op != "set" or not is_seen or any(True for _ in self.picture.on_field(change.field)):
                return None
            if not _is_same(state.value, change.value, self.world.require(change.field).epsilon):
                return None
        return Ruling(word="redundant", rule="redundant", reason="it is so already")

    def _turn(self, case: Case) -> Ruling | None:
        """Whoever was deferred first goes first."""
        keys = {instance.key for instance, _ in case.findings}
        if case.repairs() or not self.queue.is_behind(case.proposal.call, keys, case.now_us):
            return None
        return self._defer(case, "turn", "another call waits for the same", list(case.fields))

    def _invariants(self, case: Case) -> Ruling | None:
        for instance, found in case.findings:
            if not (found.breaks or found.is_unknown) or instance.rule in case.proposal.allowed:
                continue
            if instance.section.mode == "observe" or instance.section.severity == "warn":
                case.would.append(f"{instance.key}: {'warn' if instance.section.severity == 'warn' else 'reject'}")
            elif instance.section.severity == "escalate":
                return _escalate(instance.rule, _told(instance, found))
            elif found.is_unknown:
                return _reject(
                    instance.rule, _unknown(instance, found), "wait until it is observed, or make nothing worse"
                )
            elif not found.alone:
                return self._defer(case, instance.rule, _told(instance, found), _flown(instance, self.picture))
            else:
                return _reject(instance.rule, _told(instance, found), "ask for less, or make room first")
        return None

    def _contracts(self, case: Case) -> Ruling | None:
        for name, section in self.world.document.contracts.items():
            contract = self.world.contract(name)
            artefact = contract.artefact_of(case.bound)
            if not artefact:
                continue
            told = contract.broken_by(case.proposal.args, self.picture.state(artefact).value)
            if told and section.mode == "observe":
                case.would.append(f"{name}: reject")
            elif told:
                return _reject(name, told, "publish what the consumers can take; the last good one stays")
        return None

    def _detectors(self, case: Case) -> Ruling | None:
        if case.repairs():
            return None
        for objection in self._watch.objections(self.acted(case, case.bound.changes)):
            if objection.detector in case.proposal.allowed:
                continue
            if not objection.is_enforced:
                case.would.append(f"{objection.detector}: defer")
                continue
            if not objection.wait_s:
                return _escalate(objection.detector, objection.reason)
            ruling = self._defer(case, objection.detector, objection.reason, list(case.fields))
            until_us = case.now_us + round(objection.wait_s * 1e6)
            return msgspec.structs.replace(ruling, until_us=until_us) if ruling.word == "defer" else ruling
        return None

    # Ends

    def _ended(self, case: Case, ruling: Ruling, *, is_trial: bool) -> Ruling:
        ruling = msgspec.structs.replace(ruling, fields=case.fields)
        if is_trial or ruling.word == "admit":
            return ruling
        if ruling.word in ("reject", "defer") and case.handling.section.trim and case.findings:
            args = trimmed(case.proposal, case.handling, self.picture, lambda less: self._fits(case, less))
            if args is not None:
                return Ruling(word="trim", rule=ruling.rule, reason=ruling.reason, args=args, fields=case.fields)
        if ruling.word == "defer":
            keys = {instance.key for instance, _ in case.findings}
            self.queue.wait(case.proposal.call, keys, case.now_us, ruling.until_us)
        else:
            self.queue.leave(case.proposal.call)
        return ruling

    def _fits(self, case: Case, args: dict[str, Any]) -> bool:
        proposal = msgspec.structs.replace(case.proposal, args=args)
        try:
            ruling = self._judged(proposal, case.handling, case.now_us, is_trial=True)
        except (UsageError, ExpressionError):
            return False
        return ruling is not None and ruling.word == "admit"

    def _defer(self, case: Case, rule: str, reason: str, fields: Iterable[str]) -> Ruling:
        if case.proposal.waits >= DEFERS_MAX:
            return _escalate(rule, f"{reason}; deferred {case.proposal.waits} times")
        flights = [flight for name in fields for flight in self.picture.on_field(name)]
        first = min(flights, key=lambda flight: (flight.settled_us or 2**62, flight.from_us), default=None)
        pause_us = round(min(RETRY_S * 2**case.proposal.waits, RETRY_S_MAX) * 1e6)
        until_us = case.now_us + pause_us
        if first is not None and first.settled_us > case.now_us:
            until_us = min(max(first.settled_us, case.now_us + 1_000), case.now_us + round(RETRY_S_MAX * 1e6))
        behind = first.ticket if first is not None and not first.settled_us else ""
        return Ruling(word="defer", rule=rule, reason=reason, until_us=until_us, behind=behind)

    def _reserve(self, case: Case) -> Ruling:
        changes = tuple(self._told_change(change) for change in case.bound.changes)
        proposal = case.proposal
        settle_us = round(max([0.0, *self._settles(case)]) * 1e6)
        flight = Flight(
            proposal.ticket,
            proposal.call,
            proposal.task,
            proposal.actor,
            proposal.tool,
            _key(proposal),
            case.effects,
            changes,
            settle_us,
            case.now_us,
            plan=self._plan(case),
            observation=proposal.observation,
        )
        self.queue.leave(proposal.call)
        if changes:
            self.picture.hold(flight)
        return Ruling(
            word="admit",
            touched=self._touched(case, changes),
            flight=flight if changes else None,
            fields=case.fields,
        )

    def _undeclared(self, proposal: Proposal) -> Ruling | None:
        scoped = self.world.scoped(proposal.tool)
        if not scoped:
            return None
        sections = self.world.document.kinds
        closed = next((kind for kind in scoped if sections[kind.name].declared_only), None)
        if closed is not None:
            reason = f"`{proposal.tool}` is in the scope of kind `{closed.name}`, and does not say what it touches"
            return _reject("undeclared", reason, f"declare its touches under `tools.{proposal.tool}` in the world file")
        return Ruling(word="admit", touched=Touched(caused_by=proposal.caused_by, is_undeclared=True))

    # What a case comes to

    def acted(self, case: Case, changes: tuple[Change, ...]) -> Acted:
        """Return the act as detectors see it."""
        proposal = case.proposal
        domains = dict.fromkeys(self.world.domain_of(name) for name in case.fields)
        return Acted(
            case.now_us,
            proposal.call,
            proposal.actor,
            proposal.tool,
            tuple(self._told_change(change) for change in changes),
            proposal.reads,
            self._plan(case),
            claims.under(changes, case.actor, self.picture, case.now_us),
            proposal.caused_by,
            proposal.observation,
            tuple(name for name in domains if name),
            case.handling.section.destructive,
            proposal.task,
        )

    def _look(self, case: Case) -> None:
        known = self.picture.fields
        instances: dict[str, Instance] = {}
        for effect in case.effects:
            self.picture.state(effect.field)
            instances.update((item.key, item) for item in self.world.instances(effect.field, known))
        case.findings = [(item, judge(item, self.picture, case.effects, case.now_us)) for item in instances.values()]

    def _effects(self, bound: Bound) -> tuple[Effect, ...]:
        """Return what the changes do, and what follows from them by dependencies."""
        made: list[Effect] = []
        for change in bound.changes:
            made.append(Effect(change.field, change.op, change.value))
            step = self._step(change)
            made += [
                Effect(far.field, "add", step * far.gain, max(1, round(far.lag_s * 1e6)))
                for far in self.world.influences(change.field)
                if step
            ]
        return tuple(made)

    def _step(self, change: Change) -> float:
        if change.op == "add":
            return _number(change.value)
        before = self.picture.state(change.field).value
        is_step = change.op == "set" and isinstance(before, int | float) and isinstance(change.value, int | float)
        return _number(change.value) - _number(before) if is_step else 0.0

    def _settles(self, case: Case) -> Iterable[float]:
        for change, own in zip(case.bound.changes, case.bound.settles_s, strict=True):
            yield self.world.settle_s(change.field) if own is None else own
        yield from (effect.lag_us / 1e6 for effect in case.effects)

    def _told_change(self, change: Change) -> Change:
        state = self.picture.state(change.field)
        after = applied(state.value, Effect(change.field, change.op, change.value))
        flying = sum(1 for _ in self.picture.on_field(change.field))
        return msgspec.structs.replace(
            change,
            before=state.value,
            after=after,
            version=state.version + flying + 1,
            settle_s=self.world.settle_s(change.field),
        )

    def _touched(self, case: Case, changes: tuple[Change, ...]) -> Touched:
        return Touched(
            ticket=case.proposal.ticket,
            changes=changes,
            reads=case.proposal.reads,
            plan=self._plan(case),
            claim=claims.under(changes, case.actor, self.picture, case.now_us),
            caused_by=case.proposal.caused_by,
            would=tuple(case.would),
        )

    def _plan(self, case: Case) -> str:
        """Return the plan that the call is a step of, if it was issued, covers every field, and has steps left."""
        plan = self.picture.plans.get(case.bound.plan)
        if plan is None or plan.until_us <= case.now_us:
            return ""
        is_left = self.picture.plan_steps.get(plan.id, 0) < plan.steps
        return plan.id if is_left and all(covers(plan.scope, name) for name in case.fields) else ""


def _key(proposal: Proposal) -> str:
    return digest(canonical({"tool": proposal.tool, "args": proposal.args})).hex()


def _reject(rule: str, reason: str, remedy: str) -> Ruling:
    return Ruling(word="reject", rule=rule, reason=reason, remedy=remedy)


def _escalate(rule: str, reason: str) -> Ruling:
    return Ruling(word="escalate", rule=rule, reason=reason)


def _told(instance: Instance, found: Finding) -> str:
    values = ", ".join(f"{name} = {_shown(value)}" for name, value in found.values)
    what = "as things stand" if found.alone else "with what is in flight"
    return f"`{found.condition}` ({instance.key}) could become false {what}; now {values}"


def _unknown(instance: Instance, found: Finding) -> str:
    unknown = [name for name, value in found.values if value is None]
    return f"{instance.key} cannot be judged: {', '.join(f'`{name}`' for name in unknown) or 'a value'} is not known"


def _flown(instance: Instance, picture: Picture) -> list[str]:
    return [name for name in picture.flights_by_field if instance.covers(name)]


_PLAIN = re.compile(r"[\w.:/-]{1,64}")


def _shown(value: object) -> str:
    """Return a value for an agent to read; free text of others never gets there."""
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else "a text"
    return "unknown" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else 0.0


def _is_same(left: FieldValue, right: FieldValue, epsilon: float) -> bool:
    if isinstance(left, int | float) and isinstance(right, int | float):
        return abs(left - right) <= epsilon
    return left == right


def _misfit(change: Change, section: Any) -> str:
    """Return why a change does not fit its field's type, empty where it does."""
    value = change.value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if section.type in ("number", "integer"):
        if not is_number or change.op not in ("set", "add"):
            return f"is a number and cannot take `{change.op} {_shown(value)}`"
        if section.type == "integer" and value != int(value):  # type: ignore[arg-type]  # a number, by now
            return f"is a whole number, not {_shown(value)}"
        return ""
    if section.type == "set":
        return "" if change.op in ("append", "remove") or isinstance(value, tuple) else "is a set"
    if change.op != "set":
        return f"is {section.type} and can only be set"
    if section.type == "boolean":
        return "" if isinstance(value, bool) else "is true or false"
    if section.values and value not in section.values:
        return f"is one of {', '.join(map(str, section.values))}, not `{_shown(value)}`"
    return ""
