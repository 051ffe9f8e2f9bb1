"""What a look over a whole store finds: entries without a gap, leaves and segments that are what their hashes say."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from comity.core.codec import Digest
from comity.core.ids import Id, show_id
from comity.journal.entry import Entry, leaf
from comity.stores.decode import unsqueeze

_HASH_BYTES = 32


class Finding(msgspec.Struct, frozen=True):
    """Something that is not as it was: `what` is `gap`, `entry`, `leaf`, `segment` or `file`, `where` names it."""

    what: str
    where: str
    message: str


class Pruned(msgspec.Struct, frozen=True):
    """What `prune` deleted."""

    tasks: int
    entries: int
    segments: int
    nodes: int


def find_gap(task: Id, last_seq: int, count: int, first: int, last: int) -> Finding | None:
    """Return a finding where a task's entries are not numbered 1 to `last_seq`."""
    if (count, first, last) in ((last_seq, 1, last_seq), (0, 0, 0)) and count == last_seq:
        return None
    message = f"{count} entries from {first} to {last}, where 1 to {last_seq} should be"
    return Finding("gap", show_id(task), message)


def find_unreadable(task: Id, entry: Entry) -> Finding | None:
    """Return a finding where an entry's body is of no known shape."""
    try:
        msgspec.msgpack.decode(entry.body)
    except msgspec.DecodeError as error:
        return Finding("entry", f"{show_id(task)}/{entry.seq}", f"the body cannot be read ({error})")
    return None


def find_wrong_leaf(index: int, expected: Digest, task: Id, entry: Entry) -> Finding | None:
    """Return a finding where an entry is not the one whose hash stands in the tree."""
    if leaf(task, entry) == expected:
        return None
    return Finding("leaf", f"{show_id(task)}/{entry.seq}", f"the entry was changed after it became leaf {index}")


def find_wrong_segment(tenant: str, sha256: Digest, codec: int, data: bytes) -> Finding | None:
    """Return a finding where a segment's content is not what its hash says."""
    where = f"{tenant}/{sha256.hex()}"
    try:
        content = unsqueeze(codec, data)
    except (ValueError, OSError, RuntimeError) as error:
        return Finding("segment", where, f"cannot be unpacked ({error})")
    if hashlib.sha256(content).digest() == sha256:
        return None
    return Finding("segment", where, "its content has another hash")


def hashes_in(body: bytes) -> Iterator[Digest]:
    """Yield everything in a packed body that could be a segment's hash: every 32 bytes that stand by themselves."""
    stack: list[Any] = [msgspec.msgpack.decode(body)]
    while stack:
        value = stack.pop()
        if isinstance(value, bytes):
            if len(value) == _HASH_BYTES:
                yield value
        elif isinstance(value, Sequence) and not isinstance(value, str):
            stack.extend(value)
        elif isinstance(value, dict):
            stack.extend(value.values())
