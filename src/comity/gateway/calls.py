"""The calls of one incarnation, and whether an identical question is one of them again or another one.

A client that gives up asks again, with or without saying so; a program that polls, samples or acts twice asks the same
on purpose. What tells them apart is whether the first outcome reached its client, and, for effects, what a model
proposed. The decision procedure stands in docs/internals/outside-recall.md.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from comity.core.codec import Digest
from comity.gateway.deliveries import Deliveries
from comity.gateway.proposals import Proposals
from comity.gateway.question import Question
from comity.journal.call import CallKey, Kind, Status
from comity.journal.segment import EMPTY_HEAD

LONG_AGO_S = float("-inf")


@dataclass(slots=True)
class OutsideCall:
    """A call that this incarnation asked or recalled. `clients` wait for it; `is_had` once one has its whole outcome.

    `order` is the seq of the settling entry, 0 while there is none. `was_repeated` marks an outcome that was asked for
    once more though it had been handed over.
    """

    key: CallKey
    exact: Digest
    mask: Digest = b""
    head: Digest = EMPTY_HEAD
    clients: int = 1
    order: int = 0
    status: Status | None = None
    settled_s: float = LONG_AGO_S
    is_had: bool = False
    had_s: float = LONG_AGO_S
    was_repeated: bool = False

    @property
    def kind(self) -> str:
        """Return the device that it reaches."""
        return self.key.kind

    @property
    def name(self) -> str:
        """Return which one of that kind."""
        return self.key.name

    @property
    def is_lost(self) -> bool:
        """Tell whether nobody has the outcome, and nobody waits for it."""
        return not self.is_had and not self.clients

    @property
    def has_failed(self) -> bool:
        """Tell whether it is a thought that came to nothing: the program thinks anew."""
        return self.kind == Kind.MODEL and self.status not in (None, Status.DONE)


class OutsideCalls:
    """What one incarnation asked and recalled."""

    def __init__(self, retry_join_s: float, proposals: Proposals, deliveries: Deliveries) -> None:
        """Know none; so long after an outcome was handed over or came, what is identical may be its client's retry."""
        self._retry_join_s = retry_join_s
        self._proposals = proposals
        self._deliveries = deliveries
        self._by_key: dict[CallKey, OutsideCall] = {}
        self._alike: dict[tuple[str, str, Digest], list[OutsideCall]] = {}
        self._at_head: dict[Digest, list[OutsideCall]] = {}

    def get(self, key: CallKey) -> OutsideCall | None:
        """Return the call of that key, None where this incarnation neither asked nor recalled it."""
        return self._by_key.get(key)

    def add(self, call: OutsideCall) -> None:
        """Take a call that was asked or recalled."""
        self._by_key[call.key] = call
        self._alike.setdefault(_alike(call), []).append(call)
        if call.kind == Kind.MODEL:
            self._at_head.setdefault(call.head, []).append(call)

    def alone_at(self, head: Digest) -> CallKey | None:
        """Return the answered thought of that context; None where there is none, or more than one thought."""
        found = [call for call in self._at_head.get(head, ()) if not call.has_failed]
        return found[0].key if len(found) == 1 and found[0].order else None

    def superseded(self, new: OutsideCall, seq: int) -> None:
        """Take note that `new` was asked at `seq`: what is identical and was settled by then had been handed over."""
        for call in reversed(self._alike.get(_alike(new), ())):
            if call.is_had:
                break
            if 0 < call.order < seq:
                call.is_had = True
                self._deliveries.forget(call.order)

    def kept(self, keys: Container[CallKey], deliveries: Deliveries) -> OutsideCalls:
        """Return the calls that have an outcome or are among `keys`, with nobody waiting for them."""
        new = OutsideCalls(self._retry_join_s, self._proposals, deliveries)
        for call in self._by_key.values():
            if call.order or call.key in keys:
                call.clients = 0
                new.add(call)
                if call.order and not call.has_failed:
                    deliveries.expect(call.order)
                if call.is_had:
                    deliveries.arrived(call.order)
        return new

    def repeated(self, question: Question, now_s: float, *, is_recorded: bool) -> OutsideCall | None:
        """Return the call that `question` repeats, None where it is another one.

        `is_recorded` tells that an earlier incarnation left an outcome for another one.
        """
        alike = [call for call in self._alike.get(_alike(question), ()) if not call.has_failed]
        same = [call for call in alike if call.exact == question.exact]
        lost = next((call for call in (*same, *alike) if call.is_lost), None)
        if not question.is_thought and not question.is_effect and not question.kind.waits:
            return self._repeated_read(same, now_s, is_retry=question.is_retry)
        if lost is not None or not same:
            return lost
        if question.is_retry:
            return next((call for call in reversed(same) if not call.is_had), same[-1])
        if question.is_effect:
            return self._repeated_effect(question, same[-1])
        if question.is_thought:
            return None if is_recorded else self._joined_late(same, now_s)
        is_shared = question.kind in (Kind.HUMAN, Kind.CHILD)
        return next((call for call in same if is_shared and not call.is_had), None)

    def _repeated_effect(self, question: Question, last: OutsideCall) -> OutsideCall | None:
        """An identical effect is another one only where a model proposed it, or where the last one was refused."""
        is_refused = last.is_had and last.status is Status.REFUSED
        return None if is_refused or self._proposals.is_due(question.name, question.exact) else last

    def _joined_late(self, same: Sequence[OutsideCall], now_s: float) -> OutsideCall | None:
        """A thought that was just handed over may have lost its last byte; whoever asks again gets it, once."""
        last = same[-1]
        is_late = now_s - last.had_s > self._retry_join_s
        if is_late or last.was_repeated or not all(call.is_had for call in same):
            return None
        last.was_repeated = True
        return last

    def _repeated_read(self, same: Sequence[OutsideCall], now_s: float, *, is_retry: bool) -> OutsideCall | None:
        """What a read told nobody is told while it is fresh, and then never: polling must see what is new."""
        for call in same:
            if call.is_lost and call.order and now_s - call.settled_s > self._retry_join_s:
                call.is_had = True
                self._deliveries.forget(call.order)
        lost = next((call for call in same if call.is_lost), None)
        return same[-1] if lost is None and is_retry and same else lost


def _alike(asked: Question | OutsideCall) -> tuple[str, str, Digest]:
    return asked.kind, asked.name, asked.mask or asked.exact
