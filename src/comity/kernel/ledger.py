"""The ledger: what a task's journal adds up to. A pure fold of its entries; the same after a crash as before it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from comity.core.codec import Digest, decode
from comity.core.errors import Retry
from comity.core.ids import Id
from comity.journal.budget import NO_COST, Budget, Cost, Usage
from comity.journal.call import CallKey, Delivered, Kind, Status
from comity.journal.entry import (
    Asked,
    Attempted,
    Body,
    Context,
    Continued,
    Created,
    Ended,
    Entry,
    Evidence,
    Incarnated,
    Intent,
    Moved,
    Outcome,
    Progressed,
    Received,
    Reopened,
    Resolved,
    Rethought,
    Verified,
    Waiting,
)
from comity.journal.segment import EMPTY_HEAD, NOTHING, Payload
from comity.journal.spec import Effect
from comity.journal.task import Wake


@dataclass(slots=True)
class Record:
    """One call as the journal knows it. `order` is the seq of the entry that settled it, 0 while it is open."""

    seq: int
    key: CallKey
    digest: Digest
    args: Payload
    at_us: int
    round: int = 0
    effect: Effect | None = None
    generation: int = 0
    attempt: int = 1
    reserve: Cost = NO_COST
    once: str = ""
    context: Context | None = None
    cleans: int = 0
    performed: Payload | None = None
    waiting: Waiting | None = None
    meant: bool = False
    unknown: str = ""
    idle: bool = False
    repeated: bool = False
    held: bool = False
    evidence: Evidence | None = None
    order: int = 0
    status: Status = Status.UNKNOWN
    result: Payload = NOTHING
    code: str = ""
    error: str = ""
    hint: str = ""
    retry: Retry = "never"
    happened: bool = False
    compensated: bool = False
    cost: Cost = NO_COST
    incarnation: int = 0
    consumed: int = 0

    @property
    def open(self) -> bool:
        """Tell whether nothing has settled the call yet."""
        return self.order == 0

    @property
    def in_doubt(self) -> bool:
        """Tell whether the call was meant, and nobody knows how it ended."""
        return self.meant and self.order == 0 and not self.held

    def delivered(self, value: bytes) -> Delivered:
        """Return the settled call's outcome as a brain gets it; `value` is what `result` says."""
        done = self.status is Status.DONE
        return Delivered(self.status, value if done else b"null", self.code, self.error, self.hint, self.retry)


@dataclass(slots=True)
class Ledger:
    """The state of one task, folded from its journal by `apply`."""

    task: Id
    created: Created | None = None
    budget: Budget = field(default_factory=Budget)
    last_seq: int = 0
    incarnation: int = 0
    session_head: Digest | None = None
    round: int = 0
    calls: dict[int, Record] = field(default_factory=dict)
    open: dict[int, Record] = field(default_factory=dict)
    by_key: dict[CallKey, Record] = field(default_factory=dict)
    contexts: dict[Digest, Context] = field(default_factory=dict)
    signals: dict[str, list[Received]] = field(default_factory=dict)
    answers: dict[int, Received] = field(default_factory=dict)
    children: dict[str, Any] = field(default_factory=dict)
    children_ended: dict[str, Any] = field(default_factory=dict)
    carved: dict[str, Budget] = field(default_factory=dict)
    used: Cost = NO_COST
    reserved: Cost = NO_COST
    counts: dict[str, int] = field(default_factory=dict)
    state: Payload = NOTHING
    cancel_asked: bool = False
    paused: bool = False
    retry: dict[str, Any] | None = None
    resolutions: dict[int, dict[str, Any]] = field(default_factory=dict)
    ended: Ended | None = None
    facts: int = 0
    adopted: int = 0
    adopted_before: int = 0
    """The outside program that was adopted before this node took the task."""
    idle_adoptions: int = 0
    facts_at_adoption: int = -1
    finish: Payload | None = None

    def replay(self, entries: Iterable[Entry]) -> Ledger:
        """Fold `entries` and return the ledger."""
        for item in entries:
            self.apply(item, item.read())
        self._forget_open_copies()
        self.adopted_before = self.adopted
        return self

    @property
    def usage(self) -> Usage:
        """Return what was used and what open calls and children hold."""
        return Usage(self.used, self.reserved, dict(self.counts))

    @property
    def is_limited(self) -> bool:
        """Tell whether the task has a budget at all."""
        return self.budget is not NO_BUDGET and self.budget != NO_BUDGET

    @property
    def copied(self) -> int:
        """Return how many entries are another task's, copied: what they tell of was not done by this one."""
        return self.created.forked_at if self.created is not None else 0

    @property
    def is_rehearsed(self) -> bool:
        """Tell whether this is a fork whose effects are answered from its origin."""
        return self.created is not None and bool(self.created.forked_from) and not self.created.live

    def apply(self, item: Entry, body: Body) -> None:
        """Fold one entry."""
        self.last_seq = item.seq
        if type(body) not in _NO_FACTS and not (type(body) is Received and body.kind == "order"):
            self.facts += 1
        handler = self._APPLY.get(type(body))
        if handler is not None:
            handler(self, item, body)

    def open_calls(self) -> list[Record]:
        """Return the calls that nothing has settled, oldest first."""
        return list(self.open.values())

    def signal_for(self, record: Record) -> Received | None:
        """Return the signal that a waiting call gets: the n-th of its name goes to the n-th call that took one."""
        name = record.key.name
        taken = sum(
            1
            for other in self.by_key.values()
            if other.key.kind == Kind.SIGNAL
            and other.key.name == name
            and other.status is Status.DONE
            and not other.open
        )
        came = self.signals.get(name, [])
        return came[taken] if taken < len(came) else None

    def drop_from(self, seq: int) -> None:
        """End recall of the calls that were asked at or after `seq`."""
        for record in [record for record in self.by_key.values() if record.seq >= seq]:
            self._forget(record)

    def _forget(self, record: Record) -> None:
        """Recall a call no more; one that was meant stays open until its end is known, one that only waits is over."""
        del self.by_key[record.key]
        if not record.meant:
            self.open.pop(record.seq, None)

    def _forget_deferred(self) -> None:
        """An outside program that is replaced wants nothing any more that was not meant; its successor may ask anew."""
        for record in self.open_calls():
            is_deferred = record.waiting is not None and record.waiting.condition == Wake.DEFERRED
            if is_deferred and not record.meant and not record.cleans and self.by_key.get(record.key) is record:
                self._forget(record)

    def _forget_open_copies(self) -> None:
        """A fork does not inherit its origin's open calls: its own agent asks them anew."""
        if self.created is None or not self.created.forked_at:
            return
        for record in self.open_calls():
            if record.seq <= self.created.forked_at:
                self.calls.pop(record.seq)
                self.open.pop(record.seq)
                if self.by_key.get(record.key) is record:
                    del self.by_key[record.key]
                self.reserved -= record.reserve

    def _record(self, item: Entry, asked: Asked) -> Record:
        key = CallKey(item.branch, item.kind, asked.name, asked.occurrence)
        record = Record(item.seq, key, asked.digest, asked.args, item.at_us, asked.round)
        record.incarnation = self.incarnation if item.seq > self.copied else 0
        if item.branch.startswith("~"):
            record.cleans = int(item.branch[1:].partition(".")[0])
        earlier = self.by_key.get(key)
        has_waited = earlier is not None and earlier.open and not earlier.meant
        if earlier is not None and has_waited:
            self.calls.pop(earlier.seq)
            self.open.pop(earlier.seq)
        self.calls[item.seq] = record
        if asked.round != self.round and not has_waited and not record.cleans:
            return record  # it was asked in a history that has been closed since: nobody waits for it
        self.open[item.seq] = record
        self.by_key[key] = record
        return record

    def _created(self, _item: Entry, body: Created) -> None:
        self.created = body
        self.budget = body.budget

    def _incarnated(self, _item: Entry, body: Incarnated) -> None:
        if self.adopted and body.incarnation != self.incarnation:
            self._forget_deferred()
        self.incarnation = body.incarnation
        if self.session_head is None:
            self.session_head = body.session_head

    def _intent(self, item: Entry, body: Intent) -> None:
        record = self._record(item, body.asked)
        record.effect = Effect(body.effect) if body.effect else None
        record.meant = True
        record.generation = body.generation
        record.reserve = body.reserve
        record.once = body.once
        record.cleans = body.cleans
        record.consumed = body.consumed
        record.performed = body.args if body.performed else None
        record.context = body.context
        if body.context is not None and body.context.head != EMPTY_HEAD:
            self.contexts.setdefault(body.context.head, body.context)
        self.reserved += body.reserve
        name = body.effect or item.kind
        self.counts[name] = self.counts.get(name, 0) + 1

    def _outcome(self, item: Entry, body: Outcome) -> None:
        if body.asked is not None:
            record = self._record(item, body.asked)
            if item.kind == Kind.TOOL and body.status is not Status.REFUSED:
                self.counts["read"] = self.counts.get("read", 0) + 1
        else:
            record = self.calls[body.call]
        record.attempt = max(record.attempt, body.attempt)
        if body.status is Status.UNKNOWN:
            record.unknown = body.problem.error if body.problem is not None else "unknown"
            return
        self._release(record, body.cost or NO_COST)
        record.status, record.result, record.happened = body.status, body.result, body.happened
        if body.problem is not None:
            problem = body.problem
            record.code, record.error = problem.code, problem.error
            record.hint, record.retry = problem.hint, problem.retry
        record.held = body.held
        if not record.held:
            self._settle(record, item.seq)

    def _settle(self, record: Record, order: int) -> None:
        record.order = order
        self.open.pop(record.seq, None)
        if record.key.kind == Kind.SPAWN and record.status is Status.DONE:
            made = decode(record.result.inline)
            if order > self.copied:  # a fork has no part in its origin's children
                self.children[made["task"]] = made
            self.carved[made["task"]] = carved = _budget(made.get("budget"))
            self.reserved += Cost(carved.tokens or 0, 0, carved.usd_micro or 0)
            self._count(carved.calls, 1)
        if record.cleans and "/~compensate" in record.key.branch and record.status is Status.DONE:
            self.calls[record.cleans].compensated = True

    def _count(self, calls: dict[str, int], sign: int) -> None:
        for name, number in calls.items():
            self.counts[name] = self.counts.get(name, 0) + sign * number

    def _release(self, record: Record, cost: Cost) -> None:
        self.reserved -= record.reserve
        record.reserve = NO_COST
        record.cost = record.cost + cost
        self.used += cost

    def _waiting(self, item: Entry, body: Waiting) -> None:
        record = self._record(item, body.asked) if body.asked is not None else self.calls[body.call]
        record.waiting = body
        record.context = body.context

    def _resolved(self, item: Entry, body: Resolved) -> None:
        record = self.calls[body.call]
        record.unknown = ""
        record.evidence = None
        self.resolutions.pop(body.call, None)
        self.used += body.cost
        if body.verdict == "again":
            record.generation = body.generation
            record.attempt += 1
            record.compensated = record.idle = record.repeated = False
            return
        self._release(record, NO_COST)
        if body.verdict == "happened":
            record.status, record.result, record.happened = Status.DONE, body.result, True
        else:
            record.status, record.code, record.retry = Status.FAILED, "not_happened", "rethink"
            record.error = body.note or "it did not happen"
        self._settle(record, item.seq)

    def _evidence(self, _item: Entry, body: Evidence) -> None:
        record = self.calls.get(body.call)
        if record is not None and record.open and record.attempt == body.attempt:
            record.evidence = body

    def _received(self, item: Entry, body: Received) -> None:
        if body.kind == "signal":
            self.signals.setdefault(body.name, []).append(body)
        elif body.kind == "answer":
            self.answers[int(body.name)] = body
        elif body.kind == "child":
            self._child_ended(body.name, decode(body.value.inline))
        elif body.kind == "order" and body.name == "finish":
            self.finish = body.value
        elif body.kind == "order" and body.name == "adopt":
            if item.seq > self.copied:  # a fork's program is another one than its origin's
                self._adopted(decode(body.value.inline)["incarnation"])
        elif body.kind == "order":
            self._ordered(body.name, decode(body.value.inline or b"null") or {})

    def _child_ended(self, child: str, value: dict[str, Any]) -> None:
        self.children_ended[child] = value
        carved = self.carved.pop(child, None)
        if carved is not None:
            self.reserved -= Cost(carved.tokens or 0, 0, carved.usd_micro or 0)
            self._count(carved.calls, -1)
        spent = value.get("usage", {})
        self.used += Cost(spent.get("tokens_in", 0), spent.get("tokens_out", 0), spent.get("usd_micro", 0))
        self._count(spent.get("calls", {}), 1)

    def _ordered(self, name: str, value: dict[str, Any]) -> None:
        if name == "cancel":
            self.cancel_asked = True
        elif name == "pause":
            self.paused = True
        elif name == "resume":
            self.paused = False
            self.idle_adoptions = 0
            if value.get("budget"):
                self.budget = _raised(self.budget, value["budget"])
        elif name == "retry":
            self.retry = value
        elif name == "resolve":
            record = self.calls.get(value["call"])
            if record is not None and record.in_doubt and value.get("attempt", record.attempt) == record.attempt:
                self.resolutions[value["call"]] = value

    def _adopted(self, incarnation: int) -> None:
        """Count how often in a row an outside program began anew though the one before had left nothing."""
        was_idle = self.facts == self.facts_at_adoption
        self.adopted, self.facts_at_adoption, self.finish = incarnation, self.facts, None
        self.idle_adoptions = self.idle_adoptions + 1 if was_idle else 0

    def _rethought(self, _item: Entry, body: Rethought) -> None:
        self.drop_from(body.from_seq)
        self.round = body.round
        self.ended = None
        self.retry = None
        self.finish = None

    def _reopened(self, _item: Entry, body: Reopened) -> None:
        self.ended = None
        self.retry = None
        self.finish = None
        record = self.calls.get(body.call)
        if record is not None and record.key in self.by_key:
            self._forget(record)

    def _continued(self, _item: Entry, body: Continued) -> None:
        self.state = body.state
        self.round = body.round
        for record in list(self.by_key.values()):
            self._forget(record)

    def _ended(self, _item: Entry, body: Ended) -> None:
        self.ended = body

    def _verified(self, item: Entry, body: Verified) -> None:
        record = self.calls[body.call]
        record.held = False
        if not body.passed:
            record.status, record.code, record.retry = Status.FAILED, "verification_failed", "rethink"
            record.error = body.reason or "the verifier did not pass the result"
        self._settle(record, item.seq)

    def _attempted(self, _item: Entry, body: Attempted) -> None:
        """Count an attempt. Where one that may have happened came before it, the call is never idle again."""
        record = self.calls[body.call]
        record.attempt = body.attempt
        record.repeated = record.repeated or (body.starts and not record.idle)
        record.idle = not body.starts and not record.repeated
        record.unknown = ""

    _APPLY: ClassVar[dict[type, Any]] = {
        Created: _created,
        Incarnated: _incarnated,
        Intent: _intent,
        Outcome: _outcome,
        Waiting: _waiting,
        Resolved: _resolved,
        Evidence: _evidence,
        Received: _received,
        Rethought: _rethought,
        Reopened: _reopened,
        Continued: _continued,
        Ended: _ended,
        Verified: _verified,
        Attempted: _attempted,
    }


NO_BUDGET = Budget()
_NO_FACTS = frozenset({Incarnated, Moved, Progressed})
"""What a brain that dies again and again can leave each time."""


def _budget(value: dict[str, Any] | None) -> Budget:
    return Budget(**value) if value else Budget()


def _raised(budget: Budget, changes: dict[str, Any]) -> Budget:
    fields = {name: getattr(budget, name) for name in Budget.__struct_fields__}
    fields["calls"] = {**budget.calls, **changes.get("calls", {})}
    fields.update({name: value for name, value in changes.items() if name != "calls"})
    return Budget(**fields)
