"""The coordinator of a node: the world in force, the components that this node writes, and who writes the others.

A component has one writer. Another live node is asked; where that cannot be, or it is gone, this one becomes it:
by a higher epoch, which fences off whatever the other had let through and not yet written. So two writers never let
through what only one may.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence

import msgspec

from comity.coordination.admission import Admission
from comity.coordination.claims import is_authorised
from comity.coordination.detectors.baseline import Baseline
from comity.coordination.document import WorldDocument
from comity.coordination.picture import Flight, Picture
from comity.coordination.ruling import Proposal, Ruling, Watch
from comity.coordination.world import World
from comity.core.clock import Clock
from comity.core.codec import decode, pack
from comity.core.errors import ComityError, CoordinationError, StoreError, UsageError
from comity.core.ids import Id, show_id
from comity.journal.call import Call
from comity.journal.entry import Body, Ended, Entry, Moved
from comity.journal.naming import is_named, is_principal
from comity.journal.ports import View
from comity.journal.spec import ToolSpec
from comity.journal.unit import GuardFailed, Message, OperatorSubject, StateIs, StateRow, StateWrite, Unit, Wakes
from comity.journal.verdict import Hold
from comity.journal.world import Claim, FieldValue, Observation, Plan, Rank, Read
from comity.kernel import waiters
from comity.kernel.bell import Bell
from comity.kernel.patience import Patient
from comity.runtime.coordination import rows
from comity.runtime.coordination.mending import kept
from comity.runtime.coordination.remote import UNREACHABLE, Doors, RemoteSeat
from comity.runtime.coordination.seat import (
    MOVED,
    Ask,
    Judged,
    LocalSeat,
    Noted,
    Seat,
    Told,
    Versions,
    component_of,
    moved,
)
from comity.runtime.coordination.writer import Writer

Count = Callable[[World, int], Awaitable[bool]]
TENURE_S = 0.1
MOVES_MAX = 5
TICK_S = 0.05
"""At least so often what has settled becomes part of the values, while something is in flight."""
IDLE_S = 1.0
TASKS_MAX = 10_000
READS_MAX = 100

log = logging.getLogger("comity.coordination")


class _Reservation:
    """The hold of an admitted call: the entry itself tells the writer that it is meant."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._release = release

    def confirm(self, position: int) -> None:
        """The intent is durable."""

    def release(self, reason: str) -> None:
        """The intent was not written: perhaps because something that it was judged by has changed."""
        self._release()


class Coordinator:
    """One for each node: `start` it before the kernel takes tasks, `stop` it after. `asking` are tasks that ask."""

    def __init__(
        self,
        store: Patient,
        clock: Clock,
        node: Id,
        watch: Watch | None = None,
        *,
        secret: str = "",
        url: Callable[[], str] = lambda: "",
        count: Count | None = None,
    ) -> None:
        """Coordinate over `store`; `watch` are the detectors; others reach this node at `url` with `secret`.

        `count` reserves for the acts that were under way before a version of the world; False where it moved on.
        """
        self._count = count
        self.url = url
        self.secret = secret
        self.store = store
        self.clock = clock
        self.world: World | None = None
        self.version = 0
        self.on_ruling: list[Callable[[Proposal, Ruling, int], None]] = []
        self.on_seen: list[Callable[[Observation, int], None]] = []
        self.on_world: list[Callable[[World | None], None]] = []
        self.on_claims: list[Callable[[tuple[Claim, ...]], None]] = []
        self.on_baseline: list[Callable[[Baseline], None]] = []
        self._node = node
        self._watch = watch
        self._writers: dict[str, Writer] = {}
        self._loading: list[list[tuple[Id, Entry, Body]]] = []
        self._storing = asyncio.Lock()
        self._learning = asyncio.Lock()
        self._taking: dict[str, asyncio.Lock] = {}
        self._versions = Versions(0, 0)
        self._doors = Doors()
        self._beside: set[asyncio.Task[None]] = set()
        self._is_stale = True
        self.is_behind = False
        self._reads: dict[Id, dict[str, int]] = {}
        self._seen_by: dict[Id, str] = {}
        self._causes: dict[Id, str] = {}
        self.asking: dict[Id, None] = {}
        self._claims: tuple[Claim, ...] = ()
        self._plans: tuple[Plan, ...] = ()
        self._bell = Bell(clock)
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the world in force, and begin to keep it up to date."""
        await self.prepare()
        self.asking |= {rows.read_escalation(row).task: None for row in await self.store.states(rows.ESCALATION)}
        self._keeping = asyncio.ensure_future(kept("what is in flight", self._keep, self.clock))

    async def prepare(self) -> None:
        """Have a generation of claims to guard by, and learn what is in force."""
        base = (StateWrite(rows.CLAIM, rows.GENERATION, b"null", 0),)
        await self.store.commit([Unit(OperatorSubject("coordination"), state=base)])
        self._is_stale = True
        await self.refresh()

    async def stop(self) -> None:
        """End. What nobody was told is stored is not: it is in the journals, or will be seen again."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, *self._beside, return_exceptions=True)
            self._keeping = None
        await self._doors.aclose()

    def news(self) -> None:
        """Look again before the next judgement: somebody committed something."""
        self._is_stale = True
        self._bell.ring()

    async def refresh(self) -> None:
        """Learn which world and which claims are in force, where they may have changed.

        Where that fails they may still have: nothing is judged before it was learned.
        """
        async with self._learning:
            while self._is_stale:
                self._is_stale = False
                try:
                    await self._learn()
                except BaseException:
                    self._is_stale = True
                    raise
            self.is_behind = False

    async def _learn(self) -> None:
        row = await self.store.state(rows.WORLD, rows.DOCUMENT)
        generation = await self.store.state(rows.CLAIM, rows.GENERATION)
        now = Versions(row.version if row is not None else 0, generation.version if generation is not None else 0)
        if now.document != self._versions.document:
            if row is not None and self._count is not None and not await self._count(_world_of(row), row.version):
                self._is_stale = True
                return
            self._adopt(_world_of(row) if row is not None else None, now.document)
        if now != self._versions:
            claims = [item for item in await self.store.states(rows.CLAIM) if item.key != rows.GENERATION]
            self._claims = tuple(rows.read_claim(item) for item in claims)
            self._plans = tuple(rows.read_plan(item) for item in await self.store.states(rows.PLAN))
            for writer in self._writers.values():
                writer.take(self._claims, self._plans)
            baseline = rows.read_baseline(await self.store.state(rows.WORLD, rows.BASELINE))
            for told in self.on_baseline:
                told(baseline)
            for heard in self.on_claims:
                heard(self._claims)
        self._versions = now

    # What the gate asks

    async def judge(self, proposal: Proposal, tool: ToolSpec, now_us: int) -> tuple[Judged, Seat] | None:
        """Judge a call where its component is written; None where it does not concern the world.

        Raises:
            UsageError: it touches more than one component, or its arguments do not fit what its tool declares.
            CoordinationError: the component's writer cannot be reached; ask again in a moment.
        """
        component = ""
        for _ in range(MOVES_MAX):
            await self.refresh()
            component = component_of(self.world, proposal.tool, tool, proposal.args) if self.world is not None else ""
            if not component:
                return None
            try:
                seat = await self.seat(component)
                judged = await seat.judge(proposal, tool, now_us)
            except CoordinationError as error:
                if error.code != MOVED:
                    raise
                self._is_stale = True
                continue
            if judged is None:
                return None
            if judged.document != self._versions.document:
                self._is_stale = True  # the writer has heard of another world before this node has
            return judged, seat
        raise CoordinationError(UNREACHABLE, f"`{component}` keeps changing hands", retry="redo")

    async def seat(self, component: str) -> Seat:
        """Return where a component is written: at another live node that can be asked, else here from now on."""
        while True:
            if await self._holds(component):
                return LocalSeat(self._writers[component], self._versions)
            row = await self.store.state(rows.COMPONENT, component)
            held = rows.read_writer(row) if row is not None else None
            if held is not None and held.url and held.node != self._node and await self._is_alive(held.node):
                return RemoteSeat(component, held, self._doors)
            await self._try(component, row)

    async def writer(self, component: str) -> Writer:
        """Return the component's writer, which this node becomes if it is not."""
        while not await self._holds(component):
            await self._try(component, await self.store.state(rows.COMPONENT, component))
        return self._writers[component]

    async def answer(self, ask: Ask) -> Told:
        """Answer what another node asks of this one."""
        await self.refresh()
        if self.world is None or not await self._holds(ask.component):
            return Told(code=MOVED)
        seat = LocalSeat(self._writers[ask.component], self._versions)
        try:
            if ask.what == "judge" and ask.proposal is not None:
                return Told(await seat.judge(ask.proposal, ask.spec, ask.now_us))
            if ask.what == "observe" and ask.seen is not None:
                self.world.require(ask.seen.field)
                noted = await seat.observe(ask.seen, may_observe=ask.may_observe)
                self._told_seen(ask.seen, noted.version)
                is_kept = await self.stored([noted])
                return Told(version=noted.version, is_taken=noted.is_taken) if is_kept else Told(code=MOVED)
        except ComityError as error:
            return Told(code=error.code, message=error.message, hint=error.hint)
        seat.release(ask.ticket, ask.hold)
        return Told()

    def undeclared(self, proposal: Proposal) -> Ruling | None:
        """Return the ruling on a call that does not say what it touches."""
        assert self.world is not None
        return Admission(self.world, Picture(self.world)).judge(proposal, 0)

    def hold(self, seat: Seat | None = None, ticket: str = "", number: int = 0) -> Hold:
        """Return the hold of a call that was admitted; one without a reservation only looks again once released."""

        def release() -> None:
            if seat is not None:
                seat.release(ticket, number)
            self._is_stale = self.is_behind = True

        return _Reservation(release)

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
        for heard in self._loading:
            heard.append((task, entry, body))
        for writer in self._writers.values():
            writer.follow(task, entry, body)
            if isinstance(body, Ended) or (isinstance(body, Moved) and body.state == "parked"):
                writer.admission.queue.leave_task(show_id(task))
        self._bell.ring()

    def saw(self, call: Call, value: bytes, view: View, began_us: int) -> None:
        """Take what a tool's result shows of the world: what was so at some moment since the tool began to look."""
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
        until_us = self.clock.wall_us()
        at_us = began_us or until_us
        for field, seen in found:
            if world.section(field) is None:
                log.warning("`%s` shows `%s`, which the world does not have", tool.name, field)
                continue
            name = f"{view.task.hex()}/{call.name}:{call.occurrence}"
            self.observe_soon(Observation(field, seen, at_us, f"tool:{tool.name}", name, until_us), reader=view.task)

    def observe_soon(self, seen: Observation, reader: Id = b"", *, may_observe: bool = True) -> None:
        """Take an observation: at once where this node writes its component, else when it has reached who does."""
        assert self.world is not None
        writer = self._writers.get(self.world.component_of(seen.field))
        if writer is not None and not writer.is_lost:
            writer.observe(seen, may_observe=may_observe)
            self._told_seen(seen, writer.picture.state(seen.field).version, reader)
            return
        task = asyncio.ensure_future(self._observe_beside(seen, reader, may_observe=may_observe))
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def observe(self, seen: Observation, reader: Id = b"", *, may_observe: bool = True) -> bool:
        """Take an observation; tell whether it was taken, see `note`."""
        return (await self.note(seen, reader, may_observe=may_observe)).is_taken

    async def note(self, seen: Observation, reader: Id = b"", *, may_observe: bool = True) -> Noted:
        """Take an observation; tell what became of it. It is stored once `stored` says so.

        Raises:
            UsageError: there is no world, or it has no such field.
            CoordinationError: the component's writer cannot be reached.
        """
        if self.world is None:
            raise UsageError("no_world", "no world is in force", hint="`comity world apply FILE`")
        self.world.require(seen.field)
        seat = await self.seat(self.world.component_of(seen.field))
        noted = await seat.observe(seen, may_observe=may_observe)
        self._told_seen(seen, noted.version, reader)
        return noted

    def may_observe(self, field: str, principal: str) -> bool:
        """Tell whether a principal's word on a field is an observation; unnamed: no."""
        if self.world is None:
            return False
        named = self.world.document.authority.observe
        return any(is_named(field, (pattern,)) and is_principal(principal, who) for pattern, who in named.items())

    def rank_of(self, scope: str, principal: str) -> Rank:
        """Return as what an agent claims a scope: as an operator where the world file lets it, else as an agent."""
        named = self.world.document.authority.claim if self.world is not None else {}
        return "operator" if is_authorised(named, scope, principal) else "agent"

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

    @property
    def generation(self) -> int:
        """Return the generation of claims that this node knows; it moves with every world file too."""
        return self._versions.claims

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Return the claims that this node knows of."""
        return self._claims

    async def stored(self, noted: Collection[Noted]) -> bool:
        """Store what is not stored yet; False where a component in which something was noted was lost before."""
        await self.store_now()
        return not any(item.writer is not None and item.writer.is_lost for item in noted)

    async def store_now(self) -> None:
        """Store what is not stored yet."""
        for writer in self.writers():
            await self._store(writer)

    def writers(self) -> Sequence[Writer]:
        """Return the components that this node writes."""
        return tuple(writer for writer in self._writers.values() if not writer.is_lost)

    # Inside

    async def _observe_beside(self, seen: Observation, reader: Id, *, may_observe: bool) -> None:
        try:
            await self.observe(seen, reader, may_observe=may_observe)
        except ComityError as error:
            log.warning("`%s` was seen and could not be noted: %s", seen.field, error.message)

    def _told_seen(self, seen: Observation, version: int, reader: Id = b"") -> None:
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

    async def _holds(self, component: str) -> bool:
        """Tell whether this node writes a component, as far as it can know; the guard of each intent is sure."""
        found = self._writers.get(component)
        if found is None or found.is_lost:
            return False
        if found.is_doubted:
            row = await self.store.state(rows.COMPONENT, component)
            found.is_lost = row is None or row.version != found.epoch
            found.is_doubted = False
        return not found.is_lost

    async def _is_alive(self, node: Id) -> bool:
        return any(item.id == node and item.alive for item in await self.store.nodes())

    def _adopt(self, world: World | None, version: int) -> None:
        self.world, self.version = world, version
        for writer in self._writers.values():
            writer.is_lost = True
        self._writers.clear()
        for told in self.on_world:
            told(world)

    async def _try(self, component: str, row: StateRow | None) -> None:
        """Try to become the component's writer after the one of `row`: take the next epoch, then read what is there.

        Another live node keeps a component for a moment, so that two do not only take it in turns.
        """
        async with self._taking.setdefault(component, asyncio.Lock()):
            if await self._holds(component):
                return
            holder = rows.read_writer(row).node if row is not None else self._node
            if holder != self._node and await self._is_alive(holder):
                await self.clock.sleep(TENURE_S)
            seen = row.version if row is not None else 0
            mine = pack(rows.WriterRow(self._node, self.url(), self.secret))
            document, world = self.version, self.world
            assert world is not None
            unit = Unit(
                OperatorSubject("coordination"),
                guards=(rows.document_guard(document),),
                state=(StateWrite(rows.COMPONENT, component, mine, seen),),
            )
            (answer,) = await self.store.commit([unit])
            if isinstance(answer, GuardFailed):
                if isinstance(answer.guard, StateIs):
                    self._is_stale = True
                    raise moved(component)  # another world is in force, perhaps with other components
                return
            await self._load(Writer(component, seen + 1, world, self._watch, document))

    async def _load(self, writer: Writer) -> None:
        """Have a writer read what is there, with what happens meanwhile, and clear away before it judges."""
        heard: list[tuple[Id, Entry, Body]] = []
        self._loading.append(heard)
        try:
            await writer.load(self.store)
            await self._store(writer)
        finally:
            self._loading = [item for item in self._loading if item is not heard]
        for task, entry, body in heard:
            writer.follow(task, entry, body)
        if writer.world is not self.world:
            writer.is_lost = True
        if not writer.is_lost:
            writer.take(self._claims, self._plans)
            self._writers[writer.component] = writer

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

    async def _void(self, writer: Writer, flight: Flight) -> None:
        """Let go of a hold for good: its ticket is used up, or the intent has come after all."""
        row = rows.ReservationRow(flight, bytes.fromhex(flight.task), 0, is_void=True)
        guards = (rows.epoch_guard(writer.component, writer.epoch),)
        write = rows.reservation_write(row, writer.voids.get(flight.ticket, 0))
        (answer,) = await self.store.commit([Unit(OperatorSubject("coordination"), guards=guards, state=(write,))])
        if not isinstance(answer, GuardFailed):
            writer.void(flight.ticket)
        else:
            writer.is_doubted = True

    async def _store(self, writer: Writer) -> None:
        """Store what a writer has not stored yet; one that cannot is lost, and built again from what is stored."""
        async with self._storing:
            if writer.is_lost:
                return
            try:
                await self._stored(writer)
            except BaseException:
                writer.is_lost = True
                raise

    async def _stored(self, writer: Writer) -> None:
        for flight in writer.forgotten(self.clock.wall_us()):
            await self._void(writer, flight)
        writer.land(self.clock.wall_us())
        gone = writer.gone
        unit = writer.unit()
        if unit is None:
            return
        told = await self._told_of(gone)
        drops = tuple(StateWrite(waiters.NAMESPACE, key, None) for key in told)
        unit = msgspec.structs.replace(unit, state=(*unit.state, *drops), sends=tuple(told.values()))
        (answer,) = await self.store.commit([unit])
        if isinstance(answer, GuardFailed):
            writer.is_lost = True
            return
        late = await self._told_of(gone)  # who began to wait while this was on its way
        if late:
            drops = tuple(StateWrite(waiters.NAMESPACE, key, None) for key in late)
            await self.store.commit([Unit(OperatorSubject("coordination"), state=drops, sends=tuple(late.values()))])

    async def _told_of(self, tickets: Collection[str]) -> dict[str, Message]:
        """Return what tells those who wait for these reservations to go, by the key of each waiter's row."""
        if not tickets:
            return {}
        found: dict[str, Message] = {}
        for row in await self.store.states(waiters.NAMESPACE, f"{rows.RESERVATION}/"):
            on, _, task = row.key.rpartition("|")
            if on.partition("/")[2] in tickets:
                sender = f"{on}:gone"
                found[row.key] = Message(bytes.fromhex(task), sender, waiters.KIND, on, b"null", Wakes.WAITING)
        return found


def _world_of(row: StateRow) -> World:
    return World(rows.read_document(row))


def document_row(document: WorldDocument, by: str, at_us: int, text: str = "") -> bytes:
    """Return the row of a world file that is to be in force."""
    return pack(rows.DocumentRow(msgspec.json.encode(document), by, at_us, text))
