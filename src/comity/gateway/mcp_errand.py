"""What a tool call of a program comes to: a question, and what its client is told of the outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from comity.gateway.mcp_result import Result
from comity.gateway.question import Question
from comity.journal.call import Delivered


@dataclass(frozen=True, slots=True)
class Errand:
    """A question to ask, after `decision` is recorded where there is one.

    `told` turns the outcome into a result. Where it may take days, the client is told `not_yet` after a while, and
    asks again: the same question, which joins the same call.
    """

    question: Question
    told: Callable[[Delivered], Result]
    decision: Question | None = None
    not_yet: Result | None = None
