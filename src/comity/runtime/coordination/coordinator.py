"""The coordinator of a node: the world in force, the components that this node writes, and what it follows.

Whoever is asked about a component that another node writes becomes its writer: by a higher epoch, which fences off
whatever the other had let through and not yet written. So two writers never let through what only one may.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from comity.coordination.admission import Admission, Watch
from comity.coordination.document import WorldDocument
from comity.coordination.picture import Picture
from comity.coordination.ruling import Proposal, Ruling
from comity.coordination.world import World
from comity.core.clock import Clock
from comity.core.codec import decode, pack
from comity.core.errors import ComityError, StoreError, UsageError
from comity.core.ids import Id
from comity.journal.call import Call
from comity.journal.entry import Body, Entry
from comity.journal.naming import is_named
from comity.journal.ports import View
from comity.journal.spec import ToolSpec
from comity.journal.unit import GuardFailed, OperatorSubject, StateWrite, Unit
from comity.journal.world import Claim, FieldValue, Observation, Plan, Read, Touched
from comity.kernel.bell import Bell
from comity.kernel.patience import Patient
from comity.runtime.coordination import rows
from comity.runtime.coordination.writer import Writer

TICK_S = 0.05
"""At least so often what has settled becomes part of the values, while something is in flight."""
IDLE_S = 1.0
TASKS_MAX = 10_000
READS_MAX = 100

log = logging.getLogger("comity.coordination")


class Site(NamedTuple):
    """Where a call is judged: the component's writer, and the versions of world and claims that it judges by."""

    writer: Writer
    document: int
    claims: int


class _Reservation:
    """The hold of an admitted call."""

    def __init__(self, writer: Writer, ticket: str, on_lost: Callable[[], None]) -> None:
        self._writer, self._ticket, self._on_lost = writer, ticket, on_lost

    def confirm(self, position: int) -> None:
        """The intent is durable; the entry itself tells the writer."""

    def release(self, reason: str) -> None:
        """The intent was not written: perhaps because something that was judged by has changed."""
        self._writer.picture.drop(self._ticket)
        self._on_lost()


class Coordinator:
    """One for each node. `start` it before the kernel takes tasks, `stop` it after."""

    def __init__(self, store: Patient, clock: Clock, node: Id, watch: Watch | None = None) -> None:
        """Coordinate over `store`; `watch` are the detectors."""
        self.store = store
        self.clock = clock
        self.world: World | None = None
        self.on_ruling: list[Callable[[Proposal, Ruling, int], None]] = []
        self.on_seen: list[Callable[[Observation, int], None]] = []
        self.on_world: list[Callable[[World | None], None]] = []
        self._node = node
        self._watch = watch
        self._writers: dict[str, Writer] = {}
        self._taking: dict[str, asyncio.Lock] = {}
        self._versions = (0, 0)
        self._is_stale = True
        self._reads: dict[Id, dict[str, int]] = {}
        self._seen_by: dict[Id, str] = {}
        self._causes: dict[Id, str] = {}
        self._claims: tuple[Claim, ...] = ()
        self._plans: tuple[Plan, ...] = ()
        self._bell = Bell(clock)
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the world in force, and begin to keep it up to date."""
        base = (StateWrite(rows.CLAIM, rows.GENERATION, b"null", 0),)
        await self.store.commit([Unit(OperatorSubject("coordination"), state=base)])
        await self.refresh()
        self._keeping = asyncio.ensure_future(self._keep())

    async def stop(self) -> None:
        """Store what is not stored yet, and end."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
            self._keeping = None

    def news(self) -> None:
        """Look again before the next judgement: somebody committed something."""
        self._is_stale = True
        self._bell.ring()

    async def refresh(self) -> None:
        """Learn which world and which claims are in force, where they may have changed."""
        while self._is_stale:
            self._is_stale = False
            row = await self.store.state(rows.WORLD, rows.DOCUMENT)
            generation = await self.store.state(rows.CLAIM, rows.GENERATION)
            now = (row.version if row is not None else 0, generation.version if generation is not None else 0)
            if now[0] != self._versions[0]:
                self._adopt(World(rows.read_document(row)) if row is not None else None)
            if now != self._versions:
                claims = [item for item in await self.store.states(rows.CLAIM) if item.key != rows.GENERATION]
                self._claims = tuple(rows.read_claim(item) for item in claims)
                self._plans = tuple(rows.read_plan(item) for item in await self.store.states(rows.PLAN))
                for writer in self._writers.values():
                    writer.take(self._claims, self._plans)
            self._versions = now

    # What the gate asks

    async def site(self, tool: ToolSpec, args: dict[str, Any]) -> Site | None:
        """Return where a call is judged; None where it touches nothing.

        Raises:
            UsageError: it touches more than one component.
        """
        world = self.world
        assert world is not None
        handling = world.tool(tool.name, tool)
        if handling is None or not handling.acts:
            return None
        bound = handling.bind(args)
        fields = [change.field for change in bound.changes] + [premise.field for premise in bound.premises]
        for field in fields:
            world.require(field)
        components = sorted({world.component_of(field) for field in fields})
        if not components:
            return None
        if len(components) > 1:
            raise UsageError(
                "several_components",
                f"a call of `{tool.name}` would touch {', '.join(f'`{name}`' for name in components)} at once",
                hint=f"declare its touches under `tools.{tool.name}` of the world file, which ties them together",
                retry="rethink",
            )
        writer = await self.writer(components[0])
        return Site(writer, *self._versions)

    async def writer(self, component: str) -> Writer:
        """Return the component's writer, which this node becomes if it is not."""
        lock = self._taking.setdefault(component, asyncio.Lock())
        async with lock:
            found = self._writers.get(component)
            if found is not None and found.is_doubted:
                row = await self.store.state(rows.COMPONENT, component)
                found.is_lost = found.is_lost or row is None or row.version != found.epoch
                found.is_doubted = False
            if found is None or found.is_lost:
                found = self._writers[component] = await self._take(component)
            return found

    def undeclared(self, proposal: Proposal) -> Ruling | None:
        """Return the ruling on a call that does not say what it touches."""
        assert self.world is not None
        return Admission(self.world, Picture(self.world)).judge(proposal, 0)

    def named(self, touched: Touched, writer: Writer) -> Touched:
        """Return what goes into the intent, with the component that judged it."""
        return Touched(
            ((writer.component, writer.epoch),),
            touched.ticket,
            touched.changes,
            touched.reads,
            touched.plan,
            touched.claim,
            touched.caused_by,
            touched.would,
        )

    def hold(self, writer: Writer, ticket: str) -> _Reservation:
        """Return the hold of a call that was admitted."""
        return _Reservation(writer, ticket, self._lost(writer))

    def told(self, proposal: Proposal, ruling: Ruling, now_us: int) -> None:
        """Pass on how a call was ruled."""
        for listener in self.on_ruling:
            listener(proposal, ruling, now_us)

    def reads_of(self, task: Id) -> tuple[Read, ...]:
        """Return what a task has read of the world, the newest version of each field."""
        return tuple(Read(field, version) for field, version in self._reads.get(task, {}).items())

    def observation_of(self, task: Id) -> str:
        """Return the observation that the task read last, empty for none."""
        return self._seen_by.get(task, "")

    def cause_of(self, task: Id) -> str:
        """Return what made the task happen, where that is known."""
        return self._causes.get(task, "")

    # What happens

    def on_entry(self, task: Id, entry: Entry, body: Body) -> None:
        """Take an entry that this node has written."""
        for writer in self._writers.values():
            writer.follow(task, entry, body)
        self._bell.ring()

    def saw(self, call: Call, value: bytes, view: View) -> None:
        """Take what a tool's result shows of the world."""
        world, tool = self.world, view.tool
        if world is None or tool is None:
            return
        handling = world.tool(tool.name, tool)
        if handling is None or not handling.section.observes:
            return
        try:
            found = handling.observed(decode(call.args), decode(value))
        except ComityError as error:
            log.warning("what `%s` returned shows nothing of the world: %s", tool.name, error.message)
            return
        at_us = self.clock.wall_us()
        for field, seen in found:
            if world.section(field) is None:
                log.warning("`%s` shows `%s`, which the world does not have", tool.name, field)
                continue
            name = f"{view.task.hex()}/{call.name}:{call.occurrence}"
            self.observe_soon(Observation(field, seen, at_us, f"tool:{tool.name}", name), reader=view.task)

    def observe_soon(self, seen: Observation, reader: Id = b"", *, may_observe: bool = True) -> None:
        """Take an observation: at once where this node writes its component, else when it has become its writer."""
        assert self.world is not None
        writer = self._writers.get(self.world.component_of(seen.field))
        if writer is None or writer.is_lost:
            task = asyncio.ensure_future(self.observe(seen, reader, may_observe=may_observe))
            _BESIDE.add(task)
            task.add_done_callback(_BESIDE.discard)
            return
        self._observed(writer, seen, reader, may_observe=may_observe)

    async def observe(self, seen: Observation, reader: Id = b"", *, may_observe: bool = True) -> None:
        """Take an observation.

        Raises:
            UsageError: there is no world, or it has no such field.
        """
        if self.world is None:
            raise UsageError("no_world", "no world is in force", hint="`comity world apply FILE`")
        self.world.require(seen.field)
        writer = await self.writer(self.world.component_of(seen.field))
        self._observed(writer, seen, reader, may_observe=may_observe)

    def may_observe(self, field: str, principal: str) -> bool:
        """Tell whether a principal's word on a field is an observation; unnamed: no."""
        if self.world is None:
            return False
        named = self.world.document.authority.observe
        return any(is_named(field, (pattern,)) and is_named(principal, who) for pattern, who in named.items())

    def believed(self, field: str) -> FieldValue:
        """Return what this node believes of a field; None where it does not write the field's component."""
        for writer in self.writers():
            if writer.world.component_of(field) == writer.component:
                return writer.picture.known(field, self.clock.wall_us())
        return None

    def known(self) -> list[str]:
        """Return the fields that this node knows to exist."""
        named = [] if self.world is None else list(self.world.named_fields())
        return list(dict.fromkeys([*named, *(name for writer in self.writers() for name in writer.picture.fields)]))

    def writers(self) -> Sequence[Writer]:
        """Return the components that this node writes."""
        return tuple(writer for writer in self._writers.values() if not writer.is_lost)

    # Inside

    def _observed(self, writer: Writer, seen: Observation, reader: Id, *, may_observe: bool) -> None:
        writer.observe(seen, may_observe=may_observe)
        version = writer.picture.state(seen.field).version
        if reader:
            if len(self._reads) >= TASKS_MAX:
                self._reads.clear()
                self._seen_by.clear()
            reads = self._reads.setdefault(reader, {})
            reads.pop(seen.field, None)
            reads[seen.field] = version
            while len(reads) > READS_MAX:
                reads.pop(next(iter(reads)))
            self._seen_by[reader] = seen.id
        for listener in self.on_seen:
            listener(seen, version)
        self._bell.ring()

    def _adopt(self, world: World | None) -> None:
        self.world = world
        for writer in self._writers.values():
            writer.is_lost = True
        self._writers.clear()
        for told in self.on_world:
            told(world)

    def _lost(self, writer: Writer) -> Callable[[], None]:
        def look() -> None:
            self._is_stale = True
            writer.is_doubted = True

        return look

    async def _take(self, component: str) -> Writer:
        """Become the component's writer: take the next epoch, then read what is there."""
        while True:
            row = await self.store.state(rows.COMPONENT, component)
            seen = row.version if row is not None else 0
            mine = StateWrite(rows.COMPONENT, component, pack(rows.WriterRow(self._node)), seen)
            (answer,) = await self.store.commit([Unit(OperatorSubject("coordination"), state=(mine,))])
            if not isinstance(answer, GuardFailed):
                break
        assert self.world is not None
        writer = Writer(component, seen + 1, self.world, self._watch)
        writer.take(self._claims, self._plans)
        await writer.load(self.store)
        return writer

    async def _keep(self) -> None:
        """Let acts that have settled become part of the values, and store what has changed."""
        while True:
            heard = self._bell.count
            is_busy = False
            try:
                await self.refresh()
                for writer in self.writers():
                    await self._store(writer)
                    is_busy = is_busy or bool(writer.picture.flights)
            except StoreError as error:
                log.warning("the store cannot be reached: %s", error.message)
            await self.clock.sleep(TICK_S)
            if not is_busy:
                await self._bell.wait(heard, IDLE_S)

    async def _store(self, writer: Writer) -> None:
        writer.land(self.clock.wall_us())
        unit = writer.unit()
        if unit is None:
            return
        (answer,) = await self.store.commit([unit])
        if isinstance(answer, GuardFailed):
            writer.is_lost = True


_BESIDE: set[asyncio.Future[None]] = set()


def document_row(document: WorldDocument, by: str, at_us: int, text: str = "") -> bytes:
    """Return the row of a world file that is to be in force."""
    return pack(rows.DocumentRow(msgspec.json.encode(document), by, at_us, text))
