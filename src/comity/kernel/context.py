"""A task's contexts: chains of segments, by head; what they say and how large they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from comity.core.codec import Digest, pack
from comity.core.limits import SEGMENT_EARLY_BYTES
from comity.journal.budget import Cost
from comity.journal.entry import Context
from comity.journal.segment import EMPTY_HEAD, Segment
from comity.kernel.patience import Patient


class Contexts:
    """The contexts that one run knows, and the contents it has seen."""

    def __init__(self, store: Patient, tenant: str) -> None:
        """Know the empty context."""
        self._store = store
        self._tenant = tenant
        self._chains: dict[Digest, Context] = {}
        self._contents: dict[Digest, bytes] = {}
        self._tokens: dict[Digest, int] = {}

    def knows(self, head: Digest) -> bool:
        """Tell whether `head` can be extended."""
        return head == EMPTY_HEAD or head in self._chains

    def learn(self, context: Context, segments: Sequence[Segment] = ()) -> None:
        """Remember a context, and what its new segments say."""
        if context.head != context.base:
            self._chains.setdefault(context.head, context)
        for item in segments:
            self._contents[item.sha256] = item.data

    def measured(self, context: Context, cost: Cost | None) -> None:
        """Remember how many tokens a model counted in a context."""
        if cost is not None and cost.tokens_in:
            self._tokens[context.head] = cost.tokens_in

    async def messages(self, context: Context) -> tuple[bytes, ...]:
        """Return the whole context, oldest message first."""
        hashes: list[Digest] = []
        here = context
        while True:
            hashes[:0] = here.new
            if here.base == EMPTY_HEAD:
                break
            here = self._chains[here.base]
        await self._fetch(hashes)
        return tuple(self._contents[item] for item in hashes)

    async def size(self, context: Context, tools: Sequence[Any]) -> tuple[int, int]:
        """Return an upper bound of a context's tokens (bytes, less where measured), and its new messages."""
        total = len(pack(list(tools)))
        count = 0
        here = context
        while True:
            await self._fetch(here.new)
            total += sum(len(self._contents[item]) for item in here.new)
            count += len(here.new)
            if here.base == EMPTY_HEAD:
                return total, count
            if here.base in self._tokens:
                return total + self._tokens[here.base], count
            here = self._chains[here.base]

    async def _fetch(self, hashes: Sequence[Digest]) -> None:
        missing = [item for item in hashes if item not in self._contents]
        if missing:
            found = await self._store.segments(self._tenant, missing)
            self._contents.update(zip(missing, found, strict=True))


def early(segments: Sequence[Segment]) -> tuple[tuple[Segment, ...], tuple[Segment, ...]]:
    """Split segments into those to write ahead of their entry, and those to write with it."""
    large = tuple(item for item in segments if len(item.data) > SEGMENT_EARLY_BYTES)
    return large, tuple(item for item in segments if len(item.data) <= SEGMENT_EARLY_BYTES)
