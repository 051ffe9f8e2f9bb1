"""The connection to one upstream MCP server: made, watched, and made again after it broke."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Protocol

from mcp import Client, ClientSession, MCPError
from mcp_types import Implementation, PaginatedRequestParams, Tool, ToolListChangedNotification
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from comity.core.clock import Clock
from comity.core.codec import canonical
from comity.core.errors import ComityError, HandsError
from comity.core.limits import NAME_CHARS_MAX
from comity.hands.mcp_descriptor import Descriptor
from comity.hands.mcp_result import said
from comity.hands.mcp_settings import McpUpstream
from comity.journal.call import Attempt
from comity.journal.spec import ToolSpec

PAUSE_S = 0.2
"""The pause after the first failure; it doubles with each."""
STEADY_S = 5.0
"""A connection that lasted so long was a good one: the next is tried at once."""
LIST_EVERY_S = 30.0
"""How often an idle server is asked what it offers; a change is noticed so late where it does not tell."""
PAGES_MAX = 100
TOOLS_MAX = 1_000
DESCRIPTOR_BYTES_MAX = 256 * 1024
STOP_S_MAX = 5.0

log = logging.getLogger("comity.hands")


class Way(Protocol):
    """How a server is reached, for one connection: a transport of the `mcp` library.

    `lost` is set when the connection is of no more use; `trouble` says what went wrong last.
    """

    lost: asyncio.Event
    trouble: str

    async def __aenter__(self) -> tuple[Any, Any]:
        """Open it."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Close it."""
        ...

    def tell_lease(self, until_s: float) -> None:
        """Tell how long the node's lease lasts."""
        ...


class Register(Protocol):
    """Who keeps what upstreams offer, and says which calls may be made: `Catalog`."""

    async def is_known(self, server: str, identity: str) -> bool:
        """Tell whether the upstream was ever reached as it is configured."""
        ...

    async def listed(self, server: str, identity: str, descriptors: Sequence[Descriptor]) -> None:
        """Take note of what an upstream offers now."""
        ...

    def refusal(self, tool: ToolSpec, offered: Descriptor | None) -> Attempt | None:
        """Return why a call is not made, None where it may be."""
        ...


class Live:
    """A connection that is up: its session, and the tools that its server offers, by their own names."""

    def __init__(self, session: ClientSession, way: Way) -> None:
        """Hold a session that was agreed upon."""
        self.session = session
        self.way = way
        self.offered: dict[str, Descriptor] = {}
        self.calls = 0


class McpLink:
    """One upstream. `start` it once; from then on there is a connection whenever there can be one."""

    def __init__(
        self, name: str, upstream: McpUpstream, make_way: Callable[[], Way], register: Register, clock: Clock
    ) -> None:
        """Reach upstream `name` by ways that `make_way` makes, one for each connection."""
        self.name = name
        self.upstream = upstream
        self.identity = identity_of(upstream)
        self._make_way = make_way
        self._register = register
        self._clock = clock
        self._live: Live | None = None
        self._why_down = ""
        self._turn = asyncio.Event()
        self._changed = asyncio.Event()
        self._closing = asyncio.Event()
        self._lease_until_s = math.inf
        self._lease_end: asyncio.TimerHandle | None = None
        self._way: Way | None = None
        self._work: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to connect."""
        self._work = asyncio.create_task(self._supervise())

    async def close(self) -> None:
        """End the connection, and the server where it is a process of ours."""
        self._closing.set()
        if self._lease_end is not None:
            self._lease_end.cancel()
        if self._work is not None:
            await asyncio.wait([self._work])

    def tell_lease(self, until_s: float) -> None:
        """Tell how long the node's lease lasts; when it has run out, all that runs here ends."""
        self._lease_until_s = until_s
        if self._lease_end is not None:
            self._lease_end.cancel()
        if self._way is not None:
            self._way.tell_lease(until_s)
        left_s = until_s - self._clock.monotonic_s()
        if not math.isinf(left_s):
            self._lease_end = asyncio.get_running_loop().call_later(left_s, self._lapse)

    async def live(self, until_s: float) -> Live | str | None:
        """Return the connection, why there is none, or None where it is not known by `until_s` (monotonic)."""
        while True:
            turn = self._turn
            if self._live is not None and not self._live.way.lost.is_set():
                return self._live
            if self._why_down:
                return self._why_down
            left_s = until_s - self._clock.monotonic_s()
            if left_s <= 0:
                return None
            await _wait(turn, left_s)

    # The life of connections

    async def _supervise(self) -> None:
        failures = 0
        while not self._closing.is_set():
            began_s = self._clock.monotonic_s()
            error = await self._lived(asyncio.create_task(self._connection()))
            trouble = self._way.trouble if self._way is not None else ""
            was_up, self._live, self._way = self._live is not None, None, None
            if self._closing.is_set():
                return
            failures = 0 if was_up and self._clock.monotonic_s() >= began_s + STEADY_S else failures + 1
            # One that was up is tried again at once, and calls wait for that; what fails twice is away.
            is_away = failures > (1 if was_up else 0)
            pause_s = min(PAUSE_S * 2 ** min(failures - 1, 20), self.upstream.restart_max_s) if is_away else 0.0
            why = _why(error, trouble)
            self._why_down = why if is_away else ""
            log.warning("upstream `%s` is away: %s; tried again in %.1f s", self.name, why, pause_s)
            self._take_turn()
            await _wait(self._closing, pause_s)
            while self._lease_until_s <= self._clock.monotonic_s() and not self._closing.is_set():
                await _wait(self._closing, PAUSE_S)
            self._why_down = ""

    async def _lived(self, life: asyncio.Task[None]) -> BaseException | None:
        """Return why a connection ended. One that is closed while it is made, or that does not end, is cut off."""
        closing = asyncio.ensure_future(self._closing.wait())
        await asyncio.wait({life, closing}, return_when=asyncio.FIRST_COMPLETED)
        closing.cancel()
        if not life.done():
            await asyncio.wait([life], timeout=STOP_S_MAX if self._live is not None else 0.0)
        if not life.done():
            life.cancel()
            await asyncio.wait([life])
        return None if life.cancelled() else life.exception()

    async def _connection(self) -> None:
        """Connect, tell what is offered, and stay until the connection is lost."""
        way = self._way = self._make_way()
        way.tell_lease(self._lease_until_s)
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self.upstream.connect_timeout_s):
                    client = await stack.enter_async_context(
                        Client(way, cache=None, client_info=_COMITY, message_handler=self._heard)
                    )
                    live = Live(client.session, way)
                    await self._list(live)
            except TimeoutError:
                raise HandsError("not_ready", f"not ready within {self.upstream.connect_timeout_s:g} s") from None
            await self._register.listed(self.name, self.identity, tuple(live.offered.values()))
            self._live = live
            log.info("upstream `%s` is up with %d tools (%s)", self.name, len(live.offered), client.protocol_version)
            self._take_turn()
            following = asyncio.create_task(self._follow(client))
            try:
                await self._stay(live)
            finally:
                following.cancel()
                await asyncio.wait([following])
                if not following.cancelled() and following.exception() is not None:
                    log.debug("upstream `%s` does not tell of changes: %s", self.name, following.exception())

    async def _stay(self, live: Live) -> None:
        while True:
            await _wait(live.way.lost, LIST_EVERY_S, self._changed, self._closing)
            if self._closing.is_set():
                return
            if live.way.lost.is_set():
                raise HandsError("connection_lost", live.way.trouble or "the connection was lost")
            self._changed.clear()
            await self._look_again(live)
            await _wait(live.way.lost, PAUSE_S)

    async def _look_again(self, live: Live) -> None:
        """Ask once more what is offered; an idle server that does not answer is lost, a busy one may have no time."""
        try:
            async with asyncio.timeout(self.upstream.connect_timeout_s):
                await self._list(live)
        except (TimeoutError, MCPError):
            if not live.calls:
                raise
        else:
            await self._register.listed(self.name, self.identity, tuple(live.offered.values()))

    async def _list(self, live: Live) -> None:
        """Ask what the server offers."""
        found: dict[str, Descriptor] = {}
        cursor: str | None = None
        for _ in range(PAGES_MAX):
            page = await live.session.list_tools(params=PaginatedRequestParams(cursor=cursor))
            for tool in page.tools:
                descriptor = self._read(tool)
                if descriptor is not None and len(found) < TOOLS_MAX:
                    found.setdefault(descriptor.name, descriptor)
            cursor = page.next_cursor
            if not cursor:
                break
        live.offered = found

    def _read(self, tool: Tool) -> Descriptor | None:
        """Return a tool's descriptor; None, with a line in the log, for one that cannot be offered."""
        raw = tool.model_dump(by_alias=True, mode="json", exclude_none=True)
        made = Descriptor(
            tool.name,
            tool.title or "",
            tool.description or "",
            raw["inputSchema"],
            raw.get("outputSchema", {}),
            raw.get("annotations", {}),
        )
        try:
            size = len(canonical(raw, "descriptor"))
        except ComityError as error:
            log.warning("upstream `%s` describes a tool so that it is left out: %s", self.name, error.message)
            return None
        is_named = tool.name.isprintable() and 0 < len(tool.name) <= NAME_CHARS_MAX - len(self.name) - 1
        if not is_named or size > DESCRIPTOR_BYTES_MAX:
            log.warning("upstream `%s` offers a tool whose name or descriptor is too long", self.name)
            return None
        return made

    async def _follow(self, client: Client) -> None:
        """Ask a server of 2026 to tell when it changes what it offers; one that does not is asked now and then."""
        if client.protocol_version in MODERN_PROTOCOL_VERSIONS:
            async with client.listen(tools_list_changed=True) as changes:
                async for _ in changes:
                    self._changed.set()

    async def _heard(self, message: Any) -> None:
        """Take what a server of an earlier era says unasked."""
        if isinstance(message, ToolListChangedNotification):
            self._changed.set()

    def _lapse(self) -> None:
        """End what runs here: the node's lease has run out, and its tasks may have other owners."""
        if self._way is not None:
            self._way.trouble = "the node's lease ran out"
            self._way.lost.set()

    def _take_turn(self) -> None:
        """Wake whoever waits to know how the connection stands."""
        turn, self._turn = self._turn, asyncio.Event()
        turn.set()


def identity_of(upstream: McpUpstream) -> str:
    """Return what tells one configuration of an upstream from another: where its server is."""
    where = canonical({"command": list(upstream.command), "url": upstream.url})
    return hashlib.sha256(where).hexdigest()[:16]


def _why(error: BaseException | None, trouble: str) -> str:
    """Return in words why a connection ended: what we found, else what its way heard, else what the library says."""
    if error is None or (trouble and not isinstance(error, ComityError)):
        return trouble or "the connection ended"
    return said(error)


async def _wait(event: asyncio.Event, seconds: float, *others: asyncio.Event) -> None:
    """Return when one of the events is set, or after `seconds`."""
    works = [asyncio.ensure_future(item.wait()) for item in (event, *others)]
    try:
        await asyncio.wait(works, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for work in works:
            work.cancel()


_COMITY = Implementation(name="comity", version="1")
