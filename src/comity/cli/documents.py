"""The JSON that commands answer with: stable keys, times in RFC 3339, money in dollars, ids in full."""

from __future__ import annotations

from typing import Any

import msgspec

from comity.cli.account import Account, at_hand
from comity.cli.words import iso
from comity.core.ids import Id, show_id
from comity.journal.budget import Budget, Cost
from comity.journal.entry import Entry
from comity.journal.segment import Payload
from comity.journal.task import TaskRow
from comity.kernel.ledger import Record

Document = dict[str, Any]


def task_document(row: TaskRow) -> Document:
    """Return a task's row."""
    return {
        "id": show_id(row.id),
        "agent": row.agent,
        "agent_version": row.agent_version,
        "state": str(row.state),
        "reason": row.reason,
        "goal": row.goal,
        "tenant": row.tenant,
        "session": row.session or None,
        "queue": row.queue,
        "priority": row.priority,
        "parent": id_or_none(row.parent),
        "node": id_or_none(row.node),
        "incarnation": row.incarnation,
        "last_seq": row.last_seq,
        "created_at": iso(row.created_us),
        "updated_at": iso(row.updated_us),
    }


def account_document(account: Account) -> Document:
    """Return a task with its calls, its budget and how it ended."""
    ledger, ended, created = account.ledger, account.ended, account.created
    return {
        **task_document(account.row),
        "detail": account.detail,
        "model": created.model or None,
        "forked_from": id_or_none(created.forked_from),
        "forked_at": created.forked_at or None,
        "is_live": created.live if created.forked_from else None,
        "budget": budget_document(ledger.budget),
        "used": {**cost_document(ledger.used), "calls": ledger.counts},
        "reserved": cost_document(ledger.reserved),
        "calls": [call_document(account, record) for record in account.calls],
        "in_doubt": [record.seq for record in account.doubts],
        "questions": [record.seq for record in account.questions],
        "result": at_hand(ended.result) if ended is not None else None,
        "error": {"code": ended.code, "message": ended.error} if ended is not None and ended.code else None,
    }


def call_document(account: Account, record: Record) -> Document:
    """Return a call as the journal knows it."""
    return {
        "call": record.seq,
        "branch": record.key.branch,
        "kind": str(record.key.kind),
        "name": record.key.name,
        "occurrence": record.key.occurrence,
        "effect": str(record.effect) if record.effect is not None else None,
        "phase": account.phase(record).replace(" ", "_"),
        "attempts": record.attempt,
        "generation": record.generation,
        "verified": account.verified(record) or None,
        "args": value_or_digest(record.args),
        "result": value_or_digest(record.result) if not record.open else None,
        "code": record.code or None,
        "error": record.error or record.unknown or None,
        "cost": cost_document(record.cost),
        "asked_at": iso(record.at_us),
    }


def entry_document(item: Entry) -> Document:
    """Return an entry with its body as it was written; bytes are in hex, JSON payloads are read."""
    body = item.read()
    fields = {name: _plain(getattr(body, name)) for name in body.__struct_fields__}
    return {
        "seq": item.seq,
        "branch": item.branch,
        "kind": item.kind,
        "phase": item.phase,
        "at": iso(item.at_us),
        "type": type(body).__name__.lower(),
        "body": fields,
    }


def budget_document(budget: Budget) -> Document:
    """Return limits; None is no limit."""
    return {
        "tokens": budget.tokens,
        "usd": None if budget.usd_micro is None else budget.usd_micro / 1e6,
        "calls": budget.calls,
        "wall_s": budget.wall_s,
        "context_tokens": budget.context_tokens,
    }


def cost_document(cost: Cost) -> Document:
    """Return what was used."""
    return {"tokens_in": cost.tokens_in, "tokens_out": cost.tokens_out, "usd": cost.usd_micro / 1e6}


def value_or_digest(payload: Payload) -> Any:
    """Return a payload's value where it stands in its entry, else where it is."""
    return {"sha256": payload.sha256.hex(), "bytes": payload.size} if payload.sha256 else at_hand(payload)


def id_or_none(id: Id) -> str | None:
    """Return an id as people see it, None for none."""
    return show_id(id) if id else None


def _plain(value: Any) -> Any:
    if isinstance(value, Payload):
        return value_or_digest(value)
    if isinstance(value, bytes):
        return show_id(value) if len(value) == 16 else value.hex()
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
