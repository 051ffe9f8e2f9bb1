"""What the API tells of tasks: lists, accounts, journals, trees, differences; and how they are created."""

from __future__ import annotations

from typing import Any

import msgspec

from comity.core.codec import canonical
from comity.core.errors import UsageError
from comity.core.ids import Id, parse_id
from comity.journal.budget import Budget
from comity.journal.entry import Created
from comity.journal.ports import Store, TaskFilter
from comity.journal.segment import payload
from comity.journal.task import TaskRow
from comity.kernel.stops import scopes_of
from comity.runtime.account import content, read_account
from comity.runtime.compare import compare
from comity.runtime.listing import all_tasks
from comity.runtime.nodes import nodes_up
from comity.runtime.orders import Orders, grant_of
from comity.server.asking import Ask
from comity.server.bodies import DiffQuery, EntriesQuery, Limits, NewTaskBody, TasksQuery
from comity.server.documents import (
    AccountDocument,
    DiffDocument,
    EntryList,
    TaskDocument,
    TaskList,
    TreeDocument,
    account_document,
    diff_document,
    entry_document,
    task_document,
)

TREE_TASKS_MAX = 1_000


async def ls(ask: Ask) -> TaskList:
    """List tasks."""
    query: TasksQuery = ask.query
    which = TaskFilter(
        query.state,
        query.agent,
        query.session,
        query.tenant,
        parent=_id(query.parent),
        before=_id(query.before),
        limit=query.limit + 1,
    )
    rows = await _named(ask.site.store, which, query.part) if query.part else await ask.site.store.tasks(which)
    return TaskList([task_document(row) for row in rows[: query.limit]], len(rows) > query.limit)


async def create(ask: Ask) -> TaskDocument:
    """Create a task; the same key gives the same task."""
    body: NewTaskBody = ask.body
    site, orders = ask.site, ask.orders
    program = await site.programs.find(body.agent)
    spec = program.agent(body.agent) if program is not None else None
    if program is None or spec is None:
        raise UsageError("no_such_agent", f"no agent `{body.agent}`", hint="`comity agents ls` lists them")
    sections = site.config.sections
    base = sections.agents[spec.name].budget.budget() if spec.name in sections.agents else Budget()
    grant = grant_of(program, spec, ask.who.name, body.tools, body.model)
    task = await orders.create(
        program,
        spec.name,
        body.goal,
        session=body.session,
        tenant=body.tenant,
        budget=_budget(body.budget, base),
        grant=grant,
        model=body.model,
        queue=body.queue,
        priority=body.priority,
        dedupe=ask.key,
        not_before_us=int(site.clock.wall_us() + body.delay_s * 1e6) if body.delay_s else 0,
        concurrency_key=body.limit_key,
        concurrency_limit=site.config.concurrency_of(body.limit_key),
    )
    if ask.key:
        await _check_same(site.store, task, body)
    return task_document(await orders.row(task))


async def show(ask: Ask) -> AccountDocument:
    """Show a task, with all of its result."""
    return await read_document(ask.site.store, ask.orders, await ask.orders.row(ask.task))


async def read_document(store: Store, orders: Orders, row: TaskRow) -> AccountDocument:
    """Return a task as it stands, with all of its result."""
    account = await read_account(store, row)
    over = set(scopes_of(row))
    stopped = [scope for scope, _ in await orders.stopped() if scope in over]
    document = account_document(account, stopped, has_node=bool(await nodes_up(store)))
    if account.ended is None:
        return document
    return msgspec.structs.replace(document, result=await content(store, row.tenant, account.ended.result))


async def entries(ask: Ask) -> EntryList:
    """Return a page of a task's journal."""
    query: EntriesQuery = ask.query
    row = await ask.orders.row(ask.task)
    found = await ask.site.store.load(row.id, query.start, query.limit + 1)
    return EntryList([entry_document(item) for item in found[: query.limit]], len(found) > query.limit)


async def tree(ask: Ask) -> TreeDocument:
    """Return a task with all below it, to so many."""
    seen = 0

    async def below(row: TaskRow) -> TreeDocument:
        nonlocal seen
        seen += 1
        left = TREE_TASKS_MAX - seen
        children = await ask.site.store.tasks(TaskFilter(parent=row.id, limit=left)) if left > 0 else []
        return TreeDocument(task_document(row), [await below(child) for child in reversed(children)])

    return await below(await ask.orders.row(ask.task))


async def diff(ask: Ask) -> DiffDocument:
    """Compare a task with another, or with the origin that it is a fork of."""
    query: DiffQuery = ask.query
    store = ask.site.store
    right = await read_account(store, await ask.orders.row(ask.task))
    other = parse_id(query.other) if query.other is not None else right.created.forked_from
    if not other:
        hint = "name another task to compare it with"
        raise UsageError("not_a_fork", f"task `{ask.path['task']}` is no fork of another", hint=hint)
    left = await read_account(store, await ask.orders.row(other))
    if query.other is not None:
        left, right = right, left
    return diff_document(left, right, await compare(store, left, right))


def limits_given(limits: Limits) -> dict[str, Any]:
    """Return the limits that were given, by their field of `Budget`."""
    given = msgspec.to_builtins(limits)
    if "usd" in given:
        given["usd_micro"] = round(given.pop("usd") * 1_000_000)
    return dict(given)


def _budget(limits: Limits | None, base: Budget) -> Budget:
    given = limits_given(limits or Limits())
    calls = {**base.calls, **given.pop("calls", {})}
    return msgspec.structs.replace(base, calls=calls, **given)


async def _check_same(store: Store, task: Id, body: NewTaskBody) -> None:
    """Refuse a key that made another task before.

    Raises:
        UsageError: it did.
    """
    (first,) = await store.load(task, 1, 1)
    created = first.read()
    assert isinstance(created, Created)
    goal, _ = payload(canonical(body.goal, "goal"))
    if (created.agent, created.goal, created.session) != (body.agent, goal, body.session):
        hint = "take a new key for each task; the same key is for asking for the same task again"
        raise UsageError("key_reused", "this `Idempotency-Key` made another task before", hint=hint)


async def _named(store: Store, which: TaskFilter, part: str) -> list[TaskRow]:
    """Return the tasks whose id begins or ends with `part`. Cost: a look at all that `which` lists."""
    found: list[TaskRow] = []
    async for row in all_tasks(store, which):
        whole = row.id.hex()
        if whole.startswith(part) or whole.endswith(part):
            found.append(row)
        if len(found) == which.limit:
            break
    return found


def _id(text: str | None) -> Id:
    return parse_id(text) if text is not None else b""
