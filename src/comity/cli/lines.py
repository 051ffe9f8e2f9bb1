"""The journal in lines: each entry told in one, with a mark that says at a glance what it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from comity.journal.budget import Cost
from comity.journal.call import Kind, Status
from comity.journal.task import State
from comity.runtime.words import arguments, cost, model_name, moment, one_line, preview, short, span, us_of
from comity.server.documents import Document, EntryDocument

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


Told = tuple[str, str, str, str, str, bool]
"""Mark, style, subject, text, aside, and whether it is of little interest."""


class Teller:
    """Tells the entries of one task in order; it remembers what each call was, since outcomes name only its number."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._calls: dict[int, _Call] = {}
        self._tellers: dict[str, Callable[[EntryDocument, Document], Told]] = {
            "created": self._created,
            "incarnated": self._incarnated,
            "intent": self._intent,
            "outcome": self._outcome,
            "waiting": self._waiting,
            "resolved": self._resolved,
            "evidence": self._evidence,
            "received": self._received,
            "moved": self._moved,
            "rethought": self._rethought,
            "reopened": self._reopened,
            "continued": self._continued,
            "ended": self._ended,
            "progressed": self._progressed,
            "verified": self._verified,
            "attempted": self._attempted,
        }

    def tell(self, item: EntryDocument) -> Line:
        """Return the line of an entry."""
        tell = self._tellers.get(item.type, self._unknown)
        return Line(item.seq, us_of(item.at), item.branch, *tell(item, item.body))

    def _asked(self, item: EntryDocument, asked: Document) -> str:
        subject = _subject(item.kind, asked)
        self._calls[item.seq] = _Call(subject, us_of(item.at))
        return subject

    def _call(self, seq: int) -> _Call:
        return self._calls.get(seq, _Call(f"call {seq}", 0))

    def _created(self, item: EntryDocument, body: Document) -> Told:
        origin = f"fork of {short(body['forked_from'])} at {body['forked_at']}" if body["forked_from"] else ""
        return "●", "bold", "task", f"for {body['agent']}: {preview(at_hand(body['goal']))}", origin, False

    def _incarnated(self, item: EntryDocument, body: Document) -> Told:
        version = f"version {one_line(body['agent_version'], 20)}" if body["agent_version"] else ""
        is_first = body["incarnation"] == 1
        word = "begins" if is_first else "begins again"
        return "·", "dim", "brain", f"{word} on node {short(body['node'])}", version, is_first

    def _intent(self, item: EntryDocument, body: Document) -> Told:
        subject = self._asked(item, body["asked"])
        if item.kind == Kind.MODEL:
            return "→", "cyan", subject, "thinks", "", True
        aside = body["effect"] + (f", for call {body['cleans']}" if body["cleans"] else "")
        given = body["args"] if body["performed"] else body["asked"]["args"]
        return "→", "cyan", subject, f"({arguments(at_hand(given))})", aside, False

    def _outcome(self, item: EntryDocument, body: Document) -> Told:
        if body["asked"] is not None:
            subject, took = self._asked(item, body["asked"]), ""
        else:
            call = self._call(body["call"])
            subject, took = call.subject, span(max(us_of(item.at) - call.at_us, 0) / 1e6) if call.at_us else ""
        used = cost(Cost(**body["cost"])) if body["cost"] is not None else ""
        aside = ", ".join(part for part in (took, used) if part)
        if body["status"] == Status.DONE:
            result = _result(item.kind, at_hand(body["result"]))
            again = f"the same as {body['same_as']}" if body["same_as"] else ""
            held = "held until it is verified" if body["held"] else ""
            aside = ", ".join(part for part in (aside, again, held) if part)
            return "✓", "green", subject, result, aside, item.kind in _TOLD_ELSEWHERE
        problem = body["problem"] or {"code": "", "error": "", "hint": ""}
        why, way_out = one_line(problem["error"] or problem["code"], 200), one_line(problem["hint"], 120)
        aside = f"{aside}; {way_out}" if aside and way_out else aside or way_out
        if body["status"] == Status.REFUSED:
            return "⊘", "magenta", subject, f"refused: {why}", aside, False
        if body["status"] == Status.UNKNOWN:
            return "?", "bold yellow", subject, f"nobody knows whether it happened: {why}", aside, False
        sure = "failed" if body["happened"] else "did not happen"
        return "✗", "red", subject, f"{sure}: {why}", aside, False

    def _waiting(self, item: EntryDocument, body: Document) -> Told:
        asked = body["asked"]
        subject = self._asked(item, asked) if asked is not None else self._call(body["call"]).subject
        given = at_hand(asked["args"]) if asked is not None else None
        until = f"until {moment(body['until_us'])}" if body["until_us"] else ""
        if item.kind == Kind.HUMAN and isinstance(given, dict):
            options = ", ".join(map(str, given.get("options") or ()))
            return "?", "blue", "asks", one_line(str(given.get("question", "")), 400), options or until, False
        texts = {"timer": "", "signal": "is waited for", "child": "is waited for"}
        text = texts.get(body["condition"], f"waits: {body['condition']}")
        return "…", "blue", subject, text, until, False

    def _resolved(self, item: EntryDocument, body: Document) -> Told:
        said = {"happened": "it happened", "not_happened": "it did not happen", "again": "it is performed again"}
        aside = f"says {one_line(body['by'], 60)}" + (f": {one_line(body['note'], 120)}" if body["note"] else "")
        return "!", "yellow", self._call(body["call"]).subject, said[body["verdict"]], aside, False

    def _evidence(self, item: EntryDocument, body: Document) -> Told:
        text = f"a late result came in: {body['end']}"
        return "!", "yellow", self._call(body["call"]).subject, text, body["error"], False

    def _received(self, item: EntryDocument, body: Document) -> Told:
        value, sender = at_hand(body["value"]), f"from {one_line(body['sender'].partition(':')[0], 60)}"
        kind, name = body["kind"], body["name"]
        if kind == "order":
            return "◆", "magenta", "order", name, sender, False
        if kind == "child":
            state = value.get("state", "") if isinstance(value, dict) else ""
            return "◆", "blue", "child", f"{name[-8:]} {state}", "", False
        if kind == "answer":
            return "◆", "blue", "answer", preview(value), "", False
        return "◆", "blue", kind, f"{one_line(name, 60)} {preview(value)}", sender, False

    def _moved(self, item: EntryDocument, body: Document) -> Told:
        detail = one_line(body["detail"], 300)
        if body["state"] == State.PARKED:
            return "■", "bold yellow", "parked", body["reason"], detail, False
        until = f"until {moment(body['until_us'])}" if body["until_us"] else ""
        return "·", "dim", body["state"], body["reason"], detail or until, True

    def _rethought(self, item: EntryDocument, body: Document) -> Told:
        aside = one_line(f"{body['by']}: {body['why']}", 300)
        return "↺", "yellow", "rethinks", f"from entry {body['from_seq']}", aside, False

    def _reopened(self, item: EntryDocument, body: Document) -> Told:
        what = f"call {body['call']} is performed again" if body["call"] else "it goes on"
        return "↺", "yellow", "reopened", what, f"by {one_line(body['by'], 60)}", False

    def _continued(self, item: EntryDocument, body: Document) -> Told:
        return "↺", "blue", "continues", "with a new history", preview(at_hand(body["state"])), False

    def _ended(self, item: EntryDocument, body: Document) -> Told:
        state = body["state"]
        doubts = f"in doubt: {', '.join(map(str, body['in_doubt']))}" if body["in_doubt"] else ""
        if state == State.SUCCEEDED:
            return "●", "bold green", "succeeded", preview(at_hand(body["result"])), doubts, False
        style = "bold red" if state == State.FAILED else "bold"
        return "●", style, state, one_line(body["error"] or body["code"], 300), doubts, False

    def _progressed(self, item: EntryDocument, body: Document) -> Told:
        part = "" if body["fraction"] is None else f"{body['fraction']:.0%}"
        return "·", "", "says", one_line(body["text"], 300), part, False

    def _verified(self, item: EntryDocument, body: Document) -> Told:
        subject, reason = self._call(body["call"]).subject, one_line(body["reason"], 120)
        if body["passed"]:
            return "✓", "green", subject, "verified", reason, False
        return "✗", "red", subject, "did not pass its verifier", reason, False

    def _attempted(self, item: EntryDocument, body: Document) -> Told:
        subject, why = self._call(body["call"]).subject, one_line(body["why"], 120)
        return "→", "cyan", subject, f"attempt {body['attempt']}", why, False

    def _unknown(self, item: EntryDocument, body: Document) -> Told:
        return "?", "bold red", "entry", f"of a kind that is not known here: {item.type}", "", False


def at_hand(value: Any) -> Any:
    """Return the value of a document's field; of one that stands elsewhere, its size in words."""
    if isinstance(value, dict) and value.keys() == {"sha256", "bytes"}:
        return f"({value['bytes']:,} bytes)"
    return value


def _subject(kind: str, asked: Document) -> str:
    name = model_name(asked["name"])
    given = at_hand(asked["args"])
    if kind == Kind.TIMER and isinstance(given, dict):
        return f"sleep {span(float(given.get('seconds') or 0))}"
    if kind in (Kind.SPAWN, Kind.CHILD) and isinstance(given, dict):
        task = given.get("task")
        return f"{kind} {name}" + (f" {short(str(task))}" if task else "")
    return name if kind == Kind.TOOL else kind if kind in _QUIET_KINDS else f"{kind} {name}"


def _result(kind: str, value: Any) -> str:
    if kind == Kind.MODEL and isinstance(value, dict):
        calls = [str(call.get("function", {}).get("name", "")) for call in value.get("tool_calls") or ()]
        text = one_line(str(value.get("content") or ""), 100)
        return " ".join(part for part in (text, f"[wants {', '.join(calls)}]" if calls else "") if part)
    if kind == Kind.SIGNAL and isinstance(value, dict):
        return preview(value.get("value"))
    if kind == Kind.SPAWN and isinstance(value, dict) and value.get("task"):
        return f"task {short(str(value['task']))}"
    return "" if value is None else preview(value)
