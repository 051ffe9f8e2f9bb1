"""Identifiers: UUIDv7 for tasks and nodes, derived ones where the same cause must give the same id.

Ids travel as 16 bytes and are shown as the usual 36 characters. Source: RFC 9562, §5.7 and §5.8.
"""

from __future__ import annotations

import hashlib
import uuid

from comity.core.clock import Clock
from comity.core.entropy import Entropy
from comity.core.errors import UsageError

Id = bytes
"""Sixteen bytes of a UUID."""


def new_id(clock: Clock, entropy: Entropy) -> Id:
    """Return a UUIDv7: it sorts by the millisecond in which it was made."""
    milliseconds = clock.wall_us() // 1_000
    chance = entropy.take(10)
    head = milliseconds.to_bytes(6, "big")
    return head + bytes((0x70 | chance[0] & 0x0F, chance[1], 0x80 | chance[2] & 0x3F)) + chance[3:]


def derived_id(*parts: bytes) -> Id:
    """Return the UUIDv8 that these parts always give: a child's id, found again after a crash."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
    raw = bytearray(digest.digest()[:16])
    raw[6] = 0x80 | raw[6] & 0x0F
    raw[8] = 0x80 | raw[8] & 0x3F
    return bytes(raw)


def show_id(id: Id) -> str:
    """Return the 36 characters that people and URLs use."""
    return str(uuid.UUID(bytes=id))


def parse_id(text: str) -> Id:
    """Return the id that `text` shows.

    Raises:
        UsageError: `text` is not a UUID.
    """
    try:
        return uuid.UUID(text).bytes
    except ValueError:
        raise UsageError(
            "not_an_id", f"`{text}` is not an id", hint="an id has 36 characters; `comity tasks ls` lists them"
        ) from None
