"""The keys under which a task's questions become calls: none is given twice, and what is on its way keeps its own.

A call that was asked and whose outcome nobody has heard of may not stand in the journal yet: a read is journaled when
it ends, an effect when it is meant. Whoever asks the same is given that call's key, and the kernel joins the two.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from comity.core.codec import Digest, digest
from comity.journal.call import CallKey


class Keys:
    """Keys of one task at one node, over all visits of its programs."""

    def __init__(self) -> None:
        """Know none."""
        self._next: dict[tuple[str, str], int] = {}
        self._on_the_way: dict[CallKey, Digest] = {}
        self._loose: dict[tuple[str, str, Digest], deque[CallKey]] = {}

    def begin(self, journaled: Collection[CallKey]) -> None:
        """Begin a visit: what is on its way and not among `journaled` may be asked again under its key."""
        for key in journaled:
            self._next[key.kind, key.name] = max(self._next.get((key.kind, key.name), 0), key.occurrence + 1)
            self._on_the_way.pop(key, None)
        self._loose.clear()
        for key, args in self._on_the_way.items():
            self._loose.setdefault((key.kind, key.name, args), deque()).append(key)

    def key_for(self, kind: str, name: str, args: bytes) -> CallKey:
        """Return the key under which a call would be asked."""
        loose = self._loose and self._loose.get((kind, name, digest(args)))
        return loose[0] if loose else CallKey("", kind, name, self._next.get((kind, name), 0))

    def asked(self, key: CallKey, args: bytes) -> None:
        """Take note that a call is asked under the key that `key_for` named."""
        of = digest(args)
        loose = self._loose.get((key.kind, key.name, of))
        if loose and loose[0] == key:
            loose.popleft()
        self._next[key.kind, key.name] = max(self._next.get((key.kind, key.name), 0), key.occurrence + 1)
        self._on_the_way[key] = of

    def settled(self, key: CallKey) -> bool:
        """Take note that a call has ended; tell whether nobody has asked for it again in this visit."""
        of = self._on_the_way.pop(key, b"")
        return key in self._loose.get((key.kind, key.name, of), ())
