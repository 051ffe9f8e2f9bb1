"""All that is to be said of one task: its row, what its journal adds up to, and what must be read beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from comity.core.codec import decode
from comity.journal.call import Kind, Status
from comity.journal.entry import Created, Ended, Entry, Moved, Verified
from comity.journal.ports import Store
from comity.journal.segment import Payload
from comity.journal.task import State, TaskRow
from comity.kernel.ledger import Ledger, Record

_HELD_BY_A_WORKER = (State.RUNNING, State.CANCELLING)


@dataclass(slots=True)
class Account:
    """A task as people look at it.

    `detail` is why it last moved; `verdicts` what verifiers said, by call; `unprotected` names the functions that an
    outside program's last thought offered and that run in the program itself.
    """

    row: TaskRow
    entries: Sequence[Entry]
    ledger: Ledger
    detail: str = ""
    verdicts: dict[int, bool] = field(default_factory=dict)
    unprotected: tuple[str, ...] = ()

    @property
    def created(self) -> Created:
        """Return the first entry."""
        assert self.ledger.created is not None, "a journal begins with `Created`"
        return self.ledger.created

    @property
    def ended(self) -> Ended | None:
        """Return how the task ended, None while it has not."""
        return self.ledger.ended

    @property
    def calls(self) -> list[Record]:
        """Return every call in the order in which it was asked."""
        return [self.ledger.calls[seq] for seq in sorted(self.ledger.calls)]

    @property
    def doubts(self) -> list[Record]:
        """Return the calls of which nobody knows whether they happened; those that are just performed are none."""
        return [record for record in self.calls if self.phase(record) == "in doubt" and record.key.kind == Kind.TOOL]

    @property
    def questions(self) -> list[Record]:
        """Return the calls that wait for a person's answer."""
        return [record for record in self.calls if record.open and record.key.kind == Kind.HUMAN]

    def phase(self, record: Record) -> str:
        """Return in words where a call stands."""
        if not record.open:
            return str(record.status)
        if record.held:
            return "held"
        if record.meant:
            is_performed = self.row.state in _HELD_BY_A_WORKER and not record.unknown
            return "under way" if is_performed else "in doubt"
        return f"waits: {record.waiting.condition}" if record.waiting is not None else "asked"

    def verified(self, record: Record) -> str:
        """Return in a word what a verifier said of a call's outcome."""
        if record.held:
            return "held"
        said = self.verdicts.get(record.seq)
        return "" if said is None else "passed" if said else "failed"


async def read_account(store: Store, row: TaskRow) -> Account:
    """Read a task's journal."""
    entries = await store.load(row.id)
    account = Account(row, entries, Ledger(row.id))
    for item in entries:
        body = item.read()
        account.ledger.apply(item, body)
        if isinstance(body, Moved):
            account.detail = body.detail
        elif isinstance(body, Verified):
            account.verdicts[body.call] = body.passed
    account.ledger.replay(())
    account.unprotected = await _unprotected(store, account)
    return account


async def _unprotected(store: Store, account: Account) -> tuple[str, ...]:
    last = next((record for record in reversed(account.calls) if record.key.kind == Kind.MODEL), None)
    if last is None:
        return ()
    args = await content(store, account.row.tenant, last.args)
    return tuple(args.get("inside", ())) if isinstance(args, dict) else ()


async def content(store: Store, tenant: str, payload: Payload) -> Any:
    """Return the value of a payload, wherever it is kept."""
    if payload.sha256:
        return decode((await store.segments(tenant, [payload.sha256]))[0])
    return decode(payload.inline) if payload.inline else None


def at_hand(payload: Payload) -> Any:
    """Return the value of a payload that stands in its entry; of a larger one, its size in words."""
    if payload.sha256:
        return f"({payload.size:,} bytes)"
    return decode(payload.inline) if payload.inline else None


def has_failed(record: Record) -> bool:
    """Tell whether a call ended without a value."""
    return not record.open and record.status is not Status.DONE
