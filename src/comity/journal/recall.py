"""Recall: match what an agent asks against what its journal holds. Pure; brain and kernel use the same code.

Within a branch calls are matched in the order in which they were asked: the next call of a branch must be the next
recorded one, with the same kind, name, occurrence and digest of its arguments. Anything else is a divergence, told as
an exact difference.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from comity.core.codec import digest
from comity.journal.call import Call, CallKey
from comity.journal.protocol import Divergence, Recorded


class Recall:
    """The recorded calls of one task, by branch, consumed as the agent asks them again."""

    def __init__(self, history: Iterable[Recorded]) -> None:
        """Index `history`, which is in journal order."""
        self._branches: dict[str, deque[Recorded]] = {}
        self.size = 0
        for item in history:
            self._branches.setdefault(item.branch, deque()).append(item)
            self.size += 1

    def match(self, call: Call) -> Recorded | Divergence | None:
        """Consume and return what the journal holds of `call`; None where the branch has nothing recorded any more."""
        waiting = self._branches.get(call.branch)
        if not waiting:
            return None
        expected = waiting[0]
        same = (expected.kind, expected.name, expected.occurrence) == (call.kind, call.name, call.occurrence)
        if not same or expected.digest != digest(call.args):
            return Divergence(expected.seq, call.branch, told(expected), asked(call))
        waiting.popleft()
        self.size -= 1
        return expected

    def left(self) -> Divergence | None:
        """Return the first recorded call that the agent, though it ended or blocked, never asked again."""
        rest = [items[0] for items in self._branches.values() if items]
        if not rest:
            return None
        first = min(rest, key=lambda item: item.seq)
        return Divergence(first.seq, first.branch, told(first), "nothing")


def told(item: Recorded) -> str:
    """Return a recorded call in one line."""
    return f"{item.kind} `{item.name}` #{item.occurrence} with arguments {item.digest.hex()[:12]}"


def asked(call: Call) -> str:
    """Return an asked call in one line."""
    text = call.args[:200].decode(errors="replace")
    return f"{call.kind} `{call.name}` #{call.occurrence} with arguments {digest(call.args).hex()[:12]}: {text}"


def key_of(item: Recorded) -> CallKey:
    """Return what names a recorded call within its task."""
    return CallKey(item.branch, item.kind, item.name, item.occurrence)
