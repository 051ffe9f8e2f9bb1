"""One task on this node: its brain, its calls under way, and what happens when all of them are quiet.

Everything that happens (a step of the brain, a settled call, mail, a stop, an alarm) sets `_changed`; `_look` then
decides what follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import msgspec

from comity.core.codec import Digest, digest
from comity.core.errors import ComityError, Stopped
from comity.core.ids import show_id
from comity.core.limits import BRANCH_CHARS_MAX, NAME_CHARS_MAX, NEVER_US
from comity.journal.budget import Cost
from comity.journal.call import Call, CallKey, Kind, Permit
from comity.journal.entry import Context, Outcome, Progressed
from comity.journal.ports import Brain, View
from comity.journal.protocol import Deliver, Divergence, Finished, Start, Stepped, Streamed
from comity.journal.recall import asked
from comity.journal.segment import EMPTY_HEAD, Payload, Segment
from comity.journal.spec import AgentSpec, ToolSpec
from comity.journal.task import State, TaskRow
from comity.journal.verdict import Park, Wait
from comity.kernel import ending, opening, waits
from comity.kernel.clean import clean_up
from comity.kernel.context import Contexts, early
from comity.kernel.journal import Journal, With
from comity.kernel.ledger import Ledger, Record
from comity.kernel.passage import Passage
from comity.kernel.path import travel
from comity.kernel.stops import scopes_of

if TYPE_CHECKING:
    from comity.kernel.kernel import Kernel


class Run:
    """A task that this node holds, from take to release."""

    def __init__(self, kernel: Kernel, row: TaskRow) -> None:
        """Hold the task of `row`; `live` runs it."""
        self.kernel = kernel
        self.row = row
        self.ledger = Ledger(row.id)
        self.journal = Journal(kernel.store, kernel.clock, row, self.ledger, kernel.on_entry)
        self.contexts = Contexts(kernel.patient, row.tenant)
        self.agent: AgentSpec | None = None
        self.version = row.agent_version
        self.tools: dict[str, ToolSpec] = {}
        self.scopes = scopes_of(row)
        self.origin_ledger: Ledger | None = None
        self.root = b""
        self.answered: set[int] = set()
        self.under_way: dict[tuple[int, int, CallKey], Digest] = {}
        self.permits: dict[int, Permit] = {}
        self.starts: dict[int, float] = {}
        self.reacting = asyncio.Lock()
        self.reading = 0
        self.persons: dict[int, str] = {}
        self.parking: Park | None = None
        self.is_draining = False
        self.cancelled: set[str] = set()
        self.is_cancelling = row.state is State.CANCELLING
        self.is_over = False
        self.is_lost = False
        self.finished: Finished | None = None
        self.diverged: Divergence | None = None
        self.brain: Brain | None = None
        self._is_told = False
        self.gone: str | None = None
        self.deaths = 0
        self.facts_at_start = 0
        self.has_mail = False
        self._linger_until_us = 0
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._deferring = 0
        self._unanswered = 0
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_us = 0
        self._living: asyncio.Task[None] | None = None

    # What the run does, from take to release

    async def live(self) -> None:
        """Run the task until it has ended, waits, is parked, or is lost."""
        self._living = asyncio.current_task()
        try:
            await opening.open_run(self)
            while not self.is_over:
                await self._look()
                if not self.is_over:
                    await self._changed.wait()
                self._changed.clear()
        except Stopped:
            self.is_lost = True
        except asyncio.CancelledError:
            if not self.journal.is_lost:
                raise
            self.is_lost = True
        finally:
            await self._leave()

    async def _look(self) -> None:
        self._changed.clear()
        if self._failure is not None:
            raise self._failure
        if self.has_mail:
            self.has_mail = False
            await opening.take_mail(self)
        now_us = self.kernel.clock.wall_us()
        if waits.next_due_us(self) <= now_us:
            await waits.react(self)
        if self.ledger.cancel_asked and not self.is_over:
            await ending.cancel(self)
        elif self.is_parking or self.is_draining:
            await self._halt()
        elif self.gone is not None:
            await opening.restart_brain(self)
        elif self.is_quiet:
            await self._quiet()
        if not self.is_over:
            self._arm(now_us)

    def _arm(self, now_us: int) -> None:
        """Have the alarm ring when the next of what waits is due, though calls be under way.

        Whatever came due since `now_us`, when this look began, rings at once: it has not been seen.
        """
        moments = [at_us for at_us in (waits.next_due_us(self), self._linger_until_us) if now_us < at_us < NEVER_US]
        if moments and (self._alarm_us <= now_us or self._alarm_us > min(moments)):
            self._set_alarm(min(moments))

    async def _halt(self) -> None:
        await self.kill_brain()
        if not self.busy:
            await ending.park(self) if self.is_parking else await ending.release(self)

    async def _quiet(self) -> None:
        if self.diverged is not None:
            await ending.diverge(self)
        elif self.is_outside and any(self._person_needed(record) for record in self.ledger.open_calls()):
            await ending.park_in_doubt(self)
        elif self.finished is not None:
            await ending.finish(self)
        elif not self.ledger.open_calls() and not self.is_outside:
            self.finished = Finished(
                code="blocked", error="the agent waits for something that no call of it will bring"
            )
            await ending.finish(self)
        elif any(self._person_needed(record) for record in self.ledger.open_calls()):
            await ending.park_in_doubt(self)
        elif not self.is_outside:
            await self._linger()

    def _person_needed(self, record: Record) -> bool:
        return record.seq in self.persons

    async def _linger(self) -> None:
        """Keep the worker for a moment, in case what the task waits for comes at once; then let it go."""
        due_us = waits.next_due_us(self)
        now_us = self.kernel.clock.wall_us()
        linger_us = int(self.kernel.settings.linger_s * 1e6)
        if not self._linger_until_us:
            self._linger_until_us = now_us + linger_us
        if self._linger_until_us <= now_us and due_us > now_us + linger_us:
            await ending.suspend(self, due_us)

    def _set_alarm(self, at_us: int) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_us = at_us
        self._alarm = asyncio.ensure_future(self._ring((at_us - self.kernel.clock.wall_us()) / 1e6))

    async def _ring(self, seconds: float) -> None:
        await self.kernel.clock.sleep(seconds)
        self._alarm_us = 0  # it may be early: the wall clock may have gone back
        self.wake()

    def leave_as(self, state: State, reason: str = "") -> None:
        """Take note that the task was given up in `state`; its row here says so too."""
        self.row = msgspec.structs.replace(self.row, state=state, reason=reason)
        self.is_over = True

    async def _leave(self) -> None:
        self.is_over = True
        if self._alarm is not None:
            self._alarm.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.kill_brain()

    # What is going on

    @property
    def busy(self) -> int:
        """Return how many calls are between *recall* and *settle* and do not merely wait."""
        return len(self._tasks) - self._deferring

    @property
    def is_quiet(self) -> bool:
        """Tell whether nothing moves: no call under way, and the brain is blocked, has ended or diverged."""
        return self.busy == 0 and self._unanswered == 0

    @property
    def is_parking(self) -> bool:
        """Tell whether the task is to be parked as soon as its calls are quiet."""
        return self.parking is not None

    def wake(self) -> None:
        """Have the run look at what has changed."""
        self._changed.set()

    def mail(self) -> None:
        """Tell the run that its inbox has messages."""
        self.has_mail = True
        self.wake()

    @property
    def is_outside(self) -> bool:
        """Tell whether the brain is a program of its own, which comes in by the gateway."""
        return self.agent is not None and self.agent.kind == "outside"

    def label(self, key: CallKey) -> str:
        """Return a call's name as people and records show it."""
        return f"{key.branch or '.'}/{key.kind}/{key.name}/{key.occurrence}"

    def view(self, tool: ToolSpec | None, waits: int = 0, undoes: str = "") -> View:
        """Return the snapshot that gates judge by; `waits` is how often the call has waited already.

        `undoes` is the ticket of the act that the call takes back.
        """
        created = self.ledger.created
        assert created is not None
        return View(
            self.row.id,
            self.row.tenant,
            self.row.session,
            self.row.agent,
            self.version,
            created.grant,
            self.ledger.budget,
            self.ledger.usage,
            tool,
            "",
            self.ledger.is_rehearsed,
            self.ledger.round,
            waits,
            self.ledger.last_seq,
            undoes,
        )

    # The brain's side

    def adopt(self, brain: Brain) -> None:
        """Take a new brain; it knows nothing until `send_start`, and may die before."""
        self.brain = brain
        self._is_told = False
        self._expect_step()

    def send_start(self, message: Start) -> None:
        """Give the brain its history; what is settled from now on is delivered."""
        if self.brain is not None:
            self._is_told = True
            self.brain.send(message)

    def on_step(self, step: Stepped) -> None:
        """Take what the brain did: calls, words of progress, its end or a divergence."""
        if self.is_over or self.brain is None:
            return
        self._unanswered = max(self._unanswered - 1, 0)
        for said in step.said:
            self.spawn(self._say(said.branch, said.text, said.fraction))
        for call in step.calls:
            self.call(call)
        if step.diverged is not None:
            self.diverge(step.diverged)
        if step.finished is not None:
            self.finished = step.finished
        if step.stalled:
            self.ask_to_park("stalled", step.stalled)
        if step.calls:
            self._linger_until_us = 0
        if not self._tasks or step.finished or step.diverged:
            self.wake()

    def on_gone(self, why: str) -> None:
        """Take the death of the brain."""
        if self.is_over or self.brain is None:
            return
        self.brain = None
        self._unanswered = 0
        if self.finished is None and self.diverged is None:
            self.gone = why
        self.wake()

    async def kill_brain(self) -> None:
        """End the brain; its calls go on."""
        brain, self.brain = self.brain, None
        self._unanswered = 0
        if brain is not None:
            await brain.kill()

    def deliver(self, record: Record, value: bytes) -> None:
        """Give a settled call's outcome to the brain; a brain that is not there finds it in its history."""
        self.persons.pop(record.seq, None)
        if record.cleans or self.brain is None or not self._is_told or self.ledger.by_key.get(record.key) is not record:
            return
        head = record.context.head if record.context is not None else EMPTY_HEAD
        self._expect_step()
        self.brain.send(Deliver(record.order, *record.key, record.delivered(value), head))

    def _expect_step(self) -> None:
        """Count a message that the brain answers with a step; an outside program thinks for as long as it likes."""
        if not self.is_outside:
            self._unanswered += 1

    def stream(self, key: CallKey, attempt: int, raw: bytes) -> None:
        """Show an outside program a piece of a model's answer that may go out before its outcome is durable."""
        if self.brain is not None and self._is_told:
            self.brain.stream(Streamed(*key, attempt, raw))

    def diverge(self, found: Divergence) -> None:
        """Note that agent and journal disagree; the policy is applied once all is quiet."""
        self.diverged = self.diverged or found
        self.wake()

    async def _say(self, branch: str, text: str, fraction: float | None) -> None:
        await self.journal.ride(branch, Kind.TASK, Progressed(text[:2_000], fraction))
        self.kernel.on_progress(self.row.id, text, fraction)

    # The calls' side

    def call(self, call: Call) -> None:
        """Take a call of the brain on its way."""
        if call.branch.startswith("~") or len(call.branch) > BRANCH_CHARS_MAX or len(call.name) > NAME_CHARS_MAX:
            self._failure = ComityError(
                "bad_call", f"call `{call.name[:80]}` has a name or branch that no agent may use"
            )
            self.wake()
        elif call.kind == Kind.CONTINUE:
            self.spawn(ending.continue_with(self, call))
        else:
            self.spawn(self._travel(call))

    def here(self, key: CallKey) -> tuple[int, int, CallKey]:
        """Return what names a call that is under way: what an outside program asked, its successor did not."""
        return self.ledger.round, self.ledger.incarnation if self.is_outside else 0, key

    async def _travel(self, call: Call) -> None:
        """Take a call on its way; one that is on it already, for a brain that has died since, is joined."""
        here = self.here(call.key)
        first = self.under_way.get(here)
        if first is not None:
            if first != digest(call.args):
                told = f"{call.kind} `{call.name}` #{call.occurrence} under way with other arguments"
                self.diverge(Divergence(self.ledger.last_seq + 1, call.branch, told, asked(call)))
            return
        self.under_way[here] = digest(call.args)
        try:
            await travel(self, call)
        finally:
            del self.under_way[here]

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run `work` beside; the run is not quiet before it ends, and fails with it."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = self._failure or error
        self.wake()

    def ask_to_park(self, reason: str, detail: str) -> None:
        """Park the task as soon as its calls are quiet; the first reason stands."""
        if self.parking is None:
            self.parking = Park(reason, detail)
        self.wake()

    def needs_person(self, record: Record, why: str) -> None:
        """Leave a doubt to a person."""
        self.persons[record.seq] = why
        self.wake()

    @property
    def starts_until_s(self) -> float:
        """Return the last moment (monotonic) at which an attempt that was allowed here may still start."""
        expected = (permit.expires_s for permit in self.permits.values())
        return max((*expected, *self.starts.values()), default=0.0)

    def lose(self) -> None:
        """Take note that the task has another owner: nothing more is appended, results under way become evidence."""
        self.journal.is_lost = True
        self._failure = self._failure or Stopped("the node's lease was lost")
        if self._living is not None:
            self._living.cancel()  # it may look at what takes long, a compensation say

    def started(self, permit: Permit) -> None:
        """Remember an attempt that may be running."""
        self.permits[id(permit)] = permit

    def stopped_performing(self, permit: Permit) -> None:
        """Forget an attempt that ended."""
        self.permits.pop(id(permit), None)

    def end_attempts(self) -> None:
        """Ask the hands to end what still runs: a person cancelled the task."""
        for permit in list(self.permits.values()):
            self.kernel.end_attempt(permit)

    def progressed(self, call: Call, text: str, fraction: float | None) -> None:
        """Pass a tool's word of progress on to whoever watches."""
        self.kernel.on_progress(self.row.id, f"{call.name}: {text}", fraction)

    async def deferred(self, passage: Passage, verdict: Wait) -> None:
        """Wait until a gate's condition may have changed; the task may be suspended meanwhile."""
        self._deferring += 1
        self.wake()
        try:
            await self.kernel.wait_for(verdict.on, verdict.seen, verdict.until_us)
        finally:
            self._deferring -= 1

    async def clean_up(self, record: Record, what: str, tool: str, args: bytes) -> tuple[bool, bytes] | None:
        """Reconcile, compensate or verify by a journaled call of its own; see `clean.clean_up`."""
        return await clean_up(self, record, what, tool, args)

    async def settle_small(self, branch: str, kind: str, outcome: Outcome, segments: tuple[Segment, ...]) -> None:
        """Record an outcome that rides with the next append; one that leaves for an outside program is durable now."""
        if self.is_outside:
            await self.journal.append([(branch, kind, outcome)], With(segments=segments))
        else:
            await self.journal.ride(branch, kind, outcome, segments)

    # Contents

    async def content(self, payload: Payload, segments: tuple[Segment, ...] = ()) -> bytes:
        """Return what a payload says."""
        if not payload.sha256:
            return payload.inline or b"null"
        for item in segments:
            if item.sha256 == payload.sha256:
                return item.data
        return (await self.kernel.patient.segments(self.row.tenant, [payload.sha256]))[0]

    def knows(self, head: Digest) -> bool:
        """Tell whether a context can be extended."""
        return self.contexts.knows(head)

    def learn(self, context: Context, segments: tuple[Segment, ...]) -> None:
        """Remember a context."""
        self.contexts.learn(context, segments)

    async def keep_early(self, segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
        """Write large segments now; return those to write with the intent."""
        large, small = early(segments)
        if large:
            await self.journal.write_early(large)
        return small

    def measured(self, context: Context | None, cost: Cost | None) -> None:
        """Remember how many tokens a model counted."""
        if context is not None:
            self.contexts.measured(context, cost)

    def __repr__(self) -> str:
        """Name the task."""
        return f"<Run {show_id(self.row.id)}>"
