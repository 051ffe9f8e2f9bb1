"""What an operation is asked, and on what it works: a node, or a store that a command has opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import msgspec

from comity.core.clock import Clock
from comity.core.entropy import Entropy
from comity.core.errors import UsageError
from comity.core.ids import Id, parse_id
from comity.journal.naming import actor_name
from comity.journal.ports import Programs, Store
from comity.runtime.orders import Orders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from comity.journal.world import Observation
    from comity.runtime.catalog import Catalog
    from comity.runtime.config import Config
    from comity.runtime.coordination.applying import WorldDesk
    from comity.runtime.coordination.observing import Taken
    from comity.runtime.coordination.watching import Watching
    from comity.server.operation import Api


class Principal(NamedTuple):
    """Who asks: an operator by the name of a token, or the program of `task`."""

    name: str
    task: Id | None = None


class Coordinating(Protocol):
    """What operations ask of the coordination of a site."""

    async def watched(self) -> Watching:
        """Return what watches the world there: map, detectors, alarms."""
        ...

    async def observe(self, seen: Sequence[Observation], principal: str) -> list[Taken]:
        """Take what a principal saw."""
        ...


class Site(Protocol):
    """A store with what belongs to it. A node is one, and a command that has opened the store."""

    @property
    def store(self) -> Store:
        """Return the store, open."""
        ...

    @property
    def clock(self) -> Clock:
        """Return the clock."""
        ...

    @property
    def entropy(self) -> Entropy:
        """Return the source of chance."""
        ...

    @property
    def config(self) -> Config:
        """Return the configuration."""
        ...

    @property
    def programs(self) -> Programs:
        """Return who knows which file offers which agent."""
        ...

    @property
    def catalog(self) -> Catalog:
        """Return the tools that programs may be offered."""
        ...

    @property
    def coordination(self) -> Coordinating:
        """Return what coordinates there."""
        ...


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to an operation: who asks, on which site, and what, read strictly; `api` where a node serves it."""

    site: Site
    who: Principal
    path: dict[str, str]
    query: Any = None
    body: Any = None
    key: str = ""
    base_url: str = ""
    api: Api | None = None

    @property
    def task(self) -> Id:
        """Return the task that the path names."""
        return parse_id(self.path["task"])

    @property
    def orders(self) -> Orders:
        """Return the orders of who asks."""
        return Orders(self.site.store, self.site.clock, self.site.entropy, self.who.name)

    @property
    def world(self) -> WorldDesk:
        """Return the orders about the world of who asks."""
        from comity.runtime.coordination.applying import WorldDesk

        return WorldDesk(self.site.store, self.site.clock, self.who.name)

    async def principal(self) -> str:
        """Return who asks, as the world file names them: `operator`, `agent:NAME` or `agent:TENANT/NAME`."""
        if self.who.task is None:
            return "operator"
        row = await self.orders.row(self.who.task)
        return f"agent:{actor_name(row.tenant, row.agent)}"

    @property
    def serving(self) -> Api:
        """Return the node that serves, where the operation is about that."""
        assert self.api is not None, "a command does not ask itself how it serves"
        return self.api


def misfit(what: Literal["query", "body"], error: msgspec.ValidationError) -> UsageError:
    """Return the error of a query or body that is not as its type says."""
    text = str(error)
    hint = "`/api/v1/openapi.json` says what it takes"
    return UsageError(f"bad_{what}", text[:1].lower() + text[1:], hint=hint)
