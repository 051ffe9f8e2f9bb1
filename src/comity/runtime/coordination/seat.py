"""Where a component is judged: here, by this node's writer, or at the node that writes it."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from comity.coordination.ruling import Proposal, Ruling
from comity.coordination.world import World
from comity.core.errors import CoordinationError, UsageError
from comity.journal.spec import ToolSpec
from comity.journal.world import Observation
from comity.runtime.coordination.writer import Writer

MOVED = "moved"
"""The code of a `CoordinationError`: what was asked of a component is not this writer's to say."""


class Judged(msgspec.Struct, frozen=True):
    """A ruling, and what it holds under: the component's epoch, the versions of world and claims.

    `hold` is by what it can be released, `void` the version of a void row that its reservation takes the place of.
    """

    ruling: Ruling
    component: str
    epoch: int
    document: int
    claims: int
    hold: int = 0
    void: int = 0


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
    hold: int = 0


class Told(msgspec.Struct, frozen=True):
    """The answer: a judgement, what became of an observation, or why there is none (`moved`: another node's now)."""

    judged: Judged | None = None
    version: int = 0
    is_taken: bool = False
    code: str = ""
    message: str = ""
    hint: str = ""


class Noted(NamedTuple):
    """A field's version after an observation, and whether that was taken: not an older one, nor only proposed.

    `writer` is who has to store it, None where that is another node's and done.
    """

    version: int
    is_taken: bool
    writer: Writer | None = None


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

    def release(self, ticket: str, hold: int) -> None:
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
        """Judge a call.

        Raises:
            CoordinationError: `moved`: by the world that is in force here, it touches another component.
        """
        writer = self._writer
        self._expect(component_of(writer.world, proposal.tool, spec, proposal.args))
        ruling, hold = writer.judge(proposal, now_us, spec)
        if ruling is None:
            return None
        void = writer.voids.get(proposal.ticket, 0)
        return Judged(ruling, writer.component, writer.epoch, *self._versions, hold, void)

    def release(self, ticket: str, hold: int) -> None:
        """Let go of a call; perhaps what it was judged by has changed."""
        self._writer.release(ticket, hold)
        self._writer.is_doubted = True

    async def observe(self, seen: Observation, *, may_observe: bool) -> Noted:
        """Take an observation.

        Raises:
            CoordinationError: `moved`: by the world that is in force here, the field is of another component.
        """
        self._expect(self._writer.world.component_of(seen.field))
        is_taken = self._writer.observe(seen, may_observe=may_observe)
        return Noted(self._writer.picture.state(seen.field).version, is_taken, self._writer)

    def _expect(self, component: str) -> None:
        if component != self._writer.component or self._writer.is_lost:
            raise moved(self._writer.component)


def moved(component: str) -> CoordinationError:
    """Return the error which says that a component is to be looked for again."""
    return CoordinationError(MOVED, f"`{component}` is written by another node now", retry="redo")


def component_of(world: World, tool: str, spec: ToolSpec | None, args: dict[str, Any]) -> str:
    """Return the component that a call touches or rests on, empty for none.

    Raises:
        UsageError: they are several; or its arguments do not fit what its tool declares.
    """
    handling = world.tool(tool, spec)
    if handling is None or not handling.acts:
        return ""
    bound = handling.bind(args)
    fields = [change.field for change in bound.changes] + [premise.field for premise in bound.premises]
    for field in fields:
        world.require(field)
    components = sorted({world.component_of(field) for field in fields})
    if len(components) > 1:
        raise UsageError(
            "several_components",
            f"a call of `{tool}` would touch {', '.join(f'`{name}`' for name in components)} at once",
            hint=f"declare its touches under `tools.{tool}` of the world file, which ties them together",
            retry="rethink",
        )
    return components[0] if components else ""
