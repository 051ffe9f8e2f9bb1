"""Recall for programs that Comity does not control. Pure: no I/O, no clock.

A question of an outside program is the same call as one of this incarnation, or another one; another one is answered
from what earlier incarnations recorded, or is new, or differs from what was recorded. The order of these decisions,
and what they cannot tell, stands in docs/internals/outside-recall.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import msgspec

from comity.core.codec import Digest
from comity.gateway.calls import OutsideCall, OutsideCalls
from comity.gateway.deliveries import Deliveries
from comity.gateway.keys import Keys
from comity.gateway.proposals import Proposal, Proposals
from comity.gateway.question import Question
from comity.gateway.records import How, Place, Records, acted, can_be_recalled, thought_of
from comity.journal.call import CallKey, Delivered, Kind
from comity.journal.protocol import Recorded
from comity.journal.recall import key_of
from comity.journal.spec import Outside

STRAYS_AFTER_S = 30.0
"""A question that fits no record is held for so long after the last one that did: another strand may ask for it."""


class Recalled(msgspec.Struct, frozen=True):
    """The question is answered by `record`, which is consumed by it; its outcome may still have to come."""

    record: Recorded
    how: How


class Same(msgspec.Struct, frozen=True):
    """The question is the call of that key once more: of this incarnation, in flight or answered."""

    key: CallKey


class New(msgspec.Struct, frozen=True):
    """Nothing answers the question: it becomes the call of that key, which goes on from the thought `after`."""

    key: CallKey
    after: CallKey | None = None


class Differs(msgspec.Struct, frozen=True):
    """The program asked something else than `record`, where that was asked before.

    It is not certain before `until_s` (monotonic): until then the question is to be matched again whenever another
    one was recalled. Where `may_be_positional`, similar words make `record` its answer at once (`OutsideRecall.take`).
    """

    record: Recorded
    may_be_positional: bool
    until_s: float


Match = Recalled | Same | New | Differs


class OutsideRecall:
    """What answers the questions of one incarnation of an outside program.

    For each question that `match` answers with `Recalled`, `Same` or `New`, exactly one of `handed_over` and `left`
    is to follow. All times are monotonic seconds.
    """

    def __init__(
        self,
        history: Iterable[Recorded],
        incarnation: int,
        terms: Outside,
        now_s: float,
        *,
        keys: Keys | None = None,
        is_resumed: bool = False,
        strays_after_s: float = STRAYS_AFTER_S,
    ) -> None:
        """Recall from `history`, which is in journal order and may hold calls of this incarnation already.

        `keys` are those of the task's last visit at this node. `is_resumed` says that another visit of the incarnation
        came before, of which only the journal tells: then what was recalled in it is not known, and nothing differs.
        """
        self.keys = keys or Keys()
        self._incarnation = incarnation
        self._terms = terms
        self._is_resumed = is_resumed
        self._strays_after_s = strays_after_s
        self._deliveries = Deliveries()
        self._calls = OutsideCalls(terms.retry_join_s, self._deliveries)
        self._proposals = Proposals(self._may_be_had)
        self._taken_s = now_s
        self._strays: dict[tuple[str, str, Digest], float] = {}
        self._at_head: dict[Digest, CallKey] = {}
        self._settled: dict[CallKey, tuple[int, Delivered]] = {}
        self._past: list[tuple[int, Callable[[], object]]] = []
        self._load(tuple(history), now_s)

    # What the program asks

    def match(self, question: Question, now_s: float) -> Match:
        """Return what answers a question.

        Guarantees: an effect is never another one where it may be the same (tests/unit/gateway/test_recall.py).
        Cost: constant, but for what is identical in this incarnation; the first one sorts what the journal held.
        """
        self._replay()
        after = self._goes_on_from(question)
        found = self._records.find(question)
        is_due = question.is_effect and self._proposals.is_due(question.name, question.exact)
        call = self._calls.repeated(question, now_s, is_recorded=found is not None, is_due=is_due)
        if call is not None:
            call.join()
            if question.is_effect:
                self._proposals.joined(question.name, question.exact)
            return Same(call.key)
        if found is not None:
            record, how = found
            self.take(question, record, now_s)
            return Recalled(record, how)
        differs = self._differing(question, after, now_s)
        if differs is not None:
            return differs
        return New(self.keys.key_for(question.kind, question.name, question.args_after(after)), after)

    def take(self, question: Question, record: Recorded, now_s: float) -> bool:
        """Answer a question with a record; False where the record has been another one's answer meanwhile."""
        if not self._records.take(record):
            return False
        self._taken_s = now_s
        call = self._add(key_of(record), question)
        order, delivered = self._settled.pop(call.key, (record.order, record.delivered))
        if delivered is not None:
            self.settled(call.key, order, delivered, now_s)
        return True

    def asked(self, new: New, question: Question) -> None:
        """Take note that a question became the call that `match` named."""
        self.keys.asked(new.key, question.args_after(new.after))
        self._add(new.key, question)

    # What becomes of it

    def settled(self, key: CallKey, order: int, delivered: Delivered, now_s: float) -> None:
        """Take note of an outcome: `order` is the seq of the entry that settled the call."""
        is_loose = self.keys.settled(key)
        call = self._calls.get(key)
        if call is None:
            if self._records.settled(key, delivered.status) or is_loose:
                self._settled[key] = order, delivered
                self._deliveries.expect(order)
            return
        if call.order:
            return  # it was told before: the kernel delivers to whoever asks again
        call.settle(order, delivered, now_s)
        if not call.has_failed:
            self._deliveries.expect(order)

    def handed_over(self, key: CallKey, now_s: float) -> int:
        """Take note that the whole answer went out to a client that was still there; return `consumed`."""
        call = self._calls.get(key)
        if call is not None:
            call.part("had")
            call.had_s = now_s
            self._deliveries.arrived(call.order)
        return self.consumed

    def left(self, key: CallKey) -> None:
        """Take note that a client went away before it had the whole answer, or was told to ask again."""
        call = self._calls.get(key)
        if call is not None:
            call.part("left")

    def proposed(self, key: CallKey, proposals: Iterable[Proposal]) -> None:
        """Take what an answered thought proposes; the second time changes nothing."""
        call, made = self._calls.get(key), tuple(proposals)
        if call is None:
            return  # the program has not asked for it yet, and cannot know what it says
        if self._past:
            self._past.append((call.order, lambda: self._proposals.proposed(key, made)))
        else:
            self._proposals.proposed(key, made)

    @property
    def consumed(self) -> int:
        """Return the order up to which the program has got everything that the journal has for it."""
        return self._deliveries.consumed

    def is_recorded(self, question: Question) -> bool:
        """Tell whether an earlier incarnation asked it, and this one has not asked it again."""
        return self._records.find(question) is not None

    def is_asked(self, key: CallKey) -> bool:
        """Tell whether this incarnation asked or recalled the call of that key."""
        return key in self._calls

    def renewed(self, history: Iterable[Recorded], now_s: float) -> OutsideRecall:
        """Return this recall over a history that has changed, or has grown elsewhere.

        What was asked and recalled stays so, but for calls without an outcome that are not in `history` any more.
        Whoever waited for an outcome is to ask again.
        """
        self._replay()
        items = tuple(history)
        self._deliveries = Deliveries()
        self._calls = self._calls.kept({key_of(item) for item in items}, self._deliveries)
        self._strays, self._settled = {}, {}
        self._load(items, now_s)
        return self

    # How it is told

    def _load(self, history: tuple[Recorded, ...], now_s: float) -> None:
        ours = [item for item in history if item.incarnation == self._incarnation]
        self._is_resumed |= any(key_of(item) not in self._calls for item in ours)
        consumed = max((item.consumed for item in ours), default=0)
        self.keys.begin([key_of(item) for item in history])
        for item in history:
            if item.kind == Kind.MODEL:
                self._at_head.setdefault(item.head, key_of(item))
            is_asked = item.incarnation == self._incarnation or key_of(item) in self._calls
            if is_asked or (0 < item.order <= consumed and can_be_recalled(item)):
                self._remember(item, consumed, now_s)
        earlier = [item for item in history if item.incarnation != self._incarnation and can_be_recalled(item)]
        self._records = Records(earlier, self._calls)
        for item in self._records.open.values():
            if item.order:
                self._deliveries.expect(item.order)

    def _remember(self, item: Recorded, consumed: int, now_s: float) -> None:
        """Take a call that this incarnation asked or recalled, as far as the journal tells of it."""
        key = key_of(item)
        known = self._calls.get(key)
        call = known or self._told(item)
        if item.delivered is not None:
            self.settled(key, item.order, item.delivered, now_s)
        if known is None:
            call.cut()
            if 0 < item.order <= consumed:
                call.state = "had"
                self._deliveries.arrived(item.order)

    def _told(self, item: Recorded) -> OutsideCall:
        """Return a call of this incarnation that only the journal tells of."""
        thought = thought_of(item) if item.kind == Kind.MODEL else None
        args = item.args if acted(item) else b""
        call = OutsideCall(key_of(item), thought.exact if thought else item.digest, head=item.head, args=args)
        call.mask = bytes.fromhex(thought.mask) if thought else b""
        if thought is None:
            self._calls.superseded(call, item.seq)
        self._calls.add(call)
        if acted(item):
            self._past.append((item.seq, lambda: self._proposals.asked(item.name, item.digest)))
        if thought is not None and thought.parent is not None:
            parent = thought.parent
            self._past.append((item.seq, lambda: self._went_on(self._head_of(parent), item.seq)))
        return call

    def _replay(self) -> None:
        """Take what the journal told of proposals and effects in the order in which it happened."""
        past, self._past = sorted(self._past, key=lambda item: item[0]), []
        for _, happen in past:
            happen()

    def _add(self, key: CallKey, question: Question) -> OutsideCall:
        head = question.heads[-1] if question.heads else b""
        call = OutsideCall(key, question.exact, question.mask, head, args=question.args if question.is_effect else b"")
        self._calls.add(call)
        self._strays.pop(_identity(question), None)
        if question.is_thought:
            self._at_head.setdefault(head, key)
        if question.is_effect:
            self._proposals.asked(question.name, question.exact)
        return call

    def _goes_on_from(self, question: Question) -> CallKey | None:
        """Return the thought that a thought goes on from; what that one proposed is not asked for any more."""
        for place, head in reversed(tuple(enumerate(question.heads[:-1]))):
            if head in self._at_head:
                results = [data for index, data in question.results if index > place]
                return self._went_on(head, results=results) or self._at_head[head]
        return None

    def _went_on(self, head: Digest, before: float = math.inf, results: Sequence[bytes] = ()) -> CallKey | None:
        """Return the thought whose context is `head`.

        The program, at the seq `before`, goes on from its answer, and says by `results` what came of it.
        """
        answers = self._calls.answers_to(head)
        if len(answers) == 1:
            made = self._proposals.went_on(answers[0])
            self._calls.shown(answers[0], made, before)
            self._calls.told(made, results)
        return answers[0] if answers else None

    def _may_be_had(self, key: CallKey) -> bool:
        return self._calls.may_be_had(key)

    def _head_of(self, key: CallKey) -> Digest:
        call = self._calls.get(key)
        return b"" if call is None else call.head

    def _differing(self, question: Question, after: CallKey | None, now_s: float) -> Differs | None:
        record, is_near = None, False
        if question.is_thought:
            place = Place(question.name, question.roles, after)
            record = self._records.at(place)
            if record is not None and self._knows_more(record, after):
                return None
            is_near = record is not None and self._records.is_alone(place) and not self._records.is_behind(record)
        elif question.is_effect and not self._proposals.is_known(question.name, question.exact):
            record = self._records.other_effect(question)
        if record is None or self._is_resumed:
            return None
        since_s = self._strays.setdefault(_identity(question), now_s)
        until_s = max(since_s, self._taken_s) + self._strays_after_s
        return Differs(record, is_near and self._terms.is_positional, until_s)

    def _knows_more(self, record: Recorded, after: CallKey | None) -> bool:
        """Tell whether this program has what the thought `after` proposed, and the one that asked `record` did not."""
        return after is not None and self._calls.are_told_since(record.consumed, self._proposals.of(after))


def _identity(question: Question) -> tuple[str, str, Digest]:
    return question.kind, question.name, question.exact
