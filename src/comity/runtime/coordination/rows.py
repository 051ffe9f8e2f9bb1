"""The rows of a coordinated world, and how they are read and written.

`world/document` is the world file that is in force. `component/NAME` says who writes a component: its version is the
epoch, which every intent that touches the component is guarded by. `reservation/TICKET` is written in an intent's own
transaction; what became of it stands in the task's journal. `world_field/NAME` is what is believed.
`claim/generation` moves with every claim, and guards intents too. `world/baseline` is what an operator signed off as
usual, `world/counted` the version of the world that counts the acts which were under way before it. `alarm/…` are those
that were acted on.
"""

from __future__ import annotations

import msgspec

from comity.coordination.detectors.baseline import NO_BASELINE, Baseline
from comity.coordination.document import WorldDocument
from comity.coordination.picture import FieldRow, Flight
from comity.core.codec import pack
from comity.journal.unit import StateIs, StateRow, StateWrite
from comity.journal.world import Claim, Plan

WORLD = "world"
DOCUMENT = "document"
BASELINE = "baseline"
COUNTED = "counted"
COMPONENT = "component"
FIELD = "world_field"
RESERVATION = "reservation"
CLAIM = "claim"
GENERATION = "generation"
PLAN = "plan"
ESCALATION = "escalation"
ALARM = "alarm"


class DocumentRow(msgspec.Struct, frozen=True, array_like=True):
    """The world file in force: as JSON, by whom it was applied, and when."""

    json: bytes
    by: str
    at_us: int
    text: str = ""


class WriterRow(msgspec.Struct, frozen=True, array_like=True):
    """Who writes a component: its node, where that can be reached, and the secret that opens its door."""

    node: bytes
    url: str = ""
    secret: str = ""


class ReservationRow(msgspec.Struct, frozen=True, array_like=True):
    """A reservation as its intent wrote it; the intent is in the task's journal behind entry `after_seq`.

    One that is void was written by the component's writer, so that an intent that comes too late finds the ticket used.
    `call` is the intent itself where that does not name the reservation, since it was judged by nobody.
    """

    flight: Flight
    task: bytes
    after_seq: int
    is_void: bool = False
    call: int = 0


class EscalationRow(msgspec.Struct, frozen=True, array_like=True):
    """A question to people whether a call may pass a rule; `answer` is empty while nobody has said."""

    rule: str
    reason: str
    agent: str
    task: bytes
    tool: str
    args: bytes
    asked_us: int
    answer: str = ""
    by: str = ""


def epoch_guard(component: str, epoch: int) -> StateIs:
    """Return the guard that nobody else has become the component's writer."""
    return StateIs(COMPONENT, component, epoch)


def claims_guard(generation: int) -> StateIs:
    """Return the guard that no claim has been made or ended since."""
    return StateIs(CLAIM, GENERATION, generation)


def document_guard(version: int) -> StateIs:
    """Return the guard that the world is still the one that was judged by."""
    return StateIs(WORLD, DOCUMENT, version)


def reservation_write(row: ReservationRow, void: int = 0) -> StateWrite:
    """Return the write that goes with the intent; a ticket is reserved once, or in place of its `void` version."""
    return StateWrite(RESERVATION, row.flight.ticket, pack(row), void)


def read_document(row: StateRow) -> WorldDocument:
    """Return the world file of its row."""
    held = msgspec.msgpack.decode(row.value, type=DocumentRow)
    return msgspec.json.decode(held.json, type=WorldDocument)


def read_baseline(row: StateRow | None) -> Baseline:
    """Return what was signed off as usual; nothing is where nobody has."""
    return NO_BASELINE if row is None else msgspec.msgpack.decode(row.value, type=Baseline)


def read_claim(row: StateRow) -> Claim:
    """Return a claim."""
    return msgspec.msgpack.decode(row.value, type=Claim)


def read_plan(row: StateRow) -> Plan:
    """Return a plan."""
    return msgspec.msgpack.decode(row.value, type=Plan)


def read_field(row: StateRow) -> FieldRow:
    """Return a field."""
    return msgspec.msgpack.decode(row.value, type=FieldRow)


def read_reservation(row: StateRow) -> ReservationRow:
    """Return a reservation."""
    return msgspec.msgpack.decode(row.value, type=ReservationRow)


def read_writer(row: StateRow) -> WriterRow:
    """Return who writes a component."""
    return msgspec.msgpack.decode(row.value, type=WriterRow)


def read_escalation(row: StateRow) -> EscalationRow:
    """Return a question to people."""
    return msgspec.msgpack.decode(row.value, type=EscalationRow)
