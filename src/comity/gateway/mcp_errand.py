"""What a tool call of a program comes to: a question, and what its client is told of the outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from comity.core.codec import canonical, digest
from comity.gateway.mcp_result import Result
from comity.gateway.question import Question
from comity.journal.call import Delivered, Kind


@dataclass(frozen=True, slots=True)
class Errand:
    """A question to ask, after `decision` is recorded where there is one.

    `told` turns the outcome into a result. Where it may take days, the client is told `not_yet` after a while, and
    asks again: the same question, which joins the same call. That it was told so is journaled, since its model knows:
    a program that starts anew is told the same.
    """

    question: Question
    told: Callable[[Delivered], Result]
    decision: Question | None = None
    not_yet: Result | None = None

    @property
    def note(self) -> Question:
        """Return the question that records a `not_yet`."""
        of = digest(canonical([self.question.kind, self.question.name, self.question.exact.hex()]))
        args = canonical({"not_yet": of.hex()})
        return Question(Kind.NOW, "not_yet", args, digest(args))
