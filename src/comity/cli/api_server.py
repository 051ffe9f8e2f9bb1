"""The API of a server that was named."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from comity.cli.api import Given, Handle
from comity.core.errors import UsageError
from comity.server.client import ApiClient, part
from comity.server.documents import EntryDocument
from comity.server.event import EntryEvent, PageDocument
from comity.server.operation import ROOT
from comity.server.table import OPERATIONS

WAIT_S = 25
"""How long one look for events lasts."""
_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")


class ServerApi:
    """The operations, performed by a server."""

    def __init__(self, client: ApiClient) -> None:
        """Ask by `client`."""
        self._client = client

    async def ask(self, handle: Handle[Given], *, query: Any = None, body: Any = None, **path: str) -> Given:
        """Ask for an operation."""
        operation = next(item for item in OPERATIONS if item.handle is handle)
        filled = _PARAMETER.sub(lambda found: part(path[found[1]]), operation.path.removeprefix(ROOT))
        gives: Any = operation.gives
        found: Given = await self._client.request(operation.method, filled, gives, query=_parameters(query), body=body)
        return found

    async def follow(self, task: str) -> AsyncGenerator[EntryDocument]:
        """Yield entries as the server tells them."""
        start, has_ended = 1, False
        while not has_ended:
            query = {"from": start, "wait": WAIT_S}
            page = await self._client.request("GET", f"/tasks/{part(task)}/events", PageDocument, query=query)
            start = page.from_
            for event in page.events:
                if isinstance(event, EntryEvent):
                    yield event.data
                else:
                    has_ended = True


@asynccontextmanager
async def server_api(url: str) -> AsyncIterator[ServerApi]:
    """Give the operations of the server at `url`, by the token in COMITY_TOKEN.

    Raises:
        UsageError: there is no token, or `url` is none.
    """
    token = os.environ.get("COMITY_TOKEN", "")
    if not token:
        hint = "`comity token new NAME`, on the server's machine, makes one"
        raise UsageError("no_token", "COMITY_TOKEN is not set", hint=hint)
    async with ApiClient(url, token) as client:
        yield ServerApi(client)


def _parameters(query: Any) -> dict[str, Any]:
    given = msgspec.to_builtins(query) if query is not None else {}
    return {name: value for name, value in given.items() if value not in (None, [], "")}
