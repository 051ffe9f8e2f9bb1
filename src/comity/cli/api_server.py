"""The API of a server that was named."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import msgspec

from comity.cli.api import Given, Handle
from comity.cli.program_task import Asking
from comity.core.clock import SystemClock
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

    def __init__(self, client: ApiClient, on_silence: Callable[[], None]) -> None:
        """Ask by `client`; `on_silence` hears that a server which is followed is gone for longer than a moment."""
        self._client = client
        self._asking = Asking(client, SystemClock(), _no_passing_token, on_silence)

    async def ask(self, handle: Handle[Given], *, query: Any = None, body: Any = None, **path: str) -> Given:
        """Ask for an operation."""
        operation = next(item for item in OPERATIONS if item.handle is handle)
        filled = _PARAMETER.sub(lambda found: part(path[found[1]]), operation.path.removeprefix(ROOT))
        gives: Any = operation.gives
        found: Given = await self._client.request(operation.method, filled, gives, query=_parameters(query), body=body)
        return found

    async def follow(self, task: str) -> AsyncGenerator[EntryDocument]:
        """Yield entries as the server tells them; one that was there is asked again until it is back."""
        start, has_ended = 1, False
        while not has_ended:
            page = await self._asking(partial(_page, task=task, start=start))
            start = page.from_
            for event in page.events:
                if isinstance(event, EntryEvent):
                    yield event.data
                else:
                    has_ended = True


@asynccontextmanager
async def server_api(url: str, on_silence: Callable[[], None]) -> AsyncIterator[ServerApi]:
    """Give the operations of the server at `url`, by the token in COMITY_TOKEN.

    Raises:
        UsageError: there is no token, or `url` is none.
    """
    token = os.environ.get("COMITY_TOKEN", "")
    if not token:
        hint = "`comity token new NAME`, on the server's machine, makes one"
        raise UsageError("no_token", "COMITY_TOKEN is not set", hint=hint)
    async with ApiClient(url, token) as client:
        yield ServerApi(client, on_silence)


async def _page(client: ApiClient, task: str, start: int) -> PageDocument:
    query = {"from": start, "wait": WAIT_S}
    return await client.request("GET", f"/tasks/{part(task)}/events", PageDocument, query=query)


async def _no_passing_token(_client: ApiClient) -> bool:
    """Tell that the token is not one of a node that may be gone."""
    return False


def _parameters(query: Any) -> dict[str, Any]:
    given = msgspec.to_builtins(query) if query is not None else {}
    return {name: value for name, value in given.items() if value not in (None, [], "")}
