"""The journal's entries: one record each of what a task asked, meant, did, waited for and was told.

An entry is (seq, branch, kind, phase, at, body). The body is msgpack of one of the structs below; its first element
is a number that names the struct and never changes meaning: a changed shape gets a new number. Format:
`docs/internals/journal-format.md`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Literal

import msgspec

from comity.core.codec import Digest, pack
from comity.core.errors import JournalError, Retry
from comity.core.ids import Id
from comity.journal.budget import NO_COST, Budget, Cost, Grant
from comity.journal.call import Status
from comity.journal.segment import EMPTY_HEAD, NOTHING, Payload
from comity.journal.world import Touched


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """The call as its agent asked it (branch and kind stand on the entry); `round` counts rethinks."""

    name: str
    occurrence: int
    digest: Digest
    args: Payload
    round: int = 0


class Created(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A task begins: always entry 1. A fork's entries up to `forked_at` are its origin's, copied."""

    format: int
    agent: str
    goal: Payload
    tenant: str
    session: str
    parent: Id
    grant: Grant
    budget: Budget
    forked_from: Id = b""
    forked_at: int = 0
    live: bool = False
    model: str = ""


class Incarnated(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A brain begins, or begins again. `session_head` is the session's context as this task found it."""

    incarnation: int
    epoch: int
    node: Id
    agent_version: str
    session_head: Digest = EMPTY_HEAD


class Context(msgspec.Struct, frozen=True, array_like=True):
    """A model call's context: `head` is `base` extended by `new` segments."""

    head: Digest
    base: Digest
    new: tuple[Digest, ...]


class Intent(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """A call is about to be performed. The call's number is this entry's seq.

    `performed` is the digest of the arguments actually performed where a gate trimmed them (then `args` is those),
    `once` the business key that this call holds. `cleans` is the call that a reconcile, compensate or verify call
    belongs to. `touched` is what admission let it do to the shared world; None where it does nothing to it.
    """

    asked: Asked
    effect: str
    generation: int = 0
    reserve: Cost = NO_COST
    consumed: int = 0
    once: str = ""
    performed: Digest = b""
    args: Payload = NOTHING
    context: Context | None = None
    cleans: int = 0
    touched: Touched | None = None


class Problem(msgspec.Struct, frozen=True, array_like=True):
    """What an agent is told of a call that was refused or failed, and what may be tried."""

    code: str = ""
    error: str = ""
    hint: str = ""
    retry: Retry = "never"


class Outcome(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """A call ended. `call` is its intent's seq; 0 where the call needed no intent: then `asked` stands here.

    `status` unknown leaves the call in doubt until a `Resolved`. `happened` is False where the effect is known not to
    have happened. `held` keeps the delivery back until a `Verified`. `same_as` names the call whose outcome answers
    this one.
    """

    call: int
    status: Status
    result: Payload = NOTHING
    cost: Cost | None = None
    attempt: int = 0
    asked: Asked | None = None
    problem: Problem | None = None
    happened: bool = True
    same_as: str = ""
    held: bool = False


class Waiting(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """A call waits: `condition` names what for (`timer`, `signal`, …, `deferred`), `until_us` the latest moment.

    `why` says in words what a gate has against a deferred one for now.

    `call` is 0 for the first entry of a waiting call (whose number is then this entry's seq).
    """

    call: int
    condition: str
    asked: Asked | None = None
    n: int = 0
    until_us: int | None = None
    on: str = ""
    context: Context | None = None
    why: str = ""


class Resolved(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """A doubt is over: what happened, who says so. `again` performs the call once more under `generation`."""

    call: int
    verdict: Literal["happened", "not_happened", "again"]
    by: str
    result: Payload = NOTHING
    generation: int = 0
    note: str = ""
    cost: Cost = NO_COST


class Evidence(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """A late result of a worker that no longer owned the task: no outcome, but it resolves the doubt."""

    call: int
    attempt: int
    epoch: int
    end: str
    result: Payload = NOTHING
    error: str = ""
    cost: Cost = NO_COST


class Received(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """A message was taken out of the inbox; its place here is what a replay sees."""

    message: int
    kind: str
    name: str
    sender: str
    value: Payload


class Moved(msgspec.Struct, frozen=True, array_like=True, tag=9):
    """The task changed its state."""

    state: str
    reason: str = ""
    detail: str = ""
    until_us: int = 0


class Rethought(msgspec.Struct, frozen=True, array_like=True, tag=10):
    """Recall of calls asked at or after `from_seq` ends: they are thought anew, as round `round`."""

    from_seq: int
    round: int
    by: str
    why: str = ""


class Reopened(msgspec.Struct, frozen=True, array_like=True, tag=11):
    """A failed task goes on. `call`, if not 0, is performed again under the same key."""

    call: int
    by: str


class Continued(msgspec.Struct, frozen=True, array_like=True, tag=12):
    """`continue_with`: the history is closed, recall starts here with this state."""

    state: Payload
    round: int


class Ended(msgspec.Struct, frozen=True, array_like=True, tag=13):
    """The task is over. `in_doubt` lists the calls of which nobody knows whether they happened."""

    state: str
    result: Payload = NOTHING
    code: str = ""
    error: str = ""
    in_doubt: tuple[int, ...] = ()


class Progressed(msgspec.Struct, frozen=True, array_like=True, tag=14):
    """A word on how far an agent or a call is."""

    text: str
    fraction: float | None = None
    call: int = 0


class Verified(msgspec.Struct, frozen=True, array_like=True, tag=15):
    """A verifier looked at an outcome."""

    call: int
    passed: bool
    reason: str = ""


class Attempted(msgspec.Struct, frozen=True, array_like=True, tag=16):
    """Another attempt of an intent starts: the earlier one is known not to have started, or the class allows it.

    Where `starts` is False none does yet: it is only known that the earlier one did not.
    """

    call: int
    attempt: int
    why: str
    starts: bool = True


Body = (
    Created
    | Incarnated
    | Intent
    | Outcome
    | Waiting
    | Resolved
    | Evidence
    | Received
    | Moved
    | Rethought
    | Reopened
    | Continued
    | Ended
    | Progressed
    | Verified
    | Attempted
)

_decode: Callable[[bytes], Body] = msgspec.msgpack.Decoder(Body).decode

_PHASE = {
    Intent: "intent",
    Outcome: "outcome",
    Waiting: "waiting",
    Resolved: "resolved",
    Attempted: "intent",
    Evidence: "evidence",
    Verified: "verified",
}


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One record of a task's journal; `body` is packed."""

    seq: int
    branch: str
    kind: str
    phase: str
    at_us: int
    body: bytes

    def read(self) -> Body:
        """Return the body.

        Raises:
            JournalError: the body is of no known shape: the journal was written by a newer Comity, or is damaged.
        """
        try:
            return _decode(self.body)
        except msgspec.DecodeError as error:
            raise JournalError(
                "unreadable_entry",
                f"entry `{self.seq}` cannot be read ({error})",
                hint="was it written by a newer version?",
            ) from None


class Logged(msgspec.Struct, frozen=True, array_like=True):
    """An entry as it stands in the log of all tasks, at an append-only position."""

    position: int
    task: Id
    entry: Entry


def entry(seq: int, branch: str, kind: str, at_us: int, body: Body) -> Entry:
    """Return the entry that records `body`."""
    phase = _PHASE.get(type(body), "note")
    if type(body) is Outcome and body.status is Status.REFUSED:
        phase = "refused"
    return Entry(seq, branch, kind, phase, at_us, pack(body))


def leaf(task: Id, item: Entry) -> Digest:
    """Return the RFC 6962 leaf hash of an entry: SHA-256(0x00 ‖ msgpack of task and entry)."""
    return hashlib.sha256(b"\x00" + pack((task, item))).digest()
