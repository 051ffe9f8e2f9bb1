"""The stepper: a brain. Each message makes its agent run until every strand is blocked; the answer is what it asked.

It is the same code behind a socket pair and inside the kernel's own process, and it knows nothing but its messages:
replaying them in the same order leads to the same calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from comity.agents.context import Context
from comity.agents.ending import line, raised, returned, waits_at
from comity.agents.loop import Loop, Strand
from comity.agents.sequencer import Ended, Receiver, Sequencer
from comity.core.codec import Digest, canonical
from comity.core.errors import Suspend, UsageError
from comity.core.limits import ARGS_BYTES_MAX, BRANCH_CHARS_MAX, NAME_CHARS_MAX
from comity.journal.call import Call, Kind
from comity.journal.program import AGENT
from comity.journal.protocol import Deliver, Finished, Said, Start, Stepped
from comity.journal.segment import EMPTY_HEAD, Segment

AgentFunction = Callable[[Context], Coroutine[Any, Any, Any]]

_TIMER = Kind.TIMER.value


class Stepper:
    """The brain of one incarnation of one task: `start` it once, `deliver` to it, `close` it.

    Guarantees: `tests/unit/agents/test_replay.py`.
    """

    def __init__(self, agents: Mapping[str, AgentFunction]) -> None:
        """Know `agents` by name."""
        self._agents = agents
        self._loop = Loop(self._ask_timer)  # type: ignore[abstract]  # what is not defined there is refused there
        self._sequencer = Sequencer()
        self._said: list[Said] = []
        self._root: Strand | None = None
        self._context: Context | None = None
        self._is_over = False

    def start(self, start: Start) -> Stepped:
        """Run the task's agent through its history, until it is blocked."""
        assert self._root is None, "a stepper runs one incarnation"
        agent = self._agents.get(start.agent)
        if agent is None:
            return self._end(Stepped(0, finished=_unknown(start.agent, self._agents)))
        self._sequencer = Sequencer(start.history)
        self._context = Context(self, start, getattr(agent, AGENT, None))
        self._root = self._loop.begin(self._run(agent, self._context))
        return self._step()

    def deliver(self, message: Deliver) -> Stepped:
        """Give the agent one outcome and run until it is blocked; does nothing once it is over.

        Raises:
            JournalError: the kernel delivered what nobody asked, or out of order.
        """
        if self._is_over or not self._sequencer.deliver(message):
            return Stepped(self._sequencer.consumed)
        return self._step()

    def close(self) -> None:
        """Drop the agent where it stands; what it asked is nobody's concern here."""
        self._is_over = True
        self._loop.close()

    # ---- what the context calls --------------------------------------------------------------------------

    async def call(
        self, kind: str, name: str, args: bytes, base: Digest = EMPTY_HEAD, segments: tuple[Segment, ...] = ()
    ) -> Ended:
        """Ask a call in the strand that runs now, and return how it ended."""
        if self._is_over:
            raise Suspend
        strand = self._loop.current()
        future: asyncio.Future[Ended] = asyncio.Future(loop=self._loop)

        def receive(ended: Ended) -> None:
            if not future.done():
                future.set_result(ended)

        occurrence = strand.next_occurrence(kind, name)
        consumed = self._sequencer.consumed
        self._ask(Call(strand.branch, kind, name, occurrence, args, base, segments, consumed), receive)
        try:
            return await future
        except asyncio.CancelledError:
            strand.abandon()
            raise

    def strand(self) -> Strand:
        """Return the strand that runs now."""
        return self._loop.current()

    def advance_to(self, now_s: float) -> None:
        """Let virtual time be at least `now_s`."""
        self._loop.advance_to(now_s)

    @property
    def now_s(self) -> float:
        """Return virtual time."""
        return self._loop.time()

    def say(self, text: str, fraction: float | None) -> None:
        """Pass on a word of progress, unless it was said before a restart."""
        if self._sequencer.is_live:
            self._said.append(Said(self._loop.current().branch, text, fraction))

    # ---- steps -------------------------------------------------------------------------------------------

    def _ask(self, call: Call, receive: Receiver) -> None:
        _check(call)
        if not self._sequencer.ask(call, receive):
            self._loop.halted = True

    def _ask_timer(self, strand: Strand, seconds: float, fire: Callable[[], None]) -> None:
        strand.timers += 1
        branch = strand.below(f"t{strand.timers}")
        args = canonical({"seconds": seconds})
        self._ask(Call(branch, _TIMER, "sleep", 0, args, consumed=self._sequencer.consumed), lambda _ended: fire())

    async def _run(self, agent: AgentFunction, context: Context) -> Any:
        try:
            return await agent(context)
        finally:
            self._loop.halted = True

    def _step(self) -> Stepped:
        try:
            self._loop.run_until_blocked(self._sequencer.release)
        except SystemExit as error:
            return self._end(self._stepped(finished=raised(error)))
        diverged = self._sequencer.diverged
        if diverged is not None:
            return self._end(Stepped(self._sequencer.consumed, diverged=diverged))
        assert self._root is not None
        if self._root.done():
            return self._finish(self._root)
        if not self._sequencer.is_waiting:
            return self._end(self._stepped(finished=self._stuck(self._root)))
        return self._stepped(self._sequencer.take_calls())

    def _stepped(self, calls: tuple[Call, ...] = (), finished: Finished | None = None) -> Stepped:
        said = tuple(self._said)
        self._said.clear()
        return Stepped(self._sequencer.consumed, calls, said, finished)

    def _finish(self, root: Strand) -> Stepped:
        left = self._sequencer.left()
        if left is not None:
            return self._end(Stepped(self._sequencer.consumed, diverged=left))
        for strand, unseen in self._loop.strays():
            self._said.append(Said(strand.branch, f"failed, and nobody awaited it: {line(unseen)}"))
        self._said.extend(Said("", f"a callback failed: {failure}") for failure in self._loop.failures)
        error: BaseException | None = asyncio.CancelledError() if root.cancelled() else root.exception()
        assert self._context is not None
        finished = raised(error) if error is not None else returned(root.result(), self._context.session.appended)
        return self._end(self._stepped(finished=finished))

    def _stuck(self, root: Strand) -> Finished:
        place = waits_at(root.get_coro())
        failed = [f"strand `{strand.path}` failed with {line(error)}" for strand, error in self._loop.strays()]
        failed += [f"a callback failed with {failure}" for failure in self._loop.failures]
        why = f": {'; '.join(failed)}" if failed else ""
        return Finished(
            code="agent_stuck",
            error=f"the agent waits{f' at {place}' if place else ''} for what no call can bring about{why}",
        )

    def _end(self, stepped: Stepped) -> Stepped:
        self.close()
        return stepped


def _check(call: Call) -> None:
    if len(call.branch) > BRANCH_CHARS_MAX:
        raise UsageError(
            "too_deep", f"strand `{call.branch[:40]}…` is nested too deep", hint="start strands from fewer others"
        )
    if len(call.name) > NAME_CHARS_MAX:
        raise UsageError(
            "name_too_long", f"`{call.name[:40]}…` has {len(call.name)} characters, {NAME_CHARS_MAX} are allowed"
        )
    if len(call.args) > ARGS_BYTES_MAX:
        raise UsageError(
            "arguments_too_large",
            f"{call.kind} `{call.name}` has arguments of {len(call.args)} bytes, {ARGS_BYTES_MAX} are allowed",
            hint="pass a reference to large content",
        )


def _unknown(name: str, agents: Mapping[str, AgentFunction]) -> Finished:
    known = ", ".join(f"`{item}`" for item in agents) or "none"
    return Finished(code="no_such_agent", error=f"there is no agent `{name}` here; there are: {known}")
