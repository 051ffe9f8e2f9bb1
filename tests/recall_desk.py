"""A desk for tests of recall: asks questions one by one, settles them, and begins programs and nodes again."""

from __future__ import annotations

from comity.core.codec import canonical
from comity.gateway.proposals import Proposal
from comity.gateway.question import Question
from comity.gateway.recall import Match, New, OutsideRecall, Recalled, Same
from comity.journal.call import CallKey, Delivered, Kind, Status
from comity.journal.protocol import Recorded
from comity.journal.recall import key_of
from comity.journal.spec import Outside
from recall_world import Row, ToolCall, thought, tool

DONE = Delivered(Status.DONE, b'"done"')
FAILED = Delivered(Status.FAILED, code="model_busy")
NOT_HAPPENED = Delivered(Status.FAILED, code="not_happened")
REFUSED = Delivered(Status.REFUSED, code="over_budget")

BOOK = tool(ToolCall("crm.book", "7"))
BOOK_OTHER = tool(ToolCall("crm.book", "8"))
LOOK = tool(ToolCall("look", "7", acts=False))
BOOKING = Proposal("mcp__crm__book", BOOK.exact)


def think(*said: str, system: str = "be good", clock: str = "", is_retry: bool = False) -> Question:
    """Return a question to a model: texts of user and assistant in turn, after a system text with a clock in it."""
    turns = [("user" if n % 2 == 0 else "assistant", text) for n, text in enumerate(said)]
    return thought([("system", system + clock), *turns], masked=[("system", system), *turns], is_retry=is_retry)


def waits(kind: Kind, name: str = "any", **args: object) -> Question:
    """Return a question that waits, or starts a child."""
    return Question(kind, name, canonical(args))


def retried(question: Question) -> Question:
    """Return the question as a client library repeats it, which says so."""
    fields = {name: getattr(question, name) for name in Question.__struct_fields__}
    return Question(**{**fields, "is_retry": True})


class Desk:
    """A journal, and the recall of the program that is at it."""

    def __init__(self, terms: Outside | None = None) -> None:
        self.terms = terms or Outside()
        self.rows: dict[CallKey, Row] = {}
        self.seq = 0
        self.now_s = 100.0
        self.incarnation = 0
        self.program_begins()

    @property
    def history(self) -> tuple[Recorded, ...]:
        rows = [row for row in self.rows.values() if row.order or row.question.is_thought or row.question.is_effect]
        return tuple(row.recorded() for row in sorted(rows, key=lambda row: row.seq))

    def program_begins(self) -> None:
        """Begin the program again at a node that knows nothing of it."""
        self.incarnation += 1
        self.recall = OutsideRecall(self.history, self.incarnation, self.terms, self.now_s)

    def node_begins(self) -> None:
        """Begin the node again; the program lives."""
        self.recall = OutsideRecall(self.history, self.incarnation, self.terms, self.now_s, is_resumed=True)

    def match(self, question: Question) -> Match:
        """Return what answers a question, without asking it where it is new."""
        return self.recall.match(question, self.now_s)

    def ask(self, question: Question) -> CallKey:
        """Ask a question; return the call that answers it."""
        found = self.match(question)
        if isinstance(found, Recalled):
            return key_of(found.record)
        assert isinstance(found, Same | New), found
        if isinstance(found, New):
            self.recall.asked(found, question)
            call = question.call(found.key, self.recall.consumed, found.after)
            self.seq += 1
            self.rows[found.key] = Row(self.seq, found.key, question, call.args, self.incarnation, self.recall.consumed)
        return found.key

    def settle(self, key: CallKey, delivered: Delivered = DONE, *proposals: Proposal) -> None:
        """End a call; a read gets its entry only now."""
        row = self.rows[key]
        self.seq += 1
        if not row.question.is_thought and not row.question.is_effect and not row.question.kind.waits:
            row.seq = self.seq
        row.order, row.delivered = self.seq, delivered
        self.recall.settled(key, row.order, delivered, self.now_s)
        self.recall.proposed(key, proposals)

    def had(self, key: CallKey) -> None:
        """Hand the answer over."""
        self.recall.handed_over(key, self.now_s)

    def do(self, question: Question, *proposals: Proposal) -> CallKey:
        """Ask, settle where that has not happened, and hand over."""
        key = self.ask(question)
        if self.rows[key].order:
            self.recall.proposed(key, proposals)
        else:
            self.settle(key, DONE, *proposals)
        self.had(key)
        return key


def key(question: Question, occurrence: int) -> CallKey:
    """Return the key of a question's so-manieth call."""
    return CallKey("", question.kind, question.name, occurrence)
