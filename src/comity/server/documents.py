"""The documents of tasks, as the API and `--json` answer: stable keys, RFC 3339 times, money in dollars, whole ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from comity.core.ids import Id, show_id
from comity.journal.budget import Budget, Cost
from comity.journal.call import Kind
from comity.journal.entry import Entry
from comity.journal.segment import Payload
from comity.journal.task import State, TaskRow
from comity.kernel.ledger import Record
from comity.runtime.account import Account, at_hand
from comity.runtime.compare import Comparison
from comity.runtime.words import iso

Uuid = Annotated[str, msgspec.Meta(extra_json_schema={"format": "uuid"})]
Moment = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
Document = dict[str, Any]


class CostDocument(msgspec.Struct, frozen=True):
    """Tokens and dollars."""

    tokens_in: int
    tokens_out: int
    usd: float


class UsedDocument(CostDocument, frozen=True):
    """What a task used; `calls` counts what was performed, by effect class and `model`."""

    calls: dict[str, int]


class BudgetDocument(msgspec.Struct, frozen=True):
    """Limits of a task; null is no limit."""

    tokens: int | None
    usd: float | None
    calls: dict[str, int]
    wall_s: float | None
    context_tokens: int | None


class TaskDocument(msgspec.Struct, frozen=True):
    """A task as lists show it; `goal` is its first 200 characters."""

    id: Uuid
    agent: str
    agent_version: str
    state: State
    reason: str
    goal: str
    tenant: str
    session: str | None
    queue: str
    priority: int
    parent: Uuid | None
    node: Uuid | None
    incarnation: int
    last_seq: int
    created_at: Moment | None
    updated_at: Moment | None


class CallDocument(msgspec.Struct, frozen=True):
    """A call as the journal knows it; a large `args` or `result` is an object with `sha256` and `bytes`.

    `args` are those that were asked, `performed` those that a gate trimmed them to (null: none did). `error` says also
    why a call waits.
    """

    call: int
    branch: str
    kind: str
    name: str
    occurrence: int
    effect: str | None
    phase: str
    attempts: int
    generation: int
    verified: str | None
    args: Any
    performed: Any
    result: Any
    code: str | None
    error: str | None
    cost: CostDocument
    asked_at: Moment | None


class ErrorDocument(msgspec.Struct, frozen=True):
    """Why a task failed."""

    code: str
    message: str


class AccountDocument(TaskDocument, frozen=True):
    """A task with its calls, its budget and how it ended; the lists name calls by their number.

    `goal` is whole unless it is large. `stopped_by` names the stops in force over the task; `has_node` tells whether
    any node is up.
    """

    detail: str
    model: str | None
    forked_from: Uuid | None
    forked_at: int | None
    is_live: bool | None
    budget: BudgetDocument
    used: UsedDocument
    reserved: CostDocument
    calls: list[CallDocument]
    in_doubt: list[int]
    questions: list[int]
    unprotected: list[str]
    result: Any
    error: ErrorDocument | None
    stopped_by: list[str]
    has_node: bool


class EntryDocument(msgspec.Struct, frozen=True):
    """An entry of a journal with its body as it was written; bytes are in hex, JSON payloads are read."""

    seq: int
    branch: str
    kind: str
    phase: str
    at: Moment | None
    type: str
    body: Document


class WireDocument(msgspec.Struct, frozen=True):
    """A call on the wire: allowed, and without an outcome yet."""

    task: Uuid
    call: int
    kind: str
    name: str
    effect: str | None
    args: Any
    attempt: int
    asked_at: Moment | None


class OrderDocument(msgspec.Struct, frozen=True):
    """An order that was sent; where no node is up, it waits for one."""

    task: Uuid
    order: str
    has_node: bool


class ForkPreview(msgspec.Struct, frozen=True):
    """Where a fork would begin; `could_happen_again` tells which effects a live one may perform once more."""

    origin: Uuid
    at: int
    could_happen_again: list[str]


class ForkDocument(msgspec.Struct, frozen=True):
    """A fork; `could_happen_again` tells which effects a live one may perform once more."""

    task: Uuid
    origin: Uuid
    at: int
    is_live: bool
    could_happen_again: list[str]


class ChangeDocument(msgspec.Struct, frozen=True):
    """A place at which two tasks differ, and what stands there on each side."""

    path: str
    left: str
    right: str


class HeadDocument(msgspec.Struct, frozen=True):
    """A fact of two tasks that differs before any call."""

    name: str
    left: str
    right: str


class FirstDifference(msgspec.Struct, frozen=True):
    """The first call at which two tasks part."""

    call: str
    what: str
    left_call: int | None
    right_call: int | None
    changes: list[ChangeDocument]


class DiffDocument(msgspec.Struct, frozen=True):
    """Two tasks side by side."""

    left: Uuid
    right: Uuid
    differs: bool
    same_calls: int
    heads: list[HeadDocument]
    first_difference: FirstDifference | None


class TaskList(msgspec.Struct, frozen=True):
    """A page of tasks; where it `has_more`, the next begins `before` the id of the last."""

    tasks: list[TaskDocument]
    has_more: bool


class EntryList(msgspec.Struct, frozen=True):
    """A page of a journal; where it `has_more`, the next begins `from` the last number plus 1."""

    entries: list[EntryDocument]
    has_more: bool


class TreeDocument(msgspec.Struct, frozen=True):
    """A task with the tasks that it started, oldest first."""

    task: TaskDocument
    children: list[TreeDocument]


class Urls(msgspec.Struct, frozen=True):
    """Where a program finds its model and its tools."""

    openai: str
    anthropic: str
    mcp: str


class AdoptDocument(msgspec.Struct, frozen=True):
    """A program's identity: `token` is the API key of both URLs, and dies with the incarnation."""

    task: Uuid
    incarnation: int
    token: str
    urls: Urls


def task_document(row: TaskRow) -> TaskDocument:
    """Return a task's row."""
    return TaskDocument(**_task_fields(row))


def account_document(account: Account, stopped_by: Sequence[str], *, has_node: bool) -> AccountDocument:
    """Return a task with its calls, its budget and how it ended."""
    ledger, ended, created = account.ledger, account.ended, account.created
    used = ledger.used
    goal = account.row.goal if created.goal.sha256 else at_hand(created.goal)
    return AccountDocument(
        **{**_task_fields(account.row), "goal": goal if isinstance(goal, str) else msgspec.json.encode(goal).decode()},
        detail=account.detail,
        model=created.model or None,
        forked_from=id_or_none(created.forked_from),
        forked_at=created.forked_at or None,
        is_live=created.live if created.forked_from else None,
        budget=budget_document(ledger.budget),
        used=UsedDocument(used.tokens_in, used.tokens_out, used.usd_micro / 1e6, ledger.counts),
        reserved=cost_document(ledger.reserved),
        calls=[call_document(account, record) for record in account.calls],
        in_doubt=[record.seq for record in account.doubts],
        questions=[record.seq for record in account.questions],
        unprotected=list(account.unprotected),
        result=at_hand(ended.result) if ended is not None else None,
        error=ErrorDocument(ended.code, ended.error) if ended is not None and (ended.code or ended.error) else None,
        stopped_by=list(stopped_by),
        has_node=has_node,
    )


def call_document(account: Account, record: Record) -> CallDocument:
    """Return a call as the journal knows it."""
    kind = record.key.kind
    return CallDocument(
        call=record.seq,
        branch=record.key.branch,
        kind=str(record.key.kind),
        name=record.key.name,
        occurrence=record.key.occurrence,
        effect=str(record.effect) if record.effect is not None else None,
        phase=account.phase(record).replace(" ", "_"),
        attempts=record.attempt,
        generation=record.generation,
        verified=account.verified(record) or None,
        args=value_or_digest(record.args),
        performed=value_or_digest(record.performed) if record.performed is not None and kind == Kind.TOOL else None,
        result=value_or_digest(record.result) if not record.open else None,
        code=record.code or None,
        error=record.error or record.unknown or _waits_for(record) or None,
        cost=cost_document(record.cost),
        asked_at=iso(record.at_us),
    )


def _waits_for(record: Record) -> str:
    return record.waiting.why if record.open and not record.meant and record.waiting is not None else ""


def entry_document(item: Entry) -> EntryDocument:
    """Return an entry with its body as it was written."""
    body = item.read()
    fields = {name: _plain(getattr(body, name)) for name in body.__struct_fields__}
    kind = type(body).__name__.lower()
    return EntryDocument(item.seq, item.branch, item.kind, item.phase, iso(item.at_us), kind, fields)


def wire_document(row: TaskRow, record: Record) -> WireDocument:
    """Return a call on the wire."""
    return WireDocument(
        task=show_id(row.id),
        call=record.seq,
        kind=str(record.key.kind),
        name=record.key.name,
        effect=str(record.effect) if record.effect is not None else None,
        args=value_or_digest(record.args),
        attempt=record.attempt,
        asked_at=iso(record.at_us),
    )


def diff_document(left: Account, right: Account, found: Comparison) -> DiffDocument:
    """Return a comparison of two tasks."""
    first = None
    if found.call is not None:
        changes = [ChangeDocument(*change) for change in found.changes]
        first = FirstDifference(found.call, found.what, found.left_seq, found.right_seq, changes)
    heads = [HeadDocument(*head) for head in found.heads]
    return DiffDocument(show_id(left.row.id), show_id(right.row.id), found.differs, found.same, heads, first)


def budget_document(budget: Budget) -> BudgetDocument:
    """Return limits; None is no limit."""
    usd = None if budget.usd_micro is None else budget.usd_micro / 1e6
    return BudgetDocument(budget.tokens, usd, budget.calls, budget.wall_s, budget.context_tokens)


def cost_document(cost: Cost) -> CostDocument:
    """Return what was used."""
    return CostDocument(cost.tokens_in, cost.tokens_out, cost.usd_micro / 1e6)


def value_or_digest(payload: Payload) -> Any:
    """Return a payload's value where it stands in its entry, else where it is."""
    return {"sha256": payload.sha256.hex(), "bytes": payload.size} if payload.sha256 else at_hand(payload)


def id_or_none(id: Id) -> str | None:
    """Return an id as people see it, None for none."""
    return show_id(id) if id else None


def _task_fields(row: TaskRow) -> Document:
    return {
        "id": show_id(row.id),
        "agent": row.agent,
        "agent_version": row.agent_version,
        "state": row.state,
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
