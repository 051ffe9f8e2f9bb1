"""What node, brain and hand say to each other over an inherited socket pair.

A frame is a 4-byte big-endian length and that many bytes of msgpack. A brain is a stepper: each message from the
kernel makes it run until all of its strands are blocked, and answers with one `Stepped`. It never opens the store.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from comity.core.codec import Digest, pack
from comity.core.ids import Id
from comity.journal.budget import Cost
from comity.journal.call import Attempt, Call, CallContext, Delivered
from comity.journal.segment import EMPTY_HEAD
from comity.journal.spec import Program


class Recorded(msgspec.Struct, frozen=True, array_like=True):
    """A call that the journal knows: `order` is its place in the delivery order, 0 while it has no outcome to deliver.

    For a model call `head` names its context, so that a resumed agent can extend it. An outside program's door is also
    told the arguments, in which incarnation the call was asked, and the last delivery that the program had by then.
    """

    seq: int
    branch: str
    kind: str
    name: str
    occurrence: int
    digest: Digest
    order: int = 0
    delivered: Delivered | None = None
    head: Digest = EMPTY_HEAD
    args: bytes = b""
    incarnation: int = 0
    consumed: int = 0


class Start(msgspec.Struct, frozen=True, array_like=True, tag="start"):
    """To a brain: run this task. `history` is in journal order; `state` is what `continue_with` left, else null.

    `session` holds the session's messages (canonical JSON each) as the task found them; `seed` feeds nothing that is
    not journaled. `is_resumed` says that an outside program is older than its task's stay at this node.
    """

    task: Id
    agent: str
    goal: bytes
    incarnation: int
    history: tuple[Recorded, ...] = ()
    state: bytes = b"null"
    session_id: str = ""
    session_head: Digest = EMPTY_HEAD
    session: tuple[bytes, ...] = ()
    model: str = ""
    is_resumed: bool = False


class Deliver(msgspec.Struct, frozen=True, array_like=True, tag="deliver"):
    """To a brain: the call of this key ended. `order` is the seq of the entry that settled it: deliveries go by it."""

    order: int
    branch: str
    kind: str
    name: str
    occurrence: int
    delivered: Delivered
    head: Digest = EMPTY_HEAD


class Streamed(msgspec.Struct, frozen=True, array_like=True):
    """To an outside program's door: a raw piece of the answer to the model call of this key, by its n-th attempt.

    The pieces of one attempt are a prefix of the body that its outcome records.
    """

    branch: str
    kind: str
    name: str
    occurrence: int
    attempt: int
    raw: bytes


class Said(msgspec.Struct, frozen=True, array_like=True):
    """A word of progress from an agent."""

    branch: str
    text: str
    fraction: float | None = None


class Finished(msgspec.Struct, frozen=True, array_like=True):
    """The agent returned (`error` empty) or raised. `session` holds the messages that it adds to the session."""

    result: bytes = b"null"
    code: str = ""
    error: str = ""
    traceback: str = ""
    session: tuple[bytes, ...] = ()


class Divergence(msgspec.Struct, frozen=True, array_like=True):
    """A resumed agent and its journal disagree: entry `seq` holds `recorded`, the agent asked `asked`."""

    seq: int
    branch: str
    recorded: str
    asked: str


class Stepped(msgspec.Struct, frozen=True, array_like=True, tag="stepped"):
    """From a brain: it ran until blocked. `consumed` is the order of the last delivery that it has seen.

    `stalled` says why an outside program is taken for gone: its task is parked until it is heard of again.
    """

    consumed: int
    calls: tuple[Call, ...] = ()
    said: tuple[Said, ...] = ()
    finished: Finished | None = None
    diverged: Divergence | None = None
    stalled: str = ""


class Perform(msgspec.Struct, frozen=True, array_like=True, tag="perform"):
    """To a hand: perform one attempt. The hand looks at the clock last, then calls the tool."""

    id: int
    tool: str
    args: bytes
    context: CallContext
    expires_s: float


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag="cancel"):
    """To a hand: end that attempt; it answers `unknown` unless it had ended."""

    id: int


class Lease(msgspec.Struct, frozen=True, array_like=True, tag="lease"):
    """To a hand: the node's lease lasts until `until_s` (monotonic); a hand that outlives it ends itself."""

    until_s: float


class Describe(msgspec.Struct, frozen=True, array_like=True, tag="describe"):
    """To a hand: say what your agent file offers."""


class Complete(msgspec.Struct, frozen=True, array_like=True, tag="complete"):
    """To a hand: let the scripted model `name` of your file answer `request` (canonical JSON)."""

    id: int
    name: str
    request: bytes


class Attempted(msgspec.Struct, frozen=True, array_like=True, tag="attempted"):
    """From a hand: how the attempt ended."""

    id: int
    attempt: Attempt


class Reported(msgspec.Struct, frozen=True, array_like=True, tag="reported"):
    """From a hand: progress of a running attempt, or a piece of a scripted model's stream (`text`)."""

    id: int
    text: str
    fraction: float | None = None


class Described(msgspec.Struct, frozen=True, array_like=True, tag="described"):
    """From a hand: its program, or why the file cannot be loaded."""

    program: Program | None
    error: str = ""
    code: str = ""
    hint: str = ""


class Delta(msgspec.Struct, frozen=True, array_like=True):
    """A piece of a model's stream. The last one carries the whole `message` (canonical JSON) and the usage.

    `cost` is None where the upstream reported no usage: then the whole reserve is charged. `raw` are bytes of a
    gateway's request that may go out before the outcome is durable; its `message` is an `Answer` (`journal/wire.py`).
    """

    text: str = ""
    message: bytes = b""
    cost: Cost | None = None
    finish: Literal["", "stop", "length", "tool_calls", "error"] = ""
    raw: bytes = b""


ToBrain = Start | Deliver
ToHand = Perform | Cancel | Lease | Describe | Complete
FromHand = Attempted | Reported | Described

decode_to_brain = msgspec.msgpack.Decoder(ToBrain).decode
decode_from_brain = msgspec.msgpack.Decoder(Stepped).decode
decode_to_hand = msgspec.msgpack.Decoder(ToHand).decode
decode_from_hand = msgspec.msgpack.Decoder(FromHand).decode


def frame(message: ToBrain | Stepped | ToHand | FromHand) -> bytes:
    """Return the message with its length in front."""
    data = pack(message)
    return len(data).to_bytes(4, "big") + data
