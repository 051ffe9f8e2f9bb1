"""Sessions: the conversation that tasks of one agent share; its head moves by compare-and-set in a task's last unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from comity.core.codec import Digest, pack
from comity.journal.segment import EMPTY_HEAD, Segment, head_after, segment
from comity.journal.unit import StateWrite

if TYPE_CHECKING:
    from comity.kernel.run import Run

NAMESPACE = "session"


class Conversation(msgspec.Struct, frozen=True, array_like=True):
    """A session's state: whose it is, and its context."""

    agent: str
    head: Digest = EMPTY_HEAD
    segments: tuple[Digest, ...] = ()
    tasks: int = 0


read_conversation = msgspec.msgpack.Decoder(Conversation).decode


def session_key(tenant: str, session: str) -> str:
    """Return a session's state key."""
    return f"{tenant}/{session}"


async def find(run: Run) -> Conversation:
    """Return the session as this task found it when it first began, though other tasks may have gone on since."""
    if not run.row.session:
        return Conversation(run.row.agent)
    row = await run.kernel.patient.state(NAMESPACE, session_key(run.row.tenant, run.row.session))
    now = read_conversation(row.value) if row is not None else Conversation(run.row.agent)
    first = run.ledger.session_head
    if first is None or first == now.head:
        return now
    head = EMPTY_HEAD
    for count, item in enumerate(now.segments):
        if head == first:
            return Conversation(now.agent, head, now.segments[:count], now.tasks)
        head = head_after(head, (item,))
    return Conversation(run.row.agent)


async def extended(run: Run, messages: tuple[bytes, ...]) -> tuple[tuple[StateWrite, ...], tuple[Segment, ...]]:
    """Return the write that appends a task's messages to its session, and their segments.

    Where somebody else moved the head meanwhile, the messages go on from there: one task writes at a time, so that is
    a retried task.
    """
    if not run.row.session or not messages:
        return (), ()
    key = session_key(run.row.tenant, run.row.session)
    row = await run.kernel.patient.state(NAMESPACE, key)
    now = read_conversation(row.value) if row is not None else Conversation(run.row.agent)
    new = tuple(segment(message) for message in messages)
    hashes = tuple(item.sha256 for item in new)
    after = Conversation(now.agent, head_after(now.head, hashes), (*now.segments, *hashes), now.tasks + 1)
    return (StateWrite(NAMESPACE, key, pack(after), row.version if row is not None else 0),), new
