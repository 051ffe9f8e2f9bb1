"""A visit: one incarnation of an outside program, at the node that holds its task. For the kernel it is the brain.

Requests become questions, questions are recalled or become calls, deliveries become replies. What happens at the other
end of a connection changes nothing here but what the program is known to have got.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

from comity.core.clock import Clock
from comity.core.codec import Digest
from comity.core.ids import Id, show_id
from comity.gateway.proposed import as_asked
from comity.gateway.question import Question
from comity.gateway.recall import New, OutsideRecall, Recalled, Same
from comity.gateway.reply import Pending, Reply, VisitOver
from comity.gateway.similarity import similar
from comity.gateway.thoughts import Thoughts
from comity.gateway.tool_names import means
from comity.journal.call import CallKey, Status
from comity.journal.protocol import Deliver, Divergence, Finished, Recorded, Said, Start, Stepped, Streamed, ToBrain
from comity.journal.recall import key_of, told
from comity.journal.spec import AgentSpec, ToolSpec
from comity.journal.task import TaskRow
from comity.kernel.bell import Bell
from comity.models.format import RequestParts
from comity.models.stream import Thought

OWN_TOOLS = (
    *("comity_decide", "comity_wait", "comity_spawn", "comity_progress", "comity_ask_human", "comity_finish"),
    *("comity_claim", "comity_release", "comity_observe"),
)
"""Comity's own tools, which every program is offered; the last three where a world is in force."""

SILENCE = "nothing was heard of the program"
"""How the reason of a task begins that stalled by its program's silence."""


class Host(Protocol):
    """What a visit needs of its door."""

    clock: Clock

    async def visit_of(self, task: Id, incarnation: int) -> Visit:
        """Return the visit of a program, wherever its task stands."""
        ...

    async def messages(self, task: Id, head: Digest) -> tuple[bytes, ...]:
        """Return the messages of a context that a task's kernel knows."""
        ...

    def closed(self, visit: Visit) -> None:
        """Take note that a visit is over."""
        ...

    def began(self, visit: Visit) -> None:
        """Take note that a visit is open."""
        ...


class Visit:
    """One incarnation of a program; see the module."""

    def __init__(
        self,
        host: Host,
        row: TaskRow,
        agent: AgentSpec,
        tools: tuple[ToolSpec, ...],
        on_step: Callable[[Stepped], None],
        before: Visit | None = None,
    ) -> None:
        """Wait for the kernel's `Start`; `before` is the task's last visit at this node."""
        self.row = row
        self.agent = agent
        self.tools = tools
        self.incarnation = 0
        self.is_open = False
        self.is_over = False
        self.thoughts = Thoughts(partial(as_asked, agent, tools))
        self._host = host
        self._before = before
        self.served = tuple(tool.name for tool in tools)
        self.warned: set[str] = set()
        self._recalls = Bell(host.clock)
        self._on_step = on_step
        self.recall: OutsideRecall | None = None
        self.heads: set[Digest] = set()
        """Contexts that the kernel knows, and so can be extended."""
        self.calls: dict[CallKey, Pending] = {}
        self._consumed = 0
        self.waiting = 0
        self._heard_s = host.clock.monotonic_s()
        self._watch: asyncio.Task[None] | None = None

    @property
    def task(self) -> Id:
        """Return the task's id."""
        return self.row.id

    # The kernel's side: the `Brain` port

    def send(self, message: ToBrain) -> None:
        """Take the history to recall from, or the outcome of a call."""
        if isinstance(message, Start):
            self._begin(message)
        elif isinstance(message, Deliver):
            self._deliver(message)

    def stream(self, piece: Streamed) -> None:
        """Take a raw piece of a thought."""
        key = CallKey(piece.branch, piece.kind, piece.name, piece.occurrence)
        pending = self.calls.get(key)
        if pending is not None and pending.delivered is None:
            pending.piece(piece.attempt, piece.raw)

    async def kill(self) -> None:
        """End the visit: whoever waits asks its successor."""
        self.is_open, self.is_over = False, True
        if self._watch is not None:
            self._watch.cancel()
        for pending in self.calls.values():
            pending.end()
        self._host.closed(self)

    # The program's side

    async def ask(self, question: Question) -> Reply:
        """Take a question; the reply is recalled, joined, or on its way, here or at the visit that comes after this.

        Raises:
            Refusal: the task takes no calls now, or the program went another way than its journal and stops there.
            Elsewhere: another node holds the task now.
        """
        try:
            return Reply(self, question, await self.take(question))
        except VisitOver:
            visit, pending = await self.successor(question)
            return Reply(visit, question, pending)

    async def take(self, question: Question) -> Pending:
        """Return the call that answers `question`, asking it where there is none.

        Raises:
            VisitOver: the visit has ended.
        """
        recall = self.recall
        if recall is None or not self.is_open:
            raise VisitOver
        clock = self._host.clock
        self.heard()
        while True:
            heard = self._recalls.count
            found = recall.match(question, clock.monotonic_s())
            if isinstance(found, Recalled):
                return self._recalled(found.record)
            if isinstance(found, Same):
                return self.calls[found.key]
            if isinstance(found, New):
                return self._call(recall, question, found)
            if found.may_be_positional and await self._is_near(question, found.record):
                if recall.take(question, found.record, clock.monotonic_s()):
                    return self._recalled(found.record)
            elif clock.monotonic_s() >= found.until_s:
                self._diverge(question, found.record)
                raise VisitOver
            else:
                await self._recalls.wait(heard, found.until_s - clock.monotonic_s())
            if not self.is_open:
                raise VisitOver

    def say(self, text: str, fraction: float | None = None) -> None:
        """Take a word of progress."""
        self.heard()
        self._step(Stepped(self._consumed, said=(Said("", text, fraction),)))

    def finish(self, result: bytes = b"null", code: str = "", error: str = "") -> None:
        """End the task."""
        self._step(Stepped(self._consumed, finished=Finished(result, code, error)))

    def inside(self, functions: tuple[str, ...]) -> tuple[str, ...]:
        """Return which functions of a model request run in the program itself, where nothing protects them."""
        return tuple(name for name in functions if not any(means(name, tool) for tool in (*self.served, *OWN_TOOLS)))

    def warn_of(self, parts: RequestParts) -> None:
        """Say once of each function that ran in the program that Comity does not protect it."""
        inside = set(self.inside(parts.tools))
        for name, _ in parts.results:
            if name in inside and name not in self.warned:
                self.warned.add(name)
                self.say(f"function `{name}` ran inside the program: it is not protected, and runs again on replay")

    def is_recorded(self, question: Question) -> bool:
        """Tell whether an earlier incarnation asked it, and this one has not asked it again."""
        return self.recall is not None and self.recall.is_recorded(question)

    def proposed_by(self, tool: str, args: bytes) -> Thought | None:
        """Return the thought that proposed a call of `tool` with `args` (canonical JSON), or None."""
        return self.thoughts.proposing(tool, args)

    async def messages(self, head: Digest) -> tuple[bytes, ...]:
        """Return the messages of a context that the kernel knows."""
        return await self._host.messages(self.task, head)

    def heard(self) -> None:
        """Take note that the program lives."""
        self._heard_s = self._host.clock.monotonic_s()

    def handed_over(self, pending: Pending) -> None:
        """Take note that an answer reached the program."""
        if self.recall is not None:
            self._consumed = self.recall.handed_over(pending.key, self._host.clock.monotonic_s())

    def client_left(self, pending: Pending) -> None:
        """Take note that an answer did not, or not wholly, reach the program."""
        if self.recall is not None:
            self.recall.left(pending.key)

    async def successor(self, question: Question) -> tuple[Visit, Pending]:
        """Ask the visit that comes after this one, once it is there.

        Raises:
            Refusal, Elsewhere: see `Door.visit`.
        """
        while True:
            visit = await self._host.visit_of(self.task, self.incarnation)
            try:
                return visit, await visit.take(question)
            except VisitOver:
                continue

    # What happens inside

    def _begin(self, start: Start) -> None:
        self.incarnation = start.incarnation
        terms = self.agent.outside
        before, self._before = self._before, None
        if before is not None and before.incarnation == start.incarnation and before.recall is not None:
            self.recall = before.recall.renewed(start.history, self._heard_s)
            self.thoughts, self.warned = before.thoughts, before.warned
            self.calls = {key: item for key, item in before.calls.items() if item.delivered is not None}
        else:
            keys = before.recall.keys if before is not None and before.recall is not None else None
            self.recall = OutsideRecall(
                start.history, start.incarnation, terms, self._heard_s, keys=keys, is_resumed=start.is_resumed
            )
        for item in start.history:
            pending = Pending(key_of(item), item.args, item.delivered, is_live=False)
            self.calls[pending.key] = pending
            if item.delivered is not None:
                self.heads.add(item.head)
            if self.recall.is_asked(pending.key):
                self._propose(pending)
        self._consumed = self.recall.consumed
        self.is_open = True
        self._watch = asyncio.ensure_future(self._watch_over(terms.stalled_after_s))
        self.heard()
        self._host.began(self)

    def _deliver(self, message: Deliver) -> None:
        key = CallKey(message.branch, message.kind, message.name, message.occurrence)
        if self.recall is not None:
            self.recall.settled(key, message.order, message.delivered, self._host.clock.monotonic_s())
        pending = self.calls.get(key)
        if pending is None:
            return  # a note or a wait of the kernel's own, or what a program before asked and this one has not
        self.heads.add(message.head)
        pending.settle(message.delivered)
        self._propose(pending)

    def _recalled(self, record: Recorded) -> Pending:
        pending = self.calls[key_of(record)]
        self._propose(pending)
        self._recalls.ring()
        return pending

    def _propose(self, pending: Pending) -> None:
        """Remember what a thought proposes: a call that it asks for is new, one that nobody asked for is a repeat."""
        done = pending.delivered is not None and pending.delivered.status is Status.DONE
        if pending.wire and done and self.recall is not None:
            self.recall.proposed(pending.key, self.thoughts.learn(pending))

    def _call(self, recall: OutsideRecall, question: Question, new: New) -> Pending:
        pending = self.calls[new.key] = Pending(new.key, question.args)
        recall.asked(new, question)
        self._consumed = recall.consumed  # it may have gone back, where an answer turned out to be lost
        self._step(Stepped(self._consumed, (question.call(new.key, self._consumed, new.after),)))
        return pending

    async def _is_near(self, question: Question, record: Recorded) -> bool:
        asked = b"\n".join((*await self.messages(question.base), *(item.data for item in question.segments)))
        recorded = b"\n".join(await self.messages(record.head))
        return similar(asked.decode(), recorded.decode())

    def _diverge(self, question: Question, record: Recorded) -> None:
        text = question.args[:200].decode(errors="replace")
        asked = f"{question.kind} `{question.name}` with {text}"
        self._step(Stepped(self._consumed, diverged=Divergence(record.seq, record.branch, told(record), asked)))
        self.is_open = False  # the kernel applies the agent's policy, and begins another visit where that says so
        self._recalls.ring()

    def _step(self, step: Stepped) -> None:
        if self.is_over:
            raise VisitOver
        self._on_step(step)

    async def _watch_over(self, stalled_after_s: float) -> None:
        """Tell the kernel when nothing has been heard of the program for too long, and nothing waits for an answer."""
        clock = self._host.clock
        while (left_s := self._heard_s + stalled_after_s - clock.monotonic_s()) > 0 or self.waiting:
            await clock.sleep(max(left_s, 1.0))
        self._on_step(Stepped(self._consumed, stalled=f"{SILENCE} for {stalled_after_s:g} s"))

    def __repr__(self) -> str:
        """Name task and incarnation."""
        return f"<Visit {show_id(self.task)} #{self.incarnation}>"
