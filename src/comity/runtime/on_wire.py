"""What is on the wire in a scope: calls that were allowed, and of which no outcome is recorded yet."""

from __future__ import annotations

from comity.core.ids import parse_id
from comity.journal.ports import Store, TaskFilter
from comity.journal.task import State, TaskRow
from comity.kernel.ledger import Ledger, Record
from comity.kernel.stops import scopes_of
from comity.runtime.listing import all_tasks

_MAY_HAVE_SOME = (State.QUEUED, State.RUNNING, State.CANCELLING, State.PARKED, State.WAITING)


async def on_the_wire(store: Store, scope: str) -> list[tuple[TaskRow, Record]]:
    """Return the open intents of a scope, oldest first. Cost: the journals of its tasks that have not ended."""
    found: list[tuple[TaskRow, Record]] = []
    for row in await _tasks_in(store, scope):
        ledger = Ledger(row.id).replay(await store.load(row.id))
        found += [(row, record) for record in ledger.open_calls() if record.meant and not record.held]
    return sorted(found, key=lambda item: item[1].at_us)


async def _tasks_in(store: Store, scope: str) -> list[TaskRow]:
    kind, _, name = scope.partition(":")
    if kind == "task":
        row = await store.task(parse_id(name))
        return [row] if row is not None and row.state in _MAY_HAVE_SOME else []
    agent, session, tenant = (name if kind == word else "" for word in ("agent", "session", "tenant"))
    which = TaskFilter(_MAY_HAVE_SOME, agent.rpartition("/")[2], session, tenant)
    return [row async for row in all_tasks(store, which) if scope in scopes_of(row)]
