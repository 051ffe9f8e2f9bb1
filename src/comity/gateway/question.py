"""The question: one request of an outside program, as recall compares it and as the kernel gets it.

A thought's `args` hold, beside what the kernel wants (`model`, `head`, `wire`, `rest`, …), what a later incarnation
compares: `mask` (hex), `roles`, and `after`, the thought that it goes on from. `after` is put in when the question
becomes a call, since only recall knows it.
"""

from __future__ import annotations

import msgspec

from comity.core.codec import Digest, canonical, digest
from comity.journal.call import Call, CallKey, Kind
from comity.journal.segment import EMPTY_HEAD, Segment


class Question(msgspec.Struct, frozen=True):
    """What an outside program asks. `args` is canonical JSON; two questions of one `exact` are the same to the byte.

    `exact` may be left out: it follows from `args`. `acts` says that the question is an effect, `is_retry` that the
    client library says that it repeats itself. The rest is of thoughts: `mask` is the digest of the canonical request
    with its declared volatile parts masked, `roles` the conversation's role sequence, `heads` the head after each of
    its messages (the last one is its own), `results` those of its messages that tell results of functions, each with
    its place. `base` and `segments` are as a `Call` has them.
    """

    kind: Kind
    name: str
    args: bytes
    exact: Digest = b""
    mask: Digest = b""
    roles: tuple[str, ...] = ()
    acts: bool = False
    is_retry: bool = False
    heads: tuple[Digest, ...] = ()
    base: Digest = EMPTY_HEAD
    segments: tuple[Segment, ...] = ()
    results: tuple[tuple[int, bytes], ...] = ()

    def __post_init__(self) -> None:
        """Fill in `exact`."""
        if not self.exact:
            msgspec.structs.force_setattr(self, "exact", exact_of(self.kind, self.args))

    @property
    def is_thought(self) -> bool:
        """Tell whether a model is asked."""
        return self.kind is Kind.MODEL

    @property
    def is_effect(self) -> bool:
        """Tell whether the world may change: an acting tool, or a child that is started."""
        return self.acts or self.kind is Kind.SPAWN

    def args_after(self, after: CallKey | None) -> bytes:
        """Return the arguments of a call that goes on from the thought `after`."""
        if after is None:
            return self.args
        # Canonical JSON has its keys sorted, and `after` is a thought's first one.
        return b'{"after":' + canonical([after.name, after.occurrence]) + b"," + self.args[1:]

    def call(self, key: CallKey, consumed: int, after: CallKey | None = None) -> Call:
        """Return the kernel's call under `key`."""
        return Call(*key, self.args_after(after), self.base, self.segments, consumed)


class RecordedThought(msgspec.Struct, frozen=True):
    """What recall reads in a recorded thought's arguments."""

    model: str = ""
    head: str = ""
    wire: str = ""
    rest: str = ""
    mask: str = ""
    roles: tuple[str, ...] = ()
    after: tuple[str, int] | None = None

    @property
    def exact(self) -> Digest:
        """Return what makes two thoughts the same, byte for byte."""
        return exact_thought(self.wire, self.model, self.head, self.rest.encode())

    @property
    def parent(self) -> CallKey | None:
        """Return the thought that this one went on from, or None where it began a conversation."""
        return None if self.after is None else CallKey("", Kind.MODEL, *self.after)


read_thought = msgspec.json.Decoder(RecordedThought).decode
"""Read a thought's arguments (canonical JSON)."""


def exact_of(kind: str, args: bytes) -> Digest:
    """Return what makes two questions of a kind the same, byte for byte."""
    return read_thought(args).exact if kind == Kind.MODEL else digest(args)


def exact_thought(wire: str, model: str, head: str, rest: bytes) -> Digest:
    """Return what makes two thoughts the same: format, model, conversation (its head in hex), and all other fields."""
    return digest(canonical([wire, model, head, digest(rest).hex()]))
