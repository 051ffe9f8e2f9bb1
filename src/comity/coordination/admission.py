"""Admission: may this call touch the world now, counting everything in flight? Pure; one judge a component.

The steps stand in their order, each may end it early: validity, same act, premises, generation, claims, redundant,
invariants, contracts, detectors, reserve. A rule in *observe* never ends anything: what it would have said is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from comity.coordination import claims
from comity.coordination.believed import is_same
from comity.coordination.case import Case
from comity.coordination.corners import known_values
from comity.coordination.document import FieldSection
from comity.coordination.finding import Finding
from comity.coordination.handling import Handling, is_number
from comity.coordination.invariant import Instance
from comity.coordination.picture import Effect, Flight, Picture
from comity.coordination.premises import holds_now
from comity.coordination.queueing import Queue
from comity.coordination.ruling import Proposal, Ruling, Watch
from comity.coordination.trimming import trimmed
from comity.coordination.world import World, misfit
from comity.core.codec import canonical, digest
from comity.core.errors import UsageError
from comity.core.expression import ExpressionError
from comity.journal.naming import tenant_of
from comity.journal.spec import ToolSpec
from comity.journal.world import Change, Touched

DEFERS_MAX = 5
"""After so many defers behind the same flight, which bring nothing, a person is asked."""
_TURNS = frozenset({"turn", "order"})
SEEN_S_MAX = 60.0
"""What was seen longer ago makes no call redundant, even if the field lets it count as known."""
PATIENCE_US = 120_000_000
"""Whoever waits for the outcome of something in flight is woken by it; at the latest it looks again after this time."""
LANDING_US = 50_000
"""So long it may take until what has settled is part of the values."""
RETRY_S = 0.25
RETRY_S_MAX = 30.0
"""A deferred call is judged again after this time, doubled with each defer, unless what it waits for ends before.

One that waits for its turn begins with this time for each that is before it.
"""
DOUBLINGS_MAX = 10


class Admission:
    """Judges proposals over one picture, and counts what it lets through until it is told what became of it."""

    def __init__(self, world: World, picture: Picture, watch: Watch | None = None) -> None:
        """Judge by a world and a picture of it."""
        self.world = world
        self.picture = picture
        self.queue = Queue()
        self._watch = watch
        self._steps: tuple[Callable[[Case], Ruling | None], ...] = (
            self._premises,
            self._generations,
            self._claims,
            self._redundant,
            self._turn,
            self._one_by_one,
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
        bound = handling.bind(proposal.args, self._is_set)
        if not bound.changes and not bound.premises:
            return None
        case = Case.of(proposal, handling, bound, self.picture, now_us)
        ruling = self._valid(case) or self._same_act(case)
        if ruling is not None:
            return ruling
        try:
            case.touched = touched = [(change, self.world.require(change.field)) for change in bound.changes]
            for change, section in touched:
                why = _misfit(change, section)
                if why:
                    return _reject("field_type", f"`{change.field}` {why}", "give a value that the field can have")
            case.look()
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

    def counted(self, proposal: Proposal, now_us: int, spec: ToolSpec | None = None) -> Flight | None:
        """Return the flight of an act that is under way and was judged by nobody; None where it changes nothing.

        Where its arguments do not fit what its tool declares, all that the tool may touch is unknown.

        Raises:
            UsageError: the tool is declared twice.
        """
        handling = self.world.tool(proposal.tool, spec)
        if handling is None:
            return None
        try:
            bound = handling.bind(proposal.args, self._is_set)
        except UsageError:
            return self._blind(proposal, handling, now_us)
        if not bound.changes:
            return None
        case = Case.of(proposal, handling, bound, self.picture, now_us)
        case.touched = [(change, self.world.section(change.field) or FieldSection()) for change in bound.changes]
        case.follow()
        return self._reserve(case).flight

    def _blind(self, proposal: Proposal, handling: Handling, now_us: int) -> Flight:
        own = [name for name in self.picture.fields if handling.may_touch(name)]
        far = [item.field for name in own for item in self.world.influences(name)]
        effects = tuple(Effect(name, "set", None) for name in dict.fromkeys([*own, *far]))
        who = proposal.ticket, proposal.call, proposal.task, proposal.actor, proposal.tool, _key(proposal)
        return Flight(*who, effects, (), 0, now_us)

    # The steps

    def _valid(self, case: Case) -> Ruling | None:
        until_us = case.proposal.valid_until_us
        if until_us and case.now_us > until_us:
            return _reject("validity", f"the decision was valid until {until_us}", "decide anew")
        return None

    def _same_act(self, case: Case) -> Ruling | None:
        """The same intent has been decided: the same answer. One that was only held may be changed."""
        flight = self.picture.flights.get(case.proposal.ticket)
        if flight is None:
            return None
        if flight.key == _key(case.proposal):
            touched = case.told(flight.changes, case.plan())
            return Ruling(word="admit", touched=touched, flight=flight, fields=case.fields)
        if flight.phase == "held":
            self.picture.drop(flight.ticket)
            return None
        return _reject("ticket", f"ticket `{flight.ticket}` stands for another act", "ask under a ticket of its own")

    def _premises(self, case: Case) -> Ruling | None:
        for premise in case.bound.premises:
            told = holds_now(premise, self.picture, case.now_us)
            if told.is_settled_false:
                return _reject(
                    "premise",
                    f"`{premise.holds.text}` does not hold: `{premise.field}` is {_shown(told.value)}",
                    "read it again, and decide anew",
                )
            if not told.holds and "premise" not in case.proposal.allowed:
                reason = f"`{premise.field}` is being changed"
                return self._defer(case, "premise", reason, [premise.field], {premise.field})
        return None

    def _generations(self, case: Case) -> Ruling | None:
        """Each is newer than what is there and in flight, and comes after it: none is overtaken by an older one."""
        for change, section in case.touched:
            if not section.generation or change.op != "set":
                continue
            flying = [
                effect.value
                for flight in self.picture.on_field(change.field)
                for effect in flight.effects
                if effect.field == change.field and effect.op == "set"
            ]
            known = [value for value in (self.picture.peek(change.field).value, *flying) if is_number(value)]
            if known and not _number(change.value) > max(known):
                newest = f"{max(known):g}"
                reason = f"`{change.field}` is at generation {newest}, and {_shown(change.value)} is not newer"
                return _reject("generation", reason, f"nothing is left to do if that is it; else plan above {newest}")
            if flying and "generation" not in case.proposal.allowed:
                reason = f"an older `{change.field}` is under way"
                return self._defer(case, "generation", reason, [change.field], {change.field})
        return None

    def _claims(self, case: Case) -> Ruling | None:
        if not self.picture.claims or case.repairs():
            return None
        for change in case.bound.changes:
            claim = claims.held_back(change, case.actor, "agent", self.picture, case.now_us)
            if claim is not None:
                is_foreign = claim.owner.startswith("agent:") and tenant_of(claim.owner) != tenant_of(case.actor)
                by = "another party" if is_foreign else claim.rank
                reason = f"`{change.field}` is claimed by {by} ({claim.mode}) until {claim.until_us}"
                return _reject("claim", reason, f"leave it alone until {claim.until_us}")
        return None

    def _redundant(self, case: Case) -> Ruling | None:
        """What is asked is so already: each change sets a field to what it was seen to be, and nothing is in flight."""
        for change, section in case.touched:
            if change.op != "set" or section.generation or self.picture.on_field(change.field):
                return None
            state = self.picture.peek(change.field)
            is_old = state.observed_us + round(SEEN_S_MAX * 1e6) < case.now_us or state.at(case.now_us) is None
            if state.is_proposed or is_old or state.observed_us < state.landed_us:
                return None
            if not is_same(state.value, change.value, section.epsilon):
                return None
        return Ruling(word="redundant", rule="redundant", reason="it is so already") if case.fields else None

    def _turn(self, case: Case) -> Ruling | None:
        """Whoever was deferred first goes first."""
        if not self.queue.waiting or "turn" in case.proposal.allowed or case.repairs():
            return None
        ahead, behind = self.queue.ahead(case.proposal.call, case.keys(), case.now_us)
        if not ahead:
            return None
        flights = [flight for ticket in behind if (flight := self.picture.flights.get(ticket)) is not None]
        return self._defer(case, "turn", "another call waits for the same", list(case.fields), ahead, flights)

    def _one_by_one(self, case: Case) -> Ruling | None:
        """What follows from setting a field depends on what it was, so such acts come one after the other."""
        if not case.unclear or "order" in case.proposal.allowed:
            return None
        return self._defer(case, "order", f"`{case.unclear}` is being changed", [case.unclear], {case.unclear})

    def _invariants(self, case: Case) -> Ruling | None:
        for instance, found in case.findings:
            if not (found.breaks or found.is_unknown) or instance.rule in case.proposal.allowed:
                continue
            if instance.section.mode == "observe" or instance.section.severity == "warn":
                case.would += (f"{instance.key}: {'warn' if instance.section.severity == 'warn' else 'reject'}",)
            elif instance.section.severity == "escalate":
                return _escalate(instance.rule, self._told(case, instance, found))
            elif found.is_unknown:
                reason = self._unknown(case, instance)
                return _reject(instance.rule, reason, "wait until it is observed, or make nothing worse")
            elif not found.alone:
                flown = _flown(instance, self.picture)
                return self._defer(case, instance.rule, self._told(case, instance, found), flown, {instance.key})
            else:
                return _reject(instance.rule, self._told(case, instance, found), "ask for less, or make room first")
        return None

    def _contracts(self, case: Case) -> Ruling | None:
        for name, section in self.world.document.contracts.items():
            contract = self.world.contract(name)
            artefact = contract.artefact_of(case.bound)
            if not artefact:
                continue
            told = contract.broken_by(case.proposal.args, self.picture.peek(artefact).value)
            if told and section.mode == "observe":
                case.would += (f"{name}: reject",)
            elif told:
                return _reject(name, told, "publish what the consumers can take; the last good one stays")
        return None

    def _detectors(self, case: Case) -> Ruling | None:
        if self._watch is None or case.repairs():
            return None
        for objection in self._watch.objections(case.acted()):
            if objection.detector in case.proposal.allowed:
                continue
            if not objection.is_enforced:
                case.would += (f"{objection.detector}: defer",)
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
        may_trim = case.handling.section.trim and not case.proposal.undoes  # half an act undone is none
        if ruling.word in ("reject", "defer") and may_trim and case.findings:
            args = trimmed(case.proposal, case.handling, self.picture, lambda less: self._fits(case, less))
            if args is not None:
                return Ruling(word="trim", rule=ruling.rule, reason=ruling.reason, args=args, fields=case.fields)
        if ruling.word == "defer":
            self.queue.wait(case.proposal.call, case.awaits, case.now_us, ruling.until_us, case.behind)
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

    def _defer(
        self,
        case: Case,
        rule: str,
        reason: str,
        fields: Iterable[str],
        awaits: Iterable[str] = (),
        flights: Iterable[Flight] = (),
    ) -> Ruling:
        """Let a call wait for what is in flight on `fields`, and for `flights`."""
        flights = [*flights, *(flight for name in fields for flight in self.picture.on_field(name))]
        first = min(flights, key=lambda flight: (flight.settled_us or 2**62, flight.from_us), default=None)
        behind = first.ticket if first is not None else ""
        defers = self.queue.defers(case.proposal.call, behind)
        if defers >= DEFERS_MAX and rule not in _TURNS:
            return _escalate(rule, f"{reason}; deferred {defers} times")
        case.awaits, case.behind = set(awaits), behind
        steps = (self.queue.place(case.proposal.call) if rule in _TURNS else 1) << min(defers, DOUBLINGS_MAX)
        until_us = case.now_us + round(min(RETRY_S * steps, RETRY_S_MAX) * 1e6)
        if first is not None and first.settled_us:
            until_us = max(first.settled_us, case.now_us + LANDING_US)
        elif first is not None and first.phase != "held":  # its outcome is what this call waits for, however long
            until_us = case.now_us + PATIENCE_US
        if rule in _TURNS:  # those before it may leave at any time
            until_us = min(until_us, case.now_us + round(RETRY_S_MAX * 1e6))
        behind = "" if first is None or first.settled_us or first.phase == "held" else behind
        return Ruling(word="defer", rule=rule, reason=reason, until_us=until_us, behind=behind)

    def _reserve(self, case: Case) -> Ruling:
        changes = case.told_changes()
        proposal, plan, from_us = case.proposal, case.plan(), case.now_us
        for effect in case.effects:
            # Invariant: what was seen before an act began did not see it, whatever the clocks say.
            until_us = self.picture.peek(effect.field).until_us
            if until_us >= from_us:
                from_us = until_us + 1
        flight = Flight(
            proposal.ticket,
            proposal.call,
            proposal.task,
            proposal.actor,
            proposal.tool,
            _key(proposal),
            case.effects,
            changes,
            case.settle_us(),
            from_us,
            plan=plan,
            observation=proposal.observation,
        )
        touched = case.told(changes, plan)
        self.queue.leave(proposal.call)
        if changes:
            self.picture.hold(flight)
        return Ruling(word="admit", touched=touched, flight=flight if changes else None, fields=case.fields)

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

    def _told(self, case: Case, instance: Instance, found: Finding) -> str:
        known = known_values(instance, self.picture, case.fresh, case.now_us)
        values = ", ".join(f"{name} = {_shown(value)}" for name, value in known)
        what = "as things stand" if found.alone else "with what is in flight"
        return f"`{found.condition}` ({instance.key}) could become false {what}; now {values}"

    def _unknown(self, case: Case, instance: Instance) -> str:
        known = known_values(instance, self.picture, case.fresh, case.now_us)
        names = ", ".join(f"`{name}`" for name, value in known if value is None)
        return f"{instance.key} cannot be judged: {names or 'a value'} is not known"

    def _is_set(self, field: str) -> bool:
        section = self.world.section(field)
        return section is not None and section.type == "set"


def _key(proposal: Proposal) -> str:
    return digest(canonical({"tool": proposal.tool, "args": proposal.args})).hex()


def _reject(rule: str, reason: str, remedy: str) -> Ruling:
    return Ruling(word="reject", rule=rule, reason=reason, remedy=remedy)


def _escalate(rule: str, reason: str) -> Ruling:
    return Ruling(word="escalate", rule=rule, reason=reason)


def _flown(instance: Instance, picture: Picture) -> list[str]:
    groups = (picture.group(pattern).flights.values() for pattern in instance.patterns)
    there = (effect.field for flights in groups for flight in flights for effect in flight.effects)
    return list(dict.fromkeys([*instance.names, *there]))


_PLAIN = re.compile(r"[\w.:/-]{1,64}")


def _shown(value: object) -> str:
    """Return a value for an agent to read; free text of others never gets there."""
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else "a text"
    return "unknown" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else 0.0


def _misfit(change: Change, section: FieldSection) -> str:
    """Return why a change does not fit its field's type, empty where it does."""
    if section.type == "set" and change.op in ("append", "remove"):
        return ""
    if change.op == "set" or (change.op == "add" and section.type in ("number", "integer")):
        why = misfit(section, change.value)
        return f"{why}, not {_shown(change.value)}" if why else ""
    return f"is of type {section.type} and cannot take `{change.op}`"
