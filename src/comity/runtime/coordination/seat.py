"""Where a component is judged: here, by this node's writer, or at the node that writes it."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

import msgspec

from comity.coordination.ruling import Proposal, Ruling
from comity.journal.spec import ToolSpec
from comity.journal.world import Observation
from comity.runtime.coordination.writer import Writer


class Judged(msgspec.Struct, frozen=True):
    """A ruling, and what it holds under: the component's epoch, the versions of world and claims."""

    ruling: Ruling
    component: str
    epoch: int
    document: int
    claims: int


class Ask(msgspec.Struct, frozen=True):
    """What one node asks of another: to judge a proposal, to let go of one, to take an observation."""

    what: Literal["judge", "release", "observe"]
    component: str
    now_us: int = 0
    proposal: Proposal | None = None
    spec: ToolSpec | None = None
    ticket: str = ""
    seen: Observation | None = None
    may_observe: bool = False


class Told(msgspec.Struct, frozen=True):
    """The answer: a judgement, what became of an observation, or why there is none (`moved`: another node's now)."""

    judged: Judged | None = None
    version: int = 0
    is_taken: bool = False
    code: str = ""
    message: str = ""
    hint: str = ""


class Noted(NamedTuple):
    """A field's version after an observation, and whether that was taken: not an older one, nor only proposed."""

    version: int
    is_taken: bool


class Versions(NamedTuple):
    """The versions of the world and of the claims that a node knows."""

    document: int
    claims: int


class Seat(Protocol):
    """A component, wherever it is written."""

    async def judge(self, proposal: Proposal, spec: ToolSpec, now_us: int) -> Judged | None:
        """Judge a call; None where it does not concern the world.

        Raises:
            ComityError: it cannot be judged.
        """
        ...

    def release(self, ticket: str) -> None:
        """Let go of a call that was let through and not meant."""
        ...

    async def observe(self, seen: Observation, *, may_observe: bool) -> Noted:
        """Take an observation."""
        ...


class LocalSeat:
    """A component that this node writes."""

    def __init__(self, writer: Writer, versions: Versions) -> None:
        """Judge by `writer` under these versions."""
        self._writer = writer
        self._versions = versions

    async def judge(self, proposal: Proposal, spec: ToolSpec | None, now_us: int) -> Judged | None:
        """Judge a call."""
        ruling = self._writer.admission.judge(proposal, now_us, spec)
        if ruling is None:
            return None
        return Judged(ruling, self._writer.component, self._writer.epoch, *self._versions)

    def release(self, ticket: str) -> None:
        """Let go of a call; perhaps what it was judged by has changed."""
        flight = self._writer.picture.flights.get(ticket)
        if flight is not None and flight.phase == "held":
            self._writer.picture.drop(ticket)
        self._writer.is_doubted = True

    async def observe(self, seen: Observation, *, may_observe: bool) -> Noted:
        """Take an observation."""
        is_taken = self._writer.observe(seen, may_observe=may_observe)
        return Noted(self._writer.picture.state(seen.field).version, is_taken)
