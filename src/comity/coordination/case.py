"""A case: a proposal that is being judged, what it does, what follows from that, and what it comes to."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from operator import attrgetter

from comity.coordination import claims
from comity.coordination.believed import applied, takes_back
from comity.coordination.corners import judge
from comity.coordination.document import FieldSection
from comity.coordination.finding import Finding
from comity.coordination.handling import Bound, Handling, is_number
from comity.coordination.invariant import Instance
from comity.coordination.picture import Effect, Picture, covers
from comity.coordination.ruling import Proposal
from comity.journal.world import Acted, Change, FieldValue, Touched


@dataclass(slots=True)
class Case:
    """A proposal being judged over a picture: the fields that it touches, and what was found out about it.

    `touched` are its changes, each with what the file says of its field; `effects` is all that it does, `fresh` what
    of that is judged. `unclear` is a field whose acts must come one after the other; `awaits` is what it is deferred
    for, `behind` the flight that it was found behind.
    """

    proposal: Proposal
    handling: Handling
    bound: Bound
    picture: Picture
    now_us: int
    fields: tuple[str, ...]
    touched: Sequence[tuple[Change, FieldSection]] = ()
    effects: tuple[Effect, ...] = ()
    fresh: tuple[Effect, ...] = ()
    findings: Sequence[tuple[Instance, Finding]] = ()
    unclear: str = ""
    awaits: Collection[str] = ()
    behind: str = ""
    would: tuple[str, ...] = ()

    @classmethod
    def of(cls, proposal: Proposal, handling: Handling, bound: Bound, picture: Picture, now_us: int) -> Case:
        """Return the case of a proposal that nothing has been found out about."""
        changes = bound.changes
        fields = (changes[0].field,) if len(changes) == 1 else tuple({change.field: None for change in changes})
        return cls(proposal, handling, bound, picture, now_us, fields)

    @property
    def actor(self) -> str:
        """Return who acts, as owners of claims are named."""
        return f"agent:{self.proposal.actor}"

    def repairs(self) -> bool:
        """Tell whether it improves an enforced invariant that is broken, and harms none."""
        is_better = False
        for instance, found in self.findings:
            if instance.is_enforced and (found.breaks or found.is_unknown):
                return False
            is_better = is_better or (instance.is_enforced and found.improves and found.is_broken)
        return is_better

    def keys(self) -> set[str]:
        """Return what it takes of others: room in invariants, fields."""
        return {*self.fields, *[instance.key for instance, found in self.findings if found.presses]}

    def acted(self) -> Acted:
        """Return the act as detectors see it."""
        proposal = self.proposal
        domains = dict.fromkeys(self.picture.world.domain_of(name) for name in self.fields)
        return Acted(
            self.now_us,
            proposal.call,
            proposal.actor,
            proposal.tool,
            self.told_changes(),
            proposal.reads,
            self.plan(),
            claims.under(self.bound.changes, self.actor, self.picture, self.now_us),
            proposal.caused_by,
            proposal.observation,
            tuple(name for name in domains if name),
            self.handling.section.destructive,
            proposal.task,
        )

    def look(self) -> None:
        """Find what it does, and what that means for each invariant."""
        self.follow()
        fresh = self.fresh = self._fresh()
        if self.unclear and all(effect.field != self.unclear for effect in fresh):
            self.unclear = ""
        met: dict[str, Instance] = {}
        for effect in self.effects:
            for item in self.picture.instances(effect.field):
                met.setdefault(item.key, item)
        found = []
        for item in met.values():
            effects = self.effects if item.has_windows else fresh
            found.append((item, judge(item, self.picture, effects, self.now_us)))
        self.findings = found

    def _fresh(self) -> tuple[Effect, ...]:
        """Return what a case does that is not judged yet: all, but for what takes back an act in doubt.

        Whether that act happened or not, its compensation leads to nothing that the act was not let through for. That
        is so where nobody has seen the fields since, and of what shows at once; windows count both.
        """
        undone = self.picture.flights.get(self.proposal.undoes)
        if undone is None or undone.phase == "done":
            return self.effects
        if any(self.picture.peek(effect.field).was_seen_since(undone) for effect in undone.effects):
            return self.effects
        return tuple(effect for effect in self.effects if effect.lag_us or not takes_back(effect, undone))

    def follow(self) -> None:
        """Find what the changes do, and what follows from them by dependencies; unknown where a `set` is from there."""
        made: list[Effect] = []
        now: dict[str, FieldValue] = {}
        for change in self.bound.changes:
            effect = Effect(change.field, change.op, change.value)
            made.append(effect)
            reached = self.picture.world.influences(change.field)
            if not reached:
                continue
            before = now[change.field] if change.field in now else self.picture.peek(change.field).at(self.now_us)
            now[change.field] = after = applied(before, effect)
            step = change.value if change.op == "add" else _difference(before, after)
            if self._is_set_in_flight(change):
                self.unclear = change.field
            elif step != 0:
                self.unclear = next((far.field for far in reached if self._is_being_set(far.field)), self.unclear)
            made += [
                Effect(far.field, "add", step * far.gain, _lag_us(far.lag_s))
                if is_number(step)
                else Effect(far.field, "set", None, _lag_us(far.lag_s))
                for far in reached
                if step != 0
            ]
        if len(made) > 1:
            made.sort(key=attrgetter("lag_us"))
        self.effects = tuple(made)

    def _is_set_in_flight(self, change: Change) -> bool:
        flying = self._flying(change.field)
        return bool(flying) and (change.op == "set" or any(effect.op == "set" for effect in flying))

    def _is_being_set(self, field: str) -> bool:
        """Tell whether a field that others follow is set in flight: a step of it changes what follows from that."""
        flying = self._flying(field)
        is_set = bool(flying) and any(effect.op == "set" for effect in flying)
        return is_set and bool(self.picture.world.influences(field))

    def _flying(self, field: str) -> Sequence[Effect]:
        flights = self.picture.on_field(field)
        return [effect for flight in flights for effect in flight.effects if effect.field == field] if flights else ()

    def settle_us(self) -> int:
        """Return how long after its outcome all of an act shows: the changes, then what follows from them."""
        touched = zip(self.touched, self.bound.settles_s, strict=True)
        settles_s = [section.settle_s if own_s is None else own_s for (_, section), own_s in touched]
        return round(max(settles_s, default=0.0) * 1e6) + (self.effects[-1].lag_us if self.effects else 0)

    def told_changes(self) -> tuple[Change, ...]:
        """Return the changes, with each field's value and version before and after."""
        told: list[Change] = []
        for change, section in self.touched:
            name, op, value = change.field, change.op, change.value
            state = self.picture.peek(name)
            after = applied(state.value, Effect(name, op, value))
            version = state.version + len(self.picture.on_field(name)) + 1
            told.append(Change(name, op, value, state.value, after, version, section.settle_s))
        return tuple(told)

    def told(self, changes: tuple[Change, ...], plan: str) -> Touched:
        """Return what the intent keeps of it."""
        return Touched(
            ticket=self.proposal.ticket,
            changes=changes,
            reads=self.proposal.reads,
            plan=plan,
            claim=claims.under(changes, self.actor, self.picture, self.now_us),
            caused_by=self.proposal.caused_by,
            would=self.would,
            observation=self.proposal.observation,
        )

    def plan(self) -> str:
        """Return the plan that the call is a step of: issued to it, over every field, with steps left."""
        plan = self.picture.plans.get(self.bound.plan) if self.bound.plan else None
        if plan is not None and plan.grant not in ("", self.proposal.actor):
            return ""  # it is somebody else's
        if plan is None or plan.until_us <= self.now_us or self.picture.plan_steps.get(plan.id, 0) >= plan.steps:
            return ""
        is_of_it = all(
            covers(plan.scope, change.field) and claims.goes(change, self.picture, plan.direction)
            for change in self.bound.changes
        )
        return plan.id if is_of_it else ""


def _difference(before: FieldValue, after: FieldValue) -> float | None:
    """Return by how much a number changes: nothing for what is no number, None where it is not known."""
    if before is None or after is None:
        return None
    return after - before if isinstance(before, int | float) and isinstance(after, int | float) else 0.0


def _lag_us(lag_s: float) -> int:
    return max(1, round(lag_s * 1e6))
