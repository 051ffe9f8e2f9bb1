"""A call on its way: what the seven steps have found out about it so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from comity.core.codec import Digest, digest
from comity.journal.budget import NO_COST, Budget, Cost
from comity.journal.call import Call, CallKey, Kind, Permit, idempotency_key, ticket_of
from comity.journal.entry import Asked, Context
from comity.journal.ports import ModelLimits, View
from comity.journal.segment import NOTHING, Payload, Segment
from comity.journal.spec import Effect, ToolSpec
from comity.journal.task import NewTask
from comity.journal.verdict import Allow, Park
from comity.kernel import budget
from comity.kernel.ledger import Record

if TYPE_CHECKING:
    from comity.kernel.run import Run


@dataclass(slots=True)
class Passage:
    """One call of one run. `asked` is what the agent asked, `call` what a gate may have trimmed it to."""

    run: Run
    asked: Call
    call: Call
    cleans: int = 0
    spec: ToolSpec | None = None
    effect: Effect | None = None
    context: Context | None = None
    limits: ModelLimits | None = None
    reserve: Cost = NO_COST
    allowed: Allow = field(default_factory=Allow)
    record: Record | None = None
    is_meant: bool = False
    is_reading: bool = False
    again: bool = False
    child: NewTask | None = None
    carved: Budget | None = None
    since_s: float = 0.0
    round: int = 0
    incarnation: int = 0
    is_replaced: bool = False
    waits: int = 0
    waited: Record | None = None
    tries: int = 0
    digest: Digest = b""
    args: Payload = NOTHING
    segments: tuple[Segment, ...] = ()

    @property
    def acts(self) -> bool:
        """Tell whether the call needs a durable intent: an effect, or a model call (which costs money)."""
        return self.call.kind == Kind.MODEL or (self.effect is not None and self.effect.acts)

    @property
    def budget_name(self) -> str:
        """Return the class under which the call is counted."""
        if self.effect is None:
            return self.call.kind
        return str(self.effect) if self.effect.acts else "read"

    def view(self) -> View:
        """Return the snapshot that gates judge by."""
        undone = self.run.ledger.calls.get(self.cleans) if is_compensation(self.asked.key) else None
        ticket = ticket_of(self.run.row.id, undone.key, undone.round) if undone is not None else ""
        return self.run.view(self.spec, self.waits, ticket)

    def over_budget(self, *, is_counted: bool = False) -> Park | None:
        """Return why the call would break the task's budget, counting everything that is reserved by now; else None.

        A call that is made again is counted already; what it may cost is not.
        """
        run = self.run
        if not run.ledger.is_limited or self.cleans or not (self.acts or self.effect is not None):
            return None
        elapsed_s = (run.kernel.clock.wall_us() - run.row.created_us) / 1e6
        name, usage = "" if is_counted else self.budget_name, run.ledger.usage
        if run.reading:
            usage.calls["read"] = usage.calls.get("read", 0) + run.reading
        return budget.over(run.ledger.budget, usage, name, self.reserve, elapsed_s)

    @property
    def is_stale(self) -> bool:
        """Tell whether the history in which the call was asked is closed, or thought anew."""
        ledger = self.run.ledger
        if self.cleans:
            return False
        if self.waited is not None:
            return ledger.by_key.get(self.asked.key) is not self.waited
        if self.run.is_outside and self.incarnation != ledger.incarnation:
            return True
        return self.is_replaced or self.round != ledger.round

    @property
    def is_dropped(self) -> bool:
        """Tell whether nobody wants the call any more, so that it must not be meant."""
        run = self.run
        is_over = run.ledger.cancel_asked or (self.waited is not None and run.finished is not None)
        return self.is_stale or (is_over and not self.cleans)

    def withheld(self) -> Park | None:
        """Return why the call must not be meant after all, when its append's turn has come; else None."""
        self.expect_start()
        return Park("dropped", "nobody wants the call any more") if self.is_dropped else self.over_budget()

    def asked_entry(self) -> Asked:
        """Return the call as the journal keeps it."""
        return Asked(self.asked.name, self.asked.occurrence, self.digest, self.args, self.round)

    async def performed_args(self) -> bytes:
        """Return the arguments that are performed: the asked ones, unless a gate trimmed them."""
        if self.record is not None and self.record.performed is not None:
            return await self.run.content(self.record.performed)
        return self.call.args

    def expect_start(self) -> None:
        """Count the permit from now: the append that allows an attempt is about to be sent; a stop waits for it.

        Asked when the append's turn has come: a queue of appends that is longer than a permit must not outlast all.
        """
        self.since_s = self.run.kernel.clock.monotonic_s()
        self.run.starts[id(self)] = self.expires_s

    @property
    def expires_s(self) -> float:
        """Return when the permit ends (monotonic)."""
        kernel = self.run.kernel
        return min(self.since_s + kernel.settings.permit_s, kernel.lease.start_until_s)

    def permit(self) -> Permit:
        """Return the right to start one attempt, counted from before the append that allowed it was sent."""
        record = self.record
        expires_s = self.expires_s
        if record is None:
            key = idempotency_key(self.run.row.id, self.run.ledger.round, self.asked.key, 0)
            return Permit(self.run.row.id, 0, self.tries + 1, expires_s, key)
        key = idempotency_key(self.run.row.id, record.round, record.key, record.generation)
        return Permit(self.run.row.id, record.seq, record.attempt, expires_s, key)


async def passage_for(run: Run, call: Call, cleans: int = 0) -> Passage:
    """Return the passage of a call that starts now."""
    args, segments = await run.journal.keep(call.args)
    made = Passage(run, call, call, cleans, digest=digest(call.args), args=args, segments=segments)
    made.round = run.ledger.round
    made.incarnation = run.ledger.incarnation
    _declare(made)
    return made


def passage_of(run: Run, record: Record, args: bytes) -> Passage:
    """Return the passage of a call that the journal holds open."""
    call = call_of(record.key, args)
    made = Passage(run, call, call, record.cleans, digest=record.digest, args=record.args)
    made.context = record.context
    made.round = run.ledger.round
    made.record = record if record.meant else None
    made.waited = None if record.meant else record
    made.waits = record.waiting.n if record.waiting is not None else 0
    made.reserve = record.reserve
    _declare(made)
    return made


def call_of(key: CallKey, args: bytes) -> Call:
    """Return the call that a record was made of."""
    return Call(key.branch, key.kind, key.name, key.occurrence, args)


def _declare(made: Passage) -> None:
    if made.call.kind == Kind.TOOL:
        made.spec = made.run.tools.get(made.call.name)
        made.effect = made.spec.effect if made.spec else Effect.IRREVERSIBLE
    elif made.call.kind == Kind.MODEL:
        made.limits = made.run.kernel.model.limits(made.call.name)


__all__ = ["Passage", "call_of", "passage_for", "passage_of"]


def is_compensation(key: CallKey) -> bool:
    """Tell whether a call takes back another one."""
    return key.branch.startswith("~") and key.branch.endswith("compensate")
