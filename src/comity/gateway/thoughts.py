"""What a program's models said and proposed: it tells a tool call from its repeat, and explains a decision."""

from __future__ import annotations

from collections.abc import Callable

from comity.core.codec import Digest, digest
from comity.gateway.proposals import Proposal
from comity.gateway.reply import Pending
from comity.gateway.tool_names import means
from comity.journal.call import CallKey
from comity.journal.wire import Answer, read_answer
from comity.models.formats import FORMATS
from comity.models.stream import Thought

KEPT_MAX = 50
"""So many of the latest thoughts are kept; a tool call follows soon after the thought that proposed it."""


class Thoughts:
    """The latest thoughts of one program, newest last."""

    def __init__(self, as_asked: Callable[[str, bytes], tuple[str, bytes]]) -> None:
        """Know none; `as_asked` gives name and arguments of a proposed call as the program will ask it."""
        self._as_asked = as_asked
        self._kept: dict[CallKey, Thought] = {}
        self.responses: dict[str, tuple[Digest, Answer]] = {}
        """By response id: the context that was asked, and what was answered."""

    def learn(self, pending: Pending) -> tuple[Proposal, ...]:
        """Remember a thought that is there, and return the calls that it proposes."""
        assert pending.delivered is not None
        answer = read_answer(pending.delivered.value)
        thought = FORMATS[pending.wire].read(answer)
        if thought.response_id and pending.wire == "responses":
            self.responses[thought.response_id] = (pending.head, answer)
        self._kept.pop(pending.key, None)
        self._kept[pending.key] = thought
        if len(self._kept) > KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        asked = (self._as_asked(item.name, item.arguments) for item in thought.proposals)
        return tuple(Proposal(name, digest(args)) for name, args in asked)

    def proposing(self, tool: str, args: bytes) -> Thought | None:
        """Return the newest thought that proposed this call (`args` is canonical JSON), or None."""
        for thought in reversed(self._kept.values()):
            if any(means(item.name, tool) and item.arguments == args for item in thought.proposals):
                return thought
        return None
