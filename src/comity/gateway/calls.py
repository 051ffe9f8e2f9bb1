"""The calls of one incarnation, and whether an identical question is one of them again or another one.

A client that gives up asks again, with or without saying so; a program that polls, samples or acts twice asks the same
on purpose. What tells them apart is whether the first outcome reached its client, and, for effects, what a model
proposed. The decision procedure stands in docs/internals/outside-recall.md.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from comity.core.codec import Digest
from comity.gateway.deliveries import Deliveries
from comity.gateway.heard import is_unheard
from comity.gateway.proposals import Proposal
from comity.gateway.question import Question
from comity.gateway.tool_names import means
from comity.journal.call import CallKey, Delivered, Kind, Status
from comity.journal.segment import EMPTY_HEAD

LONG_AGO_S = float("-inf")
State = Literal["waited", "left", "unsure", "had"]
"""Of an outcome, there or to come: a client waits for it; none does any more; only the journal knows; one has it."""


@dataclass(slots=True)
class OutsideCall:
    """A call that this incarnation asked or recalled.

    `order` is the seq of the settling entry, 0 while there is none. `has_failed` marks a thought that came to nothing,
    `did_nothing` an effect that is known not to have happened; `args` and `value` are kept of effects. `was_repeated`
    says that the outcome was asked for once more though it had been handed over.
    """

    key: CallKey
    exact: Digest
    mask: Digest = b""
    head: Digest = EMPTY_HEAD
    state: State = "waited"
    clients: int = 1
    order: int = 0
    has_failed: bool = False
    did_nothing: bool = False
    settled_s: float = LONG_AGO_S
    had_s: float = LONG_AGO_S
    was_repeated: bool = False
    args: bytes = b""
    value: bytes = b""

    @property
    def kind(self) -> str:
        """Return the device that it reaches."""
        return self.key.kind

    @property
    def name(self) -> str:
        """Return which one of that kind."""
        return self.key.name

    @property
    def is_had(self) -> bool:
        """Tell whether a client has the whole outcome."""
        return self.state == "had"

    @property
    def is_lost(self) -> bool:
        """Tell whether nobody is known to have the outcome, and nobody waits for it."""
        return self.state in ("left", "unsure")

    @property
    def may_be_had(self) -> bool:
        """Tell whether the program may have the outcome."""
        return self.order > 0 and self.state != "left"

    def settle(self, order: int, delivered: Delivered, now_s: float) -> None:
        """Take the outcome."""
        self.order, self.settled_s = order, now_s
        self.has_failed = self.kind == Kind.MODEL and delivered.status is not Status.DONE
        self.did_nothing = delivered.status is Status.REFUSED or delivered.code == "not_happened"
        if self.args and delivered.status is Status.DONE:
            self.value = delivered.value

    def join(self) -> None:
        """Let one more client wait."""
        self.clients += 1
        self.state = "waited"

    def part(self, state: State) -> None:
        """Let a client go, with the outcome (`had`) or without (`left`); who has it is not undone by others leaving."""
        self.clients = max(0, self.clients - 1)
        if state == "had" or (self.state == "waited" and not self.clients):
            self.state = state

    def cut(self) -> None:
        """Let all clients go: whether one has the outcome is not known if it is there."""
        self.clients = 0
        if self.state == "waited":
            self.state = "unsure" if self.order else "left"


class OutsideCalls:
    """What one incarnation asked and recalled."""

    def __init__(self, retry_join_s: float, deliveries: Deliveries) -> None:
        """Know none; so long after an outcome was handed over or came, what is identical may be its client's retry."""
        self._retry_join_s = retry_join_s
        self._deliveries = deliveries
        self._by_key: dict[CallKey, OutsideCall] = {}
        self._alike: dict[tuple[str, str, Digest], list[OutsideCall]] = {}
        self._by_exact: dict[Digest, list[OutsideCall]] = {}
        self._at_head: dict[Digest, list[OutsideCall]] = {}

    def __contains__(self, key: object) -> bool:
        """Tell whether this incarnation asked or recalled the call of that key."""
        return key in self._by_key

    def get(self, key: CallKey) -> OutsideCall | None:
        """Return the call of that key, None where this incarnation neither asked nor recalled it."""
        return self._by_key.get(key)

    def add(self, call: OutsideCall) -> None:
        """Take a call that was asked or recalled."""
        self._by_key[call.key] = call
        _append(self._alike.setdefault(_alike(call), []), call)
        _append(self._by_exact.setdefault(call.exact, []), call)
        if call.kind == Kind.MODEL:
            self._at_head.setdefault(call.head, []).append(call)

    def answers_to(self, head: Digest) -> list[CallKey]:
        """Return the thoughts of a context that the program may have answers of, oldest first."""
        return [call.key for call in self._at_head.get(head, ()) if call.may_be_had and not call.has_failed]

    def may_be_had(self, key: CallKey) -> bool:
        """Tell whether the program may have that call's outcome."""
        return key in self._by_key and self._by_key[key].may_be_had

    def shown(self, thought: CallKey, proposals: Iterable[Proposal], before: float) -> None:
        """Take note that a program, at the seq `before`, showed that it has a thought's answer and what came of it.

        It tells of calls that the journal alone knows. Whoever is known to have left did not get the outcome.
        """
        self._shown([self._by_key[thought]], before)
        for item in proposals:
            alike = self._by_exact.get(item.digest, ())
            self._shown([call for call in alike if means(item.name, call.name)], before)

    def told(self, proposals: Iterable[Proposal], results: Sequence[bytes]) -> None:
        """Take note of the results that a program tells its model of what was proposed.

        An effect whose outcome is not in them was lost on the way, though it went out: it is as if its client had left.
        """
        for item in proposals:
            for call in self._by_exact.get(item.digest, ()):
                is_it = call.is_had and not call.clients and bool(call.value) and means(item.name, call.name)
                if is_it and is_unheard(call.name, call.args, call.value, results):
                    call.state = "left"
                    self._deliveries.expect(call.order)

    def are_told_since(self, order: int, proposals: Iterable[Proposal]) -> bool:
        """Tell whether the program may have an outcome of what was proposed that was settled after `order`."""
        return any(
            call.order > order and call.may_be_had and means(item.name, call.name)
            for item in proposals
            for call in self._by_exact.get(item.digest, ())
        )

    def superseded(self, new: OutsideCall, seq: int) -> None:
        """Take note that `new` was asked at `seq`: what is identical and was settled by then had been handed over."""
        for call in reversed(self._alike.get(_alike(new), ())):
            if call.is_had:
                break
            if 0 < call.order < seq:
                self._had(call)

    def _shown(self, calls: Iterable[OutsideCall], before: float) -> None:
        for call in calls:
            if call.state == "unsure" and call.order < before:
                self._had(call)
                return

    def _had(self, call: OutsideCall) -> None:
        """Wait no longer for the program to get an outcome."""
        call.state = "had"
        self._deliveries.arrived(call.order)

    def kept(self, keys: Container[CallKey], deliveries: Deliveries) -> OutsideCalls:
        """Return the calls that have an outcome or are among `keys`; nobody waits for what has none."""
        new = OutsideCalls(self._retry_join_s, deliveries)
        for call in self._by_key.values():
            if call.order or call.key in keys:
                if not call.order:
                    call.cut()
                new.add(call)
                if call.order and not call.has_failed:
                    deliveries.expect(call.order)
                if call.is_had:
                    deliveries.arrived(call.order)
        return new

    def repeated(self, question: Question, now_s: float, *, is_recorded: bool, is_due: bool) -> OutsideCall | None:
        """Return the call that `question` repeats, None where it is another one.

        `is_recorded` tells that an earlier incarnation left an outcome for another one, `is_due` that a model proposed
        another one.
        """
        alike = [call for call in self._alike.get(_alike(question), ()) if not call.has_failed]
        same = [call for call in alike if call.exact == question.exact]
        lost = _lost(same) or _lost(alike)
        if not question.is_thought and not question.is_effect and not question.kind.waits:
            return self._repeated_read(same, now_s, is_retry=question.is_retry)
        if lost is not None and lost.state == "unsure" and is_due:
            return None
        if lost is not None or not same:
            return lost
        if question.is_retry:
            return next((call for call in reversed(same) if not call.is_had), same[-1])
        if question.is_effect:
            return None if is_due or (same[-1].is_had and same[-1].did_nothing) else same[-1]
        if question.is_thought:
            return None if is_recorded else self._joined_late(same, now_s)
        is_shared = question.kind in (Kind.HUMAN, Kind.CHILD)
        return next((call for call in same if is_shared and not call.is_had), None)

    def _joined_late(self, same: Sequence[OutsideCall], now_s: float) -> OutsideCall | None:
        """A thought that was just handed over may have lost its last byte; whoever asks again gets it, once."""
        last = same[-1]
        is_late = now_s - last.had_s >= self._retry_join_s
        if is_late or last.was_repeated or not all(call.is_had for call in same):
            return None
        last.was_repeated = True
        return last

    def _repeated_read(self, same: Sequence[OutsideCall], now_s: float, *, is_retry: bool) -> OutsideCall | None:
        """What a read told nobody is told while it is fresh, and then never: polling must see what is new."""
        for call in same:
            if call.is_lost and call.order and now_s - call.settled_s >= self._retry_join_s:
                self._had(call)
        lost = _lost(same)
        return same[-1] if lost is None and is_retry and same else lost


def _append(calls: list[OutsideCall], new: OutsideCall) -> None:
    """Add a call; of the identical ones that the program has, only the newest one is ever looked at."""
    calls[:] = [call for call in calls if not call.is_had or call.exact != new.exact]
    calls.append(new)


def _lost(calls: Sequence[OutsideCall]) -> OutsideCall | None:
    """Return the oldest call whose outcome nobody has, else the oldest of which only that is not known."""
    left = next((call for call in calls if call.state == "left"), None)
    return left or next((call for call in calls if call.state == "unsure"), None)


def _alike(asked: Question | OutsideCall) -> tuple[str, str, Digest]:
    return asked.kind, asked.name, asked.mask or asked.exact
