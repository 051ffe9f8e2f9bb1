"""A kernel that is a list: drives an agent without a store, records what it asks, answers, and kills it anywhere.

Nothing is performed: outcomes come from the test. The journal that it keeps has the order of a real one, so that a new
brain can be started from any beginning of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from comity.agents.stepper import Stepper
from comity.core.codec import canonical, decode, digest
from comity.journal.call import Call, Delivered, Kind, Status
from comity.journal.program import AGENT
from comity.journal.protocol import Deliver, Divergence, Finished, Recorded, Said, Start, Stepped
from comity.journal.segment import EMPTY_HEAD

Answer = Callable[[Call], Delivered]


class Line(msgspec.Struct, frozen=True):
    """An entry of the fake journal: a call was asked (`delivered` None), or it ended. Its seq is its place, from 1."""

    call: Call
    delivered: Delivered | None = None


class FakeKernel:
    """Runs one task of one agent against answers that a test gives."""

    def __init__(
        self,
        agent: Callable[..., Any],
        goal: Any = None,
        *,
        answer: Answer | None = None,
        is_one_entry: Callable[[Call], bool] = lambda _call: False,
        start: Start | None = None,
    ) -> None:
        """Run `agent`. `is_one_entry` names calls that, like reads, are journaled only when they end."""
        self.name: str = getattr(agent, AGENT).name
        self._agents = {self.name: agent}
        self._answer = answer or (lambda _call: done(None))
        self._is_one_entry = is_one_entry
        self._start = start or Start(bytes(16), self.name, canonical(goal), 1)
        self._undelivered: deque[tuple[int, Call, Delivered]] = deque()
        self._stepper: Stepper | None = None
        self.journal: list[Line] = []
        self.open: list[Call] = []
        self.asked: list[Call] = []
        self.said: list[Said] = []
        self.finished: Finished | None = None
        self.diverged: Divergence | None = None

    @property
    def result(self) -> Any:
        """Return what the agent returned; fails where it did not end well."""
        assert self.finished is not None, (
            f"the agent has not ended; it waits for {self.open}; diverged: {self.diverged}"
        )
        assert not self.finished.code, f"{self.finished.code}: {self.finished.error}\n{self.finished.traceback}"
        return decode(self.finished.result)

    def begin(self, upto: int | None = None) -> Stepped:
        """Drop the brain, forget what stands behind the first `upto` entries (none by default), start a new brain."""
        self.close()
        self.journal = self.journal if upto is None else self.journal[:upto]
        self.open = [line.call for line in self.journal if line.delivered is None]
        ended = {line.call.key for line in self.journal if line.delivered is not None}
        self.open = [call for call in self.open if call.key not in ended]
        self._undelivered.clear()
        self.finished = self.diverged = None
        self._stepper = Stepper(self._agents)
        return self._take(self._stepper.start(msgspec.structs.replace(self._start, history=self.history())))

    def history(self) -> tuple[Recorded, ...]:
        """Return the journal as a brain gets it."""
        found: dict[Any, Recorded] = {}
        for seq, line in enumerate(self.journal, start=1):
            call = line.call
            first = found.get(call.key)
            order = seq if line.delivered is not None else 0
            found[call.key] = Recorded(
                first.seq if first else seq,
                *call.key,
                digest(call.args),
                order,
                line.delivered,
                head_of(call, line.delivered) if order else EMPTY_HEAD,
            )
        return tuple(sorted(found.values(), key=lambda item: item.seq))

    def settle(self, call: Call, delivered: Delivered | None = None) -> None:
        """Journal how an open call ended; the agent is told by `deliver`."""
        self.open.remove(call)
        outcome = delivered or self._answer(call)
        self.journal.append(Line(call, outcome))
        self._undelivered.append((len(self.journal), call, outcome))

    def deliver(self) -> Stepped | None:
        """Tell the agent of the oldest outcome that it does not know; None where it knows all."""
        if not self._undelivered or self._stepper is None:
            return None
        order, call, outcome = self._undelivered.popleft()
        return self._take(self._stepper.deliver(Deliver(order, *call.key, outcome, head_of(call, outcome))))

    def end(self, call: Call, delivered: Delivered | None = None) -> Stepped:
        """End an open call and tell the agent."""
        self.settle(call, delivered)
        step = self.deliver()
        assert step is not None
        return step

    def run(self, pick: Callable[[Sequence[Call]], Call] = lambda calls: calls[0]) -> FakeKernel:
        """Begin, where that was not done, and end open calls, each chosen by `pick`, until the agent has ended."""
        if self._stepper is None:
            self.begin()
        while self.finished is None and self.diverged is None:
            if self.deliver() is None:
                assert self.open, "the agent waits for no call"
                self.settle(pick(self.open))
        return self

    def close(self) -> None:
        """Drop the brain."""
        if self._stepper is not None:
            self._stepper.close()
            self._stepper = None

    def _take(self, step: Stepped) -> Stepped:
        for call in step.calls:
            self.asked.append(call)
            self.open.append(call)
            if not self._is_one_entry(call):
                self.journal.append(Line(call))
        self.said.extend(step.said)
        self.finished = step.finished
        self.diverged = step.diverged
        return step


def done(value: Any) -> Delivered:
    """Return the outcome of a call that gave `value`."""
    return Delivered(Status.DONE, canonical(value))


def failed(code: str, error: str = "it failed") -> Delivered:
    """Return the outcome of a call that failed."""
    return Delivered(Status.FAILED, b"null", code, error)


def refused(code: str, error: str, hint: str = "") -> Delivered:
    """Return the outcome of a call that a gate refused."""
    return Delivered(Status.REFUSED, b"null", code, error, hint, "rethink")


def messages_of(calls: Iterable[Call]) -> list[dict[str, Any]]:
    """Return the messages that these model calls sent, in order."""
    return [decode(item.data) for call in calls for item in call.segments]


def head_of(call: Call, outcome: Delivered | None = None) -> bytes:
    """Return the head of a model call's context; the empty one for other calls, and where nothing was journaled."""
    if call.kind != Kind.MODEL or (outcome is not None and outcome.status is Status.REFUSED):
        return EMPTY_HEAD
    return bytes.fromhex(decode(call.args)["head"])
