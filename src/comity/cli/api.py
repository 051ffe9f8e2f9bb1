"""What commands ask: the operations of the API, of a server where one is named, else right here on the store.

An operation is asked by the function that performs it, so that both ways run the same code and answer the same.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Protocol, TypeVar

import msgspec

from comity.server import task_operations
from comity.server.asking import Ask
from comity.server.bodies import EntriesQuery
from comity.server.documents import EntryDocument

Given = TypeVar("Given", bound=msgspec.Struct)
Handle = Callable[[Ask], Awaitable[Given]]
PAGE = 1_000


class Api(Protocol):
    """The API, wherever it is."""

    async def ask(self, handle: Handle[Given], *, query: Any = None, body: Any = None, **path: str) -> Given:
        """Return what the operation that `handle` performs answers; `path` fills the parameters of its path.

        Raises:
            ComityError: it is refused.
        """
        ...

    def follow(self, task: str) -> AsyncGenerator[EntryDocument]:
        """Yield a task's entries, those to come when they are committed, until it has ended."""
        ...


async def entries_of(api: Api, task: str) -> AsyncGenerator[EntryDocument]:
    """Yield the entries that a task has by now."""
    start, has_more = 1, True
    while has_more:
        page = await api.ask(task_operations.entries, query=EntriesQuery(start, PAGE), task=task)
        for item in page.entries:
            yield item
        start, has_more = start + len(page.entries), page.has_more
