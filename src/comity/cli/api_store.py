"""The API on a store that the command has opened itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from comity.cli.api import Given, Handle
from comity.core.clock import Clock, SystemClock
from comity.core.entropy import Entropy, SystemEntropy
from comity.core.ids import parse_id
from comity.journal.ports import Store
from comity.journal.spec import AgentSpec, Program
from comity.runtime.config import Config
from comity.runtime.programs import StoredPrograms
from comity.server.asking import Ask, Principal, misfit
from comity.server.documents import EntryDocument

if TYPE_CHECKING:
    from comity.runtime.catalog import Catalog
    from comity.runtime.coordination.aside import Aside
    from comity.runtime.zygotes import Zygotes


class StoreSite:
    """A store that a command has opened, with what belongs to it."""

    def __init__(self, store: Store, config: Config) -> None:
        """Work on `store`, which is open."""
        self.store = store
        self.config = config
        self.clock: Clock = SystemClock()
        self.entropy: Entropy = SystemEntropy()
        self.programs = StoredPrograms(store, self._of_outside)
        self._catalog: Catalog | None = None
        self._zygotes: Zygotes | None = None

    @property
    def catalog(self) -> Catalog:
        """Return the catalog, which `load_catalog` has read."""
        assert self._catalog is not None, "an operation on tools is told to read them first"
        return self._catalog

    @property
    def coordination(self) -> Aside:
        """Return what coordinates here: nothing runs, so what is asked is read from the store."""
        from comity.runtime.coordination.aside import Aside

        return Aside(self.store, self.clock, self.entropy)

    async def _of_outside(self, spec: AgentSpec) -> Program:
        """Return what an outside program is offered."""
        if self._catalog is None:
            await self.load_catalog()
        return await self.catalog.program(spec)

    async def load_catalog(self) -> None:
        """Read the tools of upstreams and of tool files."""
        from comity.runtime.catalog import Catalog
        from comity.runtime.zygote import ZygoteSettings
        from comity.runtime.zygotes import Zygotes

        self._zygotes = Zygotes(ZygoteSettings(lambda _who, _line: None))
        self._catalog = Catalog(self.store, self.config, self._zygotes.describe, self.clock)
        await self._catalog.load()

    async def close(self) -> None:
        """End the processes that have read tool files."""
        if self._zygotes is not None:
            await self._zygotes.close()


class StoreApi:
    """The operations, performed here."""

    def __init__(self, site: StoreSite, who: str) -> None:
        """Ask in the name of `who`."""
        self._site = site
        self._who = Principal(who)

    async def ask(self, handle: Handle[Given], *, query: Any = None, body: Any = None, **path: str) -> Given:
        """Perform an operation."""
        made = await handle(Ask(self._site, self._who, path, _checked("query", query), _checked("body", body)))
        return msgspec.json.decode(msgspec.json.encode(made), type=type(made))

    async def follow(self, task: str) -> AsyncGenerator[EntryDocument]:
        """Yield entries as the store shows them."""
        from comity.server.event import EntryEvent
        from comity.server.feed import Feed, Watcher

        site, rung = self._site, asyncio.Event()
        await Ask(site, self._who, {"task": task}).orders.row(parse_id(task))
        feed = Feed(site.store, site.clock)
        watcher = Watcher(1, rung.set, parse_id(task))
        feed.join(watcher)
        try:
            while not watcher.is_over:
                rung.clear()
                while events := await feed.take(watcher):
                    for event in events:
                        if isinstance(event.document, EntryEvent):
                            yield event.document.data
                if not watcher.is_over:
                    await rung.wait()
        finally:
            await feed.close()


@asynccontextmanager
async def store_api(store: Store, config: Config, who: str, *, has_tools: bool) -> AsyncIterator[StoreApi]:
    """Give the operations on an open store, with `has_tools` those on tools too."""
    site = StoreSite(store, config)
    try:
        if has_tools:
            await site.load_catalog()
        yield StoreApi(site, who)
    finally:
        await site.close()


def _checked(what: Literal["query", "body"], value: Any) -> Any:
    """Return a query or a body as a server would read it.

    Raises:
        UsageError: something of it does not fit.
    """
    if value is None:
        return None
    try:
        return msgspec.convert(msgspec.to_builtins(value), type(value))
    except msgspec.ValidationError as error:
        raise misfit(what, error) from None
