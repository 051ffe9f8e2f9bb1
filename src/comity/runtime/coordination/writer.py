"""The writer of one component: its picture in memory, what of it is stored, and how it is built again.

Truth is in the store: a reservation stands in the intent's transaction, what became of it in the task's journal. A new
writer takes a higher epoch first, then reads; so whatever an earlier one let through is either there, or can never be.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import msgspec

from comity.coordination.admission import Admission
from comity.coordination.picture import Flight, Picture
from comity.coordination.ruling import Proposal, Ruling, Watch
from comity.coordination.world import World
from comity.core.codec import pack
from comity.core.ids import Id
from comity.journal.entry import Body, Ended, Entry, Intent, Outcome, Resolved
from comity.journal.spec import ToolSpec
from comity.journal.task import State
from comity.journal.unit import OperatorSubject, StateRow, StateWrite, Unit
from comity.journal.world import Claim, Observation, Plan
from comity.runtime.coordination import rows

HELD_US = 60_000_000
"""A hold that is older was never meant: whoever had it is gone. Many times a permit, so that no append is so late."""
EVICTS_US = 60_000_000
"""How often a picture forgets what says nothing any more."""
LANDED_MAX = 100
"""So many acts become part of the values in one unit at most."""


class Rows(Protocol):
    """What a picture is read from: a store, or a patient one."""

    async def states(self, namespace: str, prefix: str = "") -> list[StateRow]:
        """Return the state rows of a namespace whose keys begin with `prefix`."""
        ...

    async def load(self, task: Id, from_seq: int = 1) -> list[Entry]:
        """Return a task's entries from `from_seq` on."""
        ...


class Hold(NamedTuple):
    """Which of the holds of a ticket counts now, and the entry behind which its intent stands."""

    number: int
    after_seq: int


class Writer:
    """One component under one epoch: lost once another node has taken the next, doubted where that may be so.

    One without a component reads all of them, for a picture that is only looked at.
    """

    def __init__(self, component: str, epoch: int, world: World, watch: Watch | None, document: int = 0) -> None:
        """Begin with an empty picture; `load` fills it. `document` is the version of the world."""
        self.component = component
        self.epoch = epoch
        self.world = world
        self.document = document
        self.picture = Picture(world)
        self.admission = Admission(world, self.picture, watch)
        self.is_lost = False
        self.is_doubted = False
        self._evicts_us = 0
        self.voids: dict[str, int] = {}
        self._holds: dict[str, Hold] = {}
        self._held = 0
        self._calls: dict[tuple[Id, int], str] = {}
        self._shared: dict[str, StateWrite] = {}
        self._undoes: dict[tuple[Id, int], int] = {}
        self._undone: set[str] = set()
        self._over: dict[str, int] = {}
        self._dirty: set[str] = set()
        self._gone: set[str] = set()

    async def load(self, store: Rows) -> None:
        """Read fields and reservations, and what the journals say became of them."""
        for row in await store.states(rows.FIELD):
            if self._is_mine(row.key):
                self.picture.restore(row.key, rows.read_field(row))
        tasks: dict[Id, int] = {}
        for row in await store.states(rows.RESERVATION):
            held = rows.read_reservation(row)
            mine = tuple(effect for effect in held.flight.effects if self._is_mine(effect.field))
            if not mine:
                continue
            if held.is_void:
                self._gone.add(row.key)
                continue
            self._share(row, held)
            self.picture.hold(msgspec.structs.replace(held.flight, effects=mine))
            self._holds[row.key] = Hold(0, held.after_seq)
            if held.call:
                self._calls[held.task, held.call] = row.key
            tasks[held.task] = min(held.after_seq, tasks.get(held.task, held.after_seq))
        for task, after_seq in tasks.items():
            for entry in await store.load(task, after_seq + 1):
                self.follow(task, entry, entry.read())
        for flight in [flight for flight in self.picture.flights.values() if flight.phase == "held"]:
            self.picture.move(flight.ticket, "doubt")  # its journal is gone: nobody can say any more

    def take(self, claims: Iterable[Claim], plans: Iterable[Plan]) -> None:
        """Take the claims and plans that are in force."""
        self.picture.claims = {claim.id: claim for claim in claims}
        self.picture.plans = {plan.id: plan for plan in plans}

    # What happens to acts

    def judge(self, proposal: Proposal, now_us: int, spec: ToolSpec | None) -> tuple[Ruling | None, int]:
        """Judge a call; where it is let through, number its hold: by that alone can it be released."""
        ruling = self.admission.judge(proposal, now_us, spec)
        flight = self.picture.flights.get(proposal.ticket)
        if flight is None:
            self._holds.pop(proposal.ticket, None)
        elif flight.phase == "held":
            self._held += 1
            self._holds[proposal.ticket] = Hold(self._held, proposal.after_seq)
        return ruling, self._held

    def release(self, ticket: str, number: int) -> None:
        """Let go of a hold that was not meant; not where the same call was let through again since."""
        flight, hold = self.picture.flights.get(ticket), self._holds.get(ticket)
        if flight is not None and flight.phase == "held" and hold is not None and hold.number == number:
            self.picture.drop(ticket)
            del self._holds[ticket]

    def void(self, ticket: str) -> None:
        """Take note that a hold is void: its row stands there, and the ticket is reserved in place of that alone."""
        self.voids[ticket] = self.voids.get(ticket, 0) + 1
        self.picture.drop(ticket)
        self._holds.pop(ticket, None)

    def follow(self, task: Id, entry: Entry, body: Body) -> None:
        """Take an entry of a journal: an act was meant, ended, or its doubt is over. Twice is as good as once."""
        if isinstance(body, Intent):
            if body.touched is not None:
                self._meant(task, entry.seq, body.touched.ticket)
            if body.cleans and entry.branch.endswith("~compensate") and (task, body.cleans) in self._calls:
                self._undoes[task, entry.seq] = body.cleans
        elif isinstance(body, Outcome) and body.call:
            self._ended(task, body.call, _END_OF_OUTCOME.get(str(body.status), "unknown"), entry.at_us)
        elif isinstance(body, Resolved) and body.verdict == "again":
            self._undone.discard(self._calls.get((task, body.call), ""))
        elif isinstance(body, Resolved):
            self._ended(task, body.call, "done" if body.verdict == "happened" else "failed", entry.at_us)
        elif isinstance(body, Ended) and body.state == State.CANCELLED:
            self._cancelled(task, entry.at_us)

    def forgotten(self, now_us: int) -> list[Flight]:
        """Return the holds that nobody has meant for so long that nobody will."""
        held = (flight for flight in self.picture.flights.values() if flight.phase == "held")
        return [flight for flight in held if flight.from_us + HELD_US < now_us]

    def observe(self, seen: Observation, *, may_observe: bool) -> bool:
        """Take an observation; it is stored with the next `unit`."""
        changed = self.picture.observe(seen, may_observe=may_observe)
        self._dirty.add(seen.field)
        return changed

    def land(self, now_us: int) -> list[Flight]:
        """Make the acts that have settled part of the values; return them."""
        for ticket in [ticket for ticket in self._over if self._is_seen(ticket)]:
            self.picture.move(ticket, "done", self._over.pop(ticket))
        over = self.picture.matured(now_us)[:LANDED_MAX]
        for flight in over:
            self._dirty.update(self.picture.land(flight))
            self._gone.add(flight.ticket)
            self._forget(flight.ticket)
        if now_us >= self._evicts_us:
            self.picture.evict(now_us)
            self._evicts_us = now_us + EVICTS_US
        return over

    @property
    def gone(self) -> frozenset[str]:
        """Return the tickets whose rows go with the next `unit`."""
        return frozenset(self._gone)

    def unit(self) -> Unit | None:
        """Return what is to be stored, None where nothing has changed. A unit that is fenced off ends this writer."""
        if not self._dirty and not self._gone:
            return None
        writes = [StateWrite(rows.FIELD, name, pack(self.picture.state(name).row())) for name in sorted(self._dirty)]
        writes += [
            self._shared.pop(ticket, StateWrite(rows.RESERVATION, ticket, None)) for ticket in sorted(self._gone)
        ]
        self._dirty.clear()
        self._gone.clear()
        guards = (rows.epoch_guard(self.component, self.epoch), rows.document_guard(self.document))
        return Unit(OperatorSubject("coordination"), guards=guards, state=tuple(writes))

    def _is_mine(self, field: str) -> bool:
        component = self.world.component_of(field)
        return component == self.component if self.component else bool(component)

    def _share(self, row: StateRow, held: rows.ReservationRow) -> None:
        """Remember what of an act belongs to other components, since the world was another: it stays in the row."""
        names = {effect.field: self.world.component_of(effect.field) for effect in held.flight.effects}
        rest = tuple(effect for effect in held.flight.effects if names[effect.field] not in ("", self.component))
        if self.component and rest:
            left = msgspec.structs.replace(held, flight=msgspec.structs.replace(held.flight, effects=rest))
            self._shared[row.key] = StateWrite(rows.RESERVATION, row.key, pack(left), row.version)

    def _meant(self, task: Id, seq: int, ticket: str) -> None:
        """Count an act as meant. A fork's copy is not, nor is an earlier act of a call that was made once more."""
        flight, hold = self.picture.flights.get(ticket), self._holds.get(ticket)
        if flight is None or flight.task != task.hex() or (hold is not None and seq <= hold.after_seq):
            return
        if flight.phase == "held":
            self.picture.move(ticket, "meant")
        self._calls[task, seq] = ticket
        self.voids.pop(ticket, None)

    def _ended(self, task: Id, call: int, end: str, at_us: int) -> None:
        if end == "done" and (undone := self._undoes.pop((task, call), 0)):
            end = self._compensated(task, undone)
        ticket = self._calls.get((task, call))
        if ticket is None or ticket not in self.picture.flights:
            return
        flight = self.picture.flights[ticket]
        if end == "undone" and flight.phase != "done":
            self._dirty.update(self.picture.withdraw(flight, at_us))
        elif flight.phase != "done":
            self.admission.settle(ticket, end, at_us)
        if end in ("failed", "undone"):
            self._gone.add(ticket)
            self._forget(ticket)

    def _compensated(self, task: Id, call: int) -> str:
        """Take note that an act was undone; return what its compensation comes to.

        Where nobody knows whether the act happened, both together come to nothing, so that the compensation alone may
        not count: it took back what may never have been there. The act counts on, as it may be performed again. Where
        the fields were seen in between, what was seen may have the act, and the compensation counts. Windows count the
        steps of both.
        """
        flight = self.picture.flights.get(self._calls.get((task, call), ""))
        if flight is None or flight.phase == "done":
            return "done"
        if any(self.picture.state(effect.field).was_seen_since(flight) for effect in flight.effects):
            return "done"
        self._undone.add(flight.ticket)
        return "undone"

    def _cancelled(self, task: Id, at_us: int) -> None:
        """Nothing of a cancelled task is performed any more, and nobody will say what became of its doubts.

        What was undone did not happen; the rest counts until all of its fields were seen after this.
        """
        for (of, call), ticket in list(self._calls.items()):
            flight = self.picture.flights.get(ticket)
            if of == task and ticket in self._undone:
                self._ended(task, call, "undone", at_us)
            elif of == task and flight is not None and flight.phase != "done":
                self._over[ticket] = at_us

    def _is_seen(self, ticket: str) -> bool:
        flight = self.picture.flights.get(ticket)
        if flight is None:
            return True
        last_us = max(self._over[ticket], flight.from_us) + flight.settle_us
        return all(self.picture.state(effect.field).observed_us > last_us for effect in flight.effects)

    def _forget(self, ticket: str) -> None:
        for key in [key for key, held in self._calls.items() if held == ticket]:
            del self._calls[key]
        self._holds.pop(ticket, None)
        self._undone.discard(ticket)


_END_OF_OUTCOME = {"done": "done", "failed": "failed", "refused": "failed", "unknown": "unknown"}
