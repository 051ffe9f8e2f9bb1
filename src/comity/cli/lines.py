"""The journal in lines: each entry told in one, with a mark that says at a glance what it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from comity.core.ids import parse_id
from comity.journal.budget import NO_COST
from comity.journal.call import Kind, Status
from comity.journal.entry import (
    Asked,
    Attempted,
    Continued,
    Created,
    Ended,
    Entry,
    Evidence,
    Incarnated,
    Intent,
    Moved,
    Outcome,
    Problem,
    Progressed,
    Received,
    Reopened,
    Resolved,
    Rethought,
    Verified,
    Waiting,
)
from comity.journal.task import State
from comity.runtime.account import at_hand
from comity.runtime.words import arguments, cost, model_name, moment, one_line, preview, short, span

_QUIET_KINDS = (Kind.NOW, Kind.RANDOM)
_TOLD_ELSEWHERE = (*_QUIET_KINDS, Kind.HUMAN, Kind.SIGNAL)
"""What came of these needs no line: it is of no interest, or stood in the message that settled it."""


class Line(NamedTuple):
    """An entry told: a mark with its style, whom or what it is about, what is said, and an aside to that."""

    seq: int
    at_us: int
    branch: str
    mark: str
    style: str
    subject: str
    text: str
    aside: str = ""
    is_minor: bool = False


class _Call(NamedTuple):
    subject: str
    at_us: int
    kind: str


class Teller:
    """Tells the entries of one task in order; it remembers what each call was, since outcomes name only its number."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._calls: dict[int, _Call] = {}
        self._tellers: dict[type, Callable[[Entry, Any], tuple[Any, ...]]] = {
            Created: self._created,
            Incarnated: self._incarnated,
            Intent: self._intent,
            Outcome: self._outcome,
            Waiting: self._waiting,
            Resolved: self._resolved,
            Evidence: self._evidence,
            Received: self._received,
            Moved: self._moved,
            Rethought: self._rethought,
            Reopened: self._reopened,
            Continued: self._continued,
            Ended: self._ended,
            Progressed: self._progressed,
            Verified: self._verified,
            Attempted: self._attempted,
        }

    def tell(self, item: Entry) -> Line:
        """Return the line of an entry."""
        body = item.read()
        mark, style, subject, text, aside, is_minor = self._tellers[type(body)](item, body)
        return Line(item.seq, item.at_us, item.branch, mark, style, subject, text, aside, is_minor)

    def _asked(self, item: Entry, asked: Asked) -> str:
        subject = _subject(item.kind, asked)
        self._calls[item.seq] = _Call(subject, item.at_us, item.kind)
        return subject

    def _call(self, seq: int) -> _Call:
        return self._calls.get(seq, _Call(f"call {seq}", 0, ""))

    def _created(self, item: Entry, body: Created) -> tuple[Any, ...]:
        origin = f"fork of {short(body.forked_from)} at {body.forked_at}" if body.forked_from else ""
        return "●", "bold", "task", f"for {body.agent}: {preview(at_hand(body.goal))}", origin, False

    def _incarnated(self, item: Entry, body: Incarnated) -> tuple[Any, ...]:
        version = f", version {one_line(body.agent_version, 20)}" if body.agent_version else ""
        word = "begins" if body.incarnation == 1 else "begins again"
        return "·", "dim", "brain", f"{word} on node {short(body.node)}", version.lstrip(", "), body.incarnation == 1

    def _intent(self, item: Entry, body: Intent) -> tuple[Any, ...]:
        subject = self._asked(item, body.asked)
        if item.kind == Kind.MODEL:
            return "→", "cyan", subject, "thinks", "", True
        aside = body.effect + (f", for call {body.cleans}" if body.cleans else "")
        given = body.args if body.performed else body.asked.args
        return "→", "cyan", subject, f"({arguments(at_hand(given))})", aside, False

    def _outcome(self, item: Entry, body: Outcome) -> tuple[Any, ...]:
        if body.asked is not None:
            subject, took = self._asked(item, body.asked), ""
        else:
            call = self._call(body.call)
            subject, took = call.subject, span(max(item.at_us - call.at_us, 0) / 1e6) if call.at_us else ""
        aside = ", ".join(part for part in (took, cost(body.cost or NO_COST)) if part)
        if body.status is Status.DONE:
            result = _result(item.kind, at_hand(body.result))
            again = f"the same as {body.same_as}" if body.same_as else ""
            held = "held until it is verified" if body.held else ""
            aside = ", ".join(part for part in (aside, again, held) if part)
            return "✓", "green", subject, result, aside, item.kind in _TOLD_ELSEWHERE
        problem = body.problem or Problem()
        why, way_out = one_line(problem.error or problem.code, 200), one_line(problem.hint, 120)
        aside = f"{aside}; {way_out}" if aside and way_out else aside or way_out
        if body.status is Status.REFUSED:
            return "⊘", "magenta", subject, f"refused: {why}", aside, False
        if body.status is Status.UNKNOWN:
            return "?", "bold yellow", subject, f"nobody knows whether it happened: {why}", aside, False
        sure = "failed" if body.happened else "did not happen"
        return "✗", "red", subject, f"{sure}: {why}", aside, False

    def _waiting(self, item: Entry, body: Waiting) -> tuple[Any, ...]:
        subject = self._asked(item, body.asked) if body.asked is not None else self._call(body.call).subject
        asked = at_hand(body.asked.args) if body.asked is not None else None
        until = f"until {moment(body.until_us)}" if body.until_us else ""
        if item.kind == Kind.HUMAN and isinstance(asked, dict):
            options = ", ".join(map(str, asked.get("options") or ()))
            return "?", "blue", "asks", one_line(str(asked.get("question", "")), 400), options or until, False
        texts = {"timer": "", "signal": "is waited for", "child": "is waited for"}
        return "…", "blue", subject, texts.get(body.condition, f"waits: {body.condition}"), until, False

    def _resolved(self, item: Entry, body: Resolved) -> tuple[Any, ...]:
        said = {"happened": "it happened", "not_happened": "it did not happen", "again": "it is performed again"}
        aside = f"says {one_line(body.by, 60)}" + (f": {one_line(body.note, 120)}" if body.note else "")
        return "!", "yellow", self._call(body.call).subject, said[body.verdict], aside, False

    def _evidence(self, item: Entry, body: Evidence) -> tuple[Any, ...]:
        return "!", "yellow", self._call(body.call).subject, f"a late result came in: {body.end}", body.error, False

    def _received(self, item: Entry, body: Received) -> tuple[Any, ...]:
        value, sender = at_hand(body.value), f"from {one_line(body.sender.partition(':')[0], 60)}"
        if body.kind == "order":
            return "◆", "magenta", "order", body.name, sender, False
        if body.kind == "child":
            state = value.get("state", "") if isinstance(value, dict) else ""
            return "◆", "blue", "child", f"{body.name[-8:]} {state}", "", False
        if body.kind == "answer":
            return "◆", "blue", "answer", preview(value), "", False
        return "◆", "blue", body.kind, f"{one_line(body.name, 60)} {preview(value)}", sender, False

    def _moved(self, item: Entry, body: Moved) -> tuple[Any, ...]:
        if body.state == State.PARKED:
            return "■", "bold yellow", "parked", body.reason, one_line(body.detail, 300), False
        until = f"until {moment(body.until_us)}" if body.until_us else ""
        return "·", "dim", body.state, body.reason, one_line(body.detail, 300) or until, True

    def _rethought(self, item: Entry, body: Rethought) -> tuple[Any, ...]:
        return "↺", "yellow", "rethinks", f"from entry {body.from_seq}", one_line(f"{body.by}: {body.why}", 300), False

    def _reopened(self, item: Entry, body: Reopened) -> tuple[Any, ...]:
        what = f"call {body.call} is performed again" if body.call else "it goes on"
        return "↺", "yellow", "reopened", what, f"by {one_line(body.by, 60)}", False

    def _continued(self, item: Entry, body: Continued) -> tuple[Any, ...]:
        return "↺", "blue", "continues", "with a new history", preview(at_hand(body.state)), False

    def _ended(self, item: Entry, body: Ended) -> tuple[Any, ...]:
        doubts = f"in doubt: {', '.join(map(str, body.in_doubt))}" if body.in_doubt else ""
        if body.state == State.SUCCEEDED:
            return "●", "bold green", "succeeded", preview(at_hand(body.result)), doubts, False
        style = "bold red" if body.state == State.FAILED else "bold"
        return "●", style, body.state, one_line(body.error or body.code, 300), doubts, False

    def _progressed(self, item: Entry, body: Progressed) -> tuple[Any, ...]:
        part = "" if body.fraction is None else f"{body.fraction:.0%}"
        return "·", "", "says", one_line(body.text, 300), part, False

    def _verified(self, item: Entry, body: Verified) -> tuple[Any, ...]:
        subject = self._call(body.call).subject
        if body.passed:
            return "✓", "green", subject, "verified", one_line(body.reason, 120), False
        return "✗", "red", subject, "did not pass its verifier", one_line(body.reason, 120), False

    def _attempted(self, item: Entry, body: Attempted) -> tuple[Any, ...]:
        return "→", "cyan", self._call(body.call).subject, f"attempt {body.attempt}", one_line(body.why, 120), False


def _subject(kind: str, asked: Asked) -> str:
    name = model_name(asked.name)
    given = at_hand(asked.args)
    if kind == Kind.TIMER and isinstance(given, dict):
        return f"sleep {span(float(given.get('seconds') or 0))}"
    if kind in (Kind.SPAWN, Kind.CHILD) and isinstance(given, dict):
        task = given.get("task")
        return f"{kind} {name}" + (f" {short(parse_id(task))}" if task else "")
    return name if kind == Kind.TOOL else kind if kind in _QUIET_KINDS else f"{kind} {name}"


def _result(kind: str, value: Any) -> str:
    if kind == Kind.MODEL and isinstance(value, dict):
        calls = [str(call.get("function", {}).get("name", "")) for call in value.get("tool_calls") or ()]
        text = one_line(str(value.get("content") or ""), 100)
        return " ".join(part for part in (text, f"[wants {', '.join(calls)}]" if calls else "") if part)
    if kind == Kind.SIGNAL and isinstance(value, dict):
        return preview(value.get("value"))
    if kind == Kind.SPAWN and isinstance(value, dict) and value.get("task"):
        return f"task {short(parse_id(str(value['task'])))}"
    return "" if value is None else preview(value)
