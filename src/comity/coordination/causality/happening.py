"""What the map keeps of one call, task, answer, observation or claim, and of one field."""

from __future__ import annotations

import msgspec

from comity.coordination.causality.answer import How, MapNode, NodeKind
from comity.journal.world import Change, FieldValue, Read


class Named(msgspec.Struct, frozen=True):
    """A cause that a happening names; `evidence` is where it does."""

    name: str
    how: How
    evidence: str


class Happening(msgspec.Struct):
    """An event node while the map holds it; what is told of it later changes it.

    `at_us` is when a call was let through, of others (and calls that were not) the earliest mention.
    """

    id: str
    kind: NodeKind
    name: str
    at_us: int
    last_us: int
    actor: str = ""
    tool: str = ""
    task: str = ""
    end: str = ""
    turned: str = ""
    turned_us: int = 0
    field: str = ""
    version: int = 0
    is_acted: bool = False
    changes: dict[str, Change] = {}
    reads: dict[str, Read] = {}
    named: dict[Named, None] = {}

    def node(self) -> MapNode:
        """Return it as a node of an answer."""
        label = f"{self.field} v{self.version}" if self.kind == "observation" else self.name
        state = self.end or self.turned
        return MapNode(
            self.id, self.kind, label, at_us=self.at_us, until_us=self.last_us, actor=self.actor, tool=self.tool,
            state=state,
        )  # fmt: skip


class FieldMemory(msgspec.Struct):
    """What the map keeps of a field, also when the calls that wrote it have left.

    `writer` is the call that wrote version `written`, the last that is known to be written by a call.
    """

    name: str
    last_us: int = 0
    version: int = 0
    value: FieldValue = None
    valued: int = 0
    valued_us: int = 0
    writer: str = ""
    actor: str = ""
    written: int = 0
    written_us: int = 0
    writes: dict[str, int] = {}
    reads: dict[str, int] = {}


def versioned(field: str, version: int) -> str:
    """Return how a version of a field is written: `FIELD@VERSION`."""
    return f"{field}@{version}"
