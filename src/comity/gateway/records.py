"""The records: what earlier incarnations of a program asked, for as long as this one has not asked it again."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Container, Iterable
from typing import Literal, NamedTuple

import msgspec

from comity.core.codec import Digest
from comity.gateway.question import Question, RecordedThought, read_thought
from comity.journal.call import CallKey, Kind, Status
from comity.journal.protocol import Recorded
from comity.journal.recall import key_of

How = Literal["exact", "masked", "positional"]


class Place(NamedTuple):
    """Where a thought stands: its model, its conversation's role sequence, and the thought that it goes on from."""

    model: str
    roles: tuple[str, ...]
    after: CallKey | None


class Records:
    """Calls of earlier incarnations that this one has not asked yet, oldest first under each way to find them."""

    def __init__(self, history: Iterable[Recorded], taken: Container[CallKey] = ()) -> None:
        """Index `history`, which is in journal order, but for the calls that were `taken` before."""
        self.open: dict[int, Recorded] = {}
        self._continued: set[CallKey] = set()
        """Thoughts from which their program went on."""
        self._unsettled: dict[CallKey, int] = {}
        self._exact: dict[tuple[str, str, Digest], deque[Recorded]] = {}
        self._masked: dict[tuple[str, Digest], deque[Recorded]] = {}
        self._places: dict[Place, deque[Recorded]] = {}
        self._effects: dict[tuple[str, str], deque[Recorded]] = {}
        self._shared: Counter[Place] = Counter()
        for item in history:
            thought = thought_of(item) if item.kind == Kind.MODEL else None
            place = Place(item.name, thought.roles, thought.parent) if thought is not None else None
            if place is not None:
                self._shared[place] += 1
                if place.after is not None:
                    self._continued.add(place.after)
            if key_of(item) not in taken:
                self._add(item, thought, place)

    def find(self, question: Question) -> tuple[Recorded, How] | None:
        """Return the record that answers a question, and by what; None where there is none."""
        found = self._best(self._exact.get((question.kind, question.name, question.exact)))
        if found is not None:
            return found, "exact"
        if question.is_thought and question.mask:
            found = self._best(self._masked.get((question.name, question.mask)))
        return None if found is None else (found, "masked")

    def at(self, place: Place) -> Recorded | None:
        """Return the oldest record of a thought at a place."""
        return self._first(self._places.get(place))

    def other_effect(self, question: Question) -> Recorded | None:
        """Return the oldest record of an effect of the same tool, whatever its arguments."""
        return self._first(self._effects.get((question.kind, question.name)))

    def is_alone(self, place: Place) -> bool:
        """Tell whether only one thought was ever recorded at a place, so that it can stand for another one there."""
        return self._shared[place] == 1

    def is_behind(self, record: Recorded) -> bool:
        """Tell whether a tool or a wait was asked before `record`, and this incarnation has not had it."""
        return any(item.seq < record.seq and item.kind != Kind.MODEL for item in self.open.values())

    def take(self, record: Recorded) -> bool:
        """Consume a record; False where that has been done."""
        return self.open.pop(record.seq, None) is not None

    def settled(self, key: CallKey, status: Status) -> bool:
        """Take note of the outcome of a record that had none; False where there is none such that may be recalled."""
        seq = self._unsettled.pop(key, 0)
        if key.kind == Kind.MODEL and status is not Status.DONE:
            self.open.pop(seq, None)
        return seq in self.open

    def _add(self, item: Recorded, thought: RecordedThought | None, place: Place | None) -> None:
        self.open[item.seq] = item
        if not item.order:
            self._unsettled[key_of(item)] = item.seq
        exact = thought.exact if thought is not None else item.digest
        self._exact.setdefault((item.kind, item.name, exact), deque()).append(item)
        if acted(item):
            self._effects.setdefault((item.kind, item.name), deque()).append(item)
        if thought is not None and thought.mask:
            self._masked.setdefault((item.name, bytes.fromhex(thought.mask)), deque()).append(item)
        if place is not None:
            self._places.setdefault(place, deque()).append(item)

    def _best(self, items: deque[Recorded] | None) -> Recorded | None:
        """Return the oldest one, but first a thought from which the program went on: others may not have reached it."""
        first = self._first(items)
        if first is None or first.kind != Kind.MODEL or items is None:
            return first
        used = (item for item in items if item.seq in self.open and key_of(item) in self._continued)
        return next(used, first)

    def _first(self, items: deque[Recorded] | None) -> Recorded | None:
        while items and items[0].seq not in self.open:
            items.popleft()
        return items[0] if items else None


def acted(item: Recorded) -> bool:
    """Tell whether a record is an effect that was meant: what needs no intent, or got none, is settled by its entry."""
    return item.kind == Kind.SPAWN or (item.kind == Kind.TOOL and item.seq != item.order)


def can_be_recalled(item: Recorded) -> bool:
    """Tell whether a record may answer a question: a thought that failed may not, since its program thinks anew."""
    failed = item.delivered is not None and item.delivered.status is not Status.DONE
    return not (item.kind == Kind.MODEL and failed)


def thought_of(item: Recorded) -> RecordedThought:
    """Return what a recorded thought's arguments say; nothing where they are none of a gateway's."""
    try:
        return read_thought(item.args)
    except msgspec.DecodeError:
        return RecordedThought(model=item.name, head=item.head.hex())
