"""Tasks page by page: all that a filter names, and the tree of what one has spawned."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from comity.journal.ports import Store, TaskFilter
from comity.journal.task import TaskRow

PAGE = 500
LISTED_TASKS_MAX = 100_000
"""So many of the newest tasks are looked through, no more."""


async def all_tasks(store: Store, which: TaskFilter | None = None) -> AsyncIterator[TaskRow]:
    """Yield tasks, newest first, page by page."""
    before = which.before if which is not None else b""
    for _ in range(LISTED_TASKS_MAX // PAGE):
        page = await store.tasks(msgspec.structs.replace(which or TaskFilter(), before=before, limit=PAGE))
        for row in page:
            yield row
        if len(page) < PAGE:
            return
        before = page[-1].id
