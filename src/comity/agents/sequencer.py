"""The sequencer: answers calls that the journal knows, in the journaled order, and passes on those that it does not.

A recorded outcome is held until all outcomes that settled before it were given and the loop is idle, so that racing
strands meet them as they did the first time. Only then do live deliveries follow, one at a time. Whatever a resumed
agent asks otherwise is a divergence.

Why an outcome whose call was not asked by then is one: a call's first entry stands behind every outcome that its agent
had seen when it asked, and its own outcome behind that entry. So with each order up to it given, and the loop idle, the
same agent has asked it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from comity.core.errors import JournalError
from comity.journal.call import Call, CallKey
from comity.journal.protocol import Deliver, Divergence, Recorded
from comity.journal.recall import Recall, told

Ended = Recorded | Deliver
"""How a call ended, from the journal or live."""

Receiver = Callable[[Ended], None]


class Sequencer:
    """The calls of one brain, between its agent and its kernel."""

    def __init__(self, history: Iterable[Recorded] = ()) -> None:
        """Answer from `history`, in journal order; the kernel's own calls (in branches with a `~`) are left out."""
        own = [item for item in history if "~" not in item.branch]
        self._recall = Recall(own)
        self._due = sorted((item for item in own if item.order), key=lambda item: -item.order)
        self._held: dict[int, Receiver] = {}
        self._open: dict[CallKey, Receiver] = {}
        self.calls: list[Call] = []
        self.consumed = 0
        self.diverged: Divergence | None = None

    @property
    def is_live(self) -> bool:
        """Tell whether the history is used up."""
        return not self._due and not self._recall.size

    @property
    def is_waiting(self) -> bool:
        """Tell whether any call is still to end."""
        return bool(self._open or self._held)

    def ask(self, call: Call, receiver: Receiver) -> bool:
        """Let `receiver` have the outcome of `call` when its turn comes; False where the agent diverges."""
        found = self._recall.match(call)
        if found is None:
            self._open[call.key] = receiver
            self.calls.append(call)
        elif type(found) is Recorded:
            if found.order:
                self._held[found.order] = receiver
            else:
                self._open[call.key] = receiver
        else:
            assert isinstance(found, Divergence)
            self.diverged = found
        return self.diverged is None

    def release(self) -> bool:
        """Give the next recorded outcome, now that the loop is idle; False where there is none."""
        if self.diverged is not None:
            return False
        if not self._due:
            self.diverged = self._recall.left()
            return False
        item = self._due[-1]
        receiver = self._held.pop(item.order, None)
        if receiver is None:
            self.diverged = Divergence(item.seq, item.branch, told(item), self._waits_for())
            return False
        self._due.pop()
        self.consumed = item.order
        receiver(item)
        return True

    def deliver(self, message: Deliver) -> bool:
        """Give a live outcome; False for one that was given before.

        Raises:
            JournalError: nobody asked for it, or a later one came first; the next brain starts clean.
        """
        key = CallKey(message.branch, message.kind, message.name, message.occurrence)
        receiver = self._open.get(key)
        if message.order <= self.consumed:
            if receiver is None:
                return False
            raise JournalError(
                "delivered_out_of_order",
                f"`{message.order}` came after `{self.consumed}`",
                hint="start this brain again",
            )
        if receiver is None:
            raise JournalError("not_asked", f"`{message.order}` answers a call that nobody asked: {key}")
        del self._open[key]
        self.consumed = message.order
        receiver(message)
        return True

    def left(self) -> Divergence | None:
        """Return the first recorded call that was never asked, though the agent ended."""
        return self._recall.left()

    def take_calls(self) -> tuple[Call, ...]:
        """Return the calls asked since the last time, in order."""
        calls = tuple(self.calls)
        self.calls.clear()
        return calls

    def _waits_for(self) -> str:
        if not self._open:
            return "nothing"
        names = sorted(f"{key.kind} `{key.name}` #{key.occurrence} in branch `{key.branch}`" for key in self._open)
        return f"nothing there, while it waits for {', '.join(names[:5])}"
