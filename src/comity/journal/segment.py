"""Segments (immutable, content-addressed pieces) and heads (the hash that names a whole context).

A context is a chain: `head(n) = SHA-256("comity.head" ‖ head(n−1) ‖ sha256(segment n))`, starting at thirty-two zero
bytes. A model call journals its head and the segments that are new in it, never the prompt again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from comity.core.codec import Digest, digest
from comity.core.limits import INLINE_BYTES_MAX

EMPTY_HEAD: Digest = bytes(32)
_DOMAIN = b"comity.head"


class Segment(msgspec.Struct, frozen=True, array_like=True):
    """Content and its SHA-256."""

    sha256: Digest
    data: bytes


class Payload(msgspec.Struct, frozen=True, array_like=True):
    """Canonical JSON that stands in its entry (`inline`) or in a segment (`sha256`, `size` in bytes)."""

    inline: bytes = b""
    sha256: Digest = b""
    size: int = 0


NOTHING = Payload()


def segment(data: bytes) -> Segment:
    """Return `data` under its hash."""
    return Segment(digest(data), data)


def payload(data: bytes) -> tuple[Payload, Segment | None]:
    """Return the payload for `data`, and the segment to write first where it is too large to stand in an entry."""
    if len(data) <= INLINE_BYTES_MAX:
        return Payload(data), None
    held = segment(data)
    return Payload(b"", held.sha256, len(data)), held


def head_after(head: Digest, segments: Iterable[Digest]) -> Digest:
    """Return the head of the context that `segments` (their hashes) extend."""
    for sha256 in segments:
        head = hashlib.sha256(_DOMAIN + head + sha256).digest()
    return head
