"""The kernel of one node: takes tasks, runs them, follows stops and news, and lets go of all on drain."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from comity.core.clock import Clock
from comity.core.entropy import Entropy
from comity.core.errors import Stopped, StoreError
from comity.core.ids import Id, new_id
from comity.core.limits import LEASE_MARGIN_S, LEASE_S, NEVER_US, PERMIT_S
from comity.journal.call import Kind, Permit
from comity.journal.entry import Moved
from comity.journal.ports import Brains, Gate, Hand, Model, Programs, Shaper, Store, WorldDevice
from comity.journal.task import ParkReason, State, TaskRow
from comity.journal.unit import OperatorSubject, StateWrite, Transition, Unit
from comity.kernel import stops as stopping
from comity.kernel.bell import Bell
from comity.kernel.fork import Changes, fork
from comity.kernel.journal import Journal, OnEntry, With
from comity.kernel.lease import NodeLease
from comity.kernel.ledger import Ledger
from comity.kernel.open_gate import NoWorld, OpenGate, PassGate, PlainShaper
from comity.kernel.patience import Patient, patiently
from comity.kernel.run import Run
from comity.kernel.stops import Stops


class Settings(msgspec.Struct, frozen=True):
    """What tests shorten and operators tune; seconds, counts."""

    permit_s: float = PERMIT_S
    lease_s: float = LEASE_S
    lease_margin_s: float = LEASE_MARGIN_S
    linger_s: float = 0.25
    drain_s: float = 30.0
    poll_s: float = 1.0
    tasks_max: int = 100  # outside programs are not counted: their brains cost this node nothing
    queues: tuple[str, ...] = ()


class Listener(Protocol):
    """Whoever watches a kernel at work: logs, progress bars, live feeds."""

    def log(self, text: str, task: Id | None) -> None:
        """Take a line for the log."""
        ...

    def progress(self, task: Id, text: str, fraction: float | None) -> None:
        """Take a word of progress."""
        ...

    def delta(self, task: Id, permit: Permit, text: str) -> None:
        """Take a piece of a model's stream."""
        ...


@dataclass(slots=True)
class Devices:
    """What a kernel is wired to."""

    store: Store
    clock: Clock
    entropy: Entropy
    hand: Hand
    model: Model
    brains: Brains
    programs: Programs
    authorize: Gate = field(default_factory=OpenGate)
    admit: Gate = field(default_factory=PassGate)
    shaper: Shaper = field(default_factory=PlainShaper)
    world: WorldDevice = field(default_factory=NoWorld)
    listener: Listener | None = None


class Kernel:
    """One node's kernel. `start` registers the node and takes tasks until `stop` or `drain`."""

    def __init__(self, devices: Devices, settings: Settings, node: Id) -> None:
        """Wire the kernel; nothing runs before `start`."""
        self.store, self.clock, self.entropy = devices.store, devices.clock, devices.entropy
        self.hand, self.model, self.brains = devices.hand, devices.model, devices.brains
        self.programs, self.shaper, self.world = devices.programs, devices.shaper, devices.world
        self.authorize, self.admit = devices.authorize, devices.admit
        self.settings = settings
        self.runs: dict[Id, Run] = {}
        self.patient = Patient(devices.store, devices.clock)
        self.stops = Stops(self.patient)
        lease_id = devices.entropy.take(16)
        self.lease = NodeLease(devices.store, devices.clock, node, lease_id, settings.lease_s, settings.lease_margin_s)
        self.on_ended: list[Callable[[TaskRow], None]] = []
        self.on_lost: list[Callable[[TaskRow], None]] = []
        self.on_entry: list[OnEntry] = []
        self.before_take: list[Callable[[], Awaitable[None]]] = []
        self.listeners = [devices.listener] if devices.listener is not None else []
        self._tasks: set[asyncio.Task[None]] = set()
        self._beside: set[asyncio.Task[None]] = set()
        self._news = Bell(devices.clock)
        self._poked = Bell(devices.clock)
        self._is_draining = False
        self._bury_at_s = 0.0
        self._me = ("", 0, "")
        self._unwatch: Callable[[], None] | None = None

    async def start(self, host: str = "", pid: int = 0, address: str = "") -> None:
        """Register the node, learn what is stopped, and begin to take tasks."""
        row = StateWrite(stopping.NAMESPACE, stopping.GENERATION, b"null", 0)
        await self.store.commit([Unit(OperatorSubject("kernel"), state=(row,))])
        self._me = (host, pid, address)
        await self.lease.register(*self._me)
        await self.stops.refresh()
        self._unwatch = self.store.watch(self._on_news)
        for work in (self._keep(), self._take(), self._follow(), self._sequence()):
            self._beside.add(asyncio.ensure_future(work))

    async def drain(self) -> None:
        """Take nothing more, let calls under way end for up to `drain_s`, give the tasks back."""
        self._is_draining = True
        for run in list(self.runs.values()):
            run.is_draining = True
            run.wake()
        if self._tasks:
            patience = asyncio.ensure_future(self.clock.sleep(self.settings.drain_s))
            ended = asyncio.ensure_future(asyncio.wait(set(self._tasks)))
            await asyncio.wait({patience, ended}, return_when=asyncio.FIRST_COMPLETED)
            patience.cancel()
        await self.stop()

    async def stop(self) -> None:
        """End everything at once, as a crash would, but tidily."""
        self._is_draining = True
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        for task in (*self._beside, *self._tasks):
            task.cancel()
        await asyncio.gather(*self._beside, *self._tasks, return_exceptions=True)

    def poke(self, task: Id | None = None) -> None:
        """Look for work now: somebody in this process committed something, perhaps for `task`."""
        if task is not None and task in self.runs:
            self.runs[task].mail()
        self._poked.ring()
        self._news.ring()

    # What runs need of their node

    def log(self, text: str, task: Id | None = None) -> None:
        """Log a line."""
        for listener in self.listeners:
            listener.log(text, task)

    def on_progress(self, task: Id, text: str, fraction: float | None) -> None:
        """Pass on a word of progress."""
        for listener in self.listeners:
            listener.progress(task, text, fraction)

    def on_delta(self, task: Id, permit: Permit, text: str) -> None:
        """Pass on a piece of a model's stream."""
        for listener in self.listeners:
            listener.delta(task, permit, text)

    def end_attempt(self, permit: Permit) -> None:
        """Have the hand end an attempt."""
        self._run_beside(self.hand.cancel(permit))

    async def wait_for_lease(self) -> None:
        """Return when calls may start (again).

        Raises:
            Stopped: the lease is lost: this node's tasks have other owners.
        """
        while not self.lease.may_start():
            if self.lease.is_lost:
                raise Stopped("the node's lease was lost")
            await self.clock.sleep(self.settings.lease_margin_s / 4)

    async def wait_for(self, on: str, seen: int, until_us: int | None) -> None:
        """Return when the state row `on` (`namespace/key`) has another version than `seen`, or at `until_us`."""
        namespace, _, key = on.partition("/")
        while True:
            heard = self._news.count
            now_us = self.clock.wall_us()
            if until_us is not None and now_us >= until_us:
                return
            row = await self.patient.state(namespace, key) if on else None
            if on and (row.version if row is not None else 0) != seen:
                return
            left_s = self.settings.poll_s if until_us is None else min((until_us - now_us) / 1e6, self.settings.poll_s)
            await self._news.wait(heard, left_s)

    async def refresh_stops(self) -> None:
        """Learn what is stopped now, and halt what it covers."""
        if not await self.stops.refresh():
            return
        for run in list(self.runs.values()):
            scope = self.stops.over(run.scopes)
            if scope:
                run.ask_to_park("stopped", f"`{scope}` is stopped")
        self._run_beside(self._acknowledge(self.stops.generation))

    async def fork_at(self, run: Run, at: int) -> Id:
        """Fork a task that diverged, with the code as it is now; return the fork's id."""
        entries = await self.patient.load(run.row.id)
        forked = fork(new_id(self.clock, self.entropy), run.row, entries, at, Changes(), self.clock.wall_us())
        await self.patient.commit([Unit(OperatorSubject("kernel"), spawns=(forked,))])
        self._poked.ring()
        return forked.id

    # Taking and following

    async def _keep(self) -> None:
        """Renew the lease; where it was lost (a frozen machine, say), let go of everything and begin anew."""
        while True:
            await self.lease.keep()
            self.log("the lease was lost: its tasks have other owners now")
            tasks = set(self._tasks)
            for run in list(self.runs.values()):
                run.lose()
            if tasks:
                await asyncio.wait(tasks)
            self.lease.begin_anew(self.entropy.take(16))
            await patiently(self.clock, lambda: self.lease.register(*self._me))
            self._poked.ring()

    async def _take(self) -> None:
        while True:
            heard = self._poked.count
            room = self.settings.tasks_max - sum(not run.is_outside for run in self.runs.values())
            taken: list[TaskRow] = []
            pause_s = await self._pause_s()
            if room > 0 and not self._is_draining and self.lease.may_start():
                try:
                    await self._bury()
                    taken = await self.store.take(self.lease.node, self.lease.lease_id, self.settings.queues, room)
                except StoreError as error:
                    self.log(f"the store cannot be reached: {error.message}")
            for row in taken:
                self._begin(row)
            if not taken:
                await self._poked.wait(heard, pause_s)

    async def _bury(self) -> None:
        """Declare dead whose lease ran out, and whom the node otherwise knows to be gone; not at every turn."""
        now_s = self.clock.monotonic_s()
        if now_s < self._bury_at_s:
            return
        self._bury_at_s = now_s + self.settings.poll_s / 2
        for first in self.before_take:
            await first()
        await self.store.declare_dead()

    async def _pause_s(self) -> float:
        try:
            due_us = await self.store.next_due_us()
            if due_us is None or due_us >= NEVER_US:
                return self.settings.poll_s
            return min(max((due_us - await self.store.now_us()) / 1e6, 0.001), self.settings.poll_s)
        except StoreError:
            return self.settings.poll_s

    def _begin(self, row: TaskRow) -> None:
        run = Run(self, row)
        self.runs[row.id] = run
        task = asyncio.ensure_future(self._live(run))
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._lived(run, task))

    def _lived(self, run: Run, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.log("".join(traceback.format_exception(error)).rstrip(), run.row.id)
            self._run_beside(self._set_aside(run, error))

    async def _set_aside(self, run: Run, error: BaseException) -> None:
        """Park a task whose run broke, by a fault of ours or of its journal: a person sees why, and may resume it."""
        reason, detail = ParkReason.STALLED, f"{type(error).__name__}: {error}"[:2_000]
        moved = Moved(State.PARKED, reason, detail)
        transition = Transition(State.PARKED, reason, NEVER_US)
        is_parked = False
        while not is_parked:
            row = await self.patient.task(run.row.id)
            if row is None or (row.lease_id, row.epoch) != (run.row.lease_id, run.row.epoch):
                return
            journal = Journal(self.store, self.clock, row, Ledger(row.id, last_seq=row.last_seq))
            with suppress(Stopped):  # an append of the broken run has landed in between: look again
                await journal.append([("", Kind.TASK, moved)], With(transition=transition))
                is_parked = True
        run.leave_as(State.PARKED, reason)
        self._tell_ended(run)

    async def _live(self, run: Run) -> None:
        try:
            await run.live()
        finally:
            if self.runs.get(run.row.id) is run:
                del self.runs[run.row.id]
                self.hand.release(run.row.id)
            self._poked.ring()
        if run.is_lost:
            self.log("the task has another owner now", run.row.id)
            await self._look_after(run)
            return
        self._tell_ended(run)

    def _tell_ended(self, run: Run) -> None:
        for told in self.on_ended:
            told(run.row)
        if run.row.parent in self.runs:
            self.runs[run.row.parent].mail()
        self._news.ring()

    async def _look_after(self, run: Run) -> None:
        """A task whose append was fenced although it is still this node's own begins again from its journal."""
        row = await self.patient.task(run.row.id)
        mine = row is not None and row.lease_id == self.lease.lease_id and row.epoch == run.row.epoch
        if row is not None and mine and row.state in (State.RUNNING, State.CANCELLING) and not self._is_draining:
            self._begin(row)
        elif run.row.id not in self.runs:  # it may have been taken again meanwhile
            for told in self.on_lost:
                told(run.row)

    def _on_news(self) -> None:
        self._news.ring()
        self._poked.ring()

    async def _follow(self) -> None:
        """Read stops and mail when others have committed."""
        while True:
            heard = self._news.count
            try:
                await self.refresh_stops()
                if self.runs:
                    for task in await self.store.mail(self.lease.node):
                        if task in self.runs:
                            self.runs[task].mail()
            except StoreError as error:
                self.log(f"the store cannot be reached: {error.message}")
            await self._news.wait(heard, self.settings.poll_s)

    async def _sequence(self) -> None:
        """Give what was committed its place in the log's tree, unless another node does."""
        while True:
            try:
                await self.store.sequence(self.lease.node, self.lease.lease_id)
            except StoreError as error:
                self.log(f"the log could not be sequenced: {error.message}")
            await self.clock.sleep(self.settings.poll_s)

    async def _acknowledge(self, generation: int) -> None:
        """Tell the store that no permit given here in a stopped scope can still start an attempt."""
        while True:
            covered = [run for run in self.runs.values() if self.stops.over(run.scopes)]
            last_s = max((run.starts_until_s for run in covered), default=0.0)
            left_s = last_s - self.clock.monotonic_s()
            if left_s <= 0:
                break
            await self.clock.sleep(min(left_s, 0.05))
        lease = self.lease
        await patiently(self.clock, lambda: self.store.acknowledge_stop(lease.node, lease.lease_id, generation))

    def _run_beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
