"""A component that another node writes, asked over HTTP; the secret that opens its door stands in the store."""

from __future__ import annotations

import asyncio

import httpx2
import msgspec

from comity.coordination.ruling import Proposal
from comity.core.codec import pack
from comity.core.errors import CoordinationError, UsageError
from comity.journal.spec import ToolSpec
from comity.journal.world import Observation
from comity.runtime.coordination.rows import WriterRow
from comity.runtime.coordination.seat import MOVED, Ask, Judged, Noted, Told, moved

PATH = "/internal/coordination"
PATIENCE_S = 5.0
CONNECT_S = 1.0
CONNECTIONS_MAX = 100
UNREACHABLE = "writer_unreachable"


class Doors:
    """Connections to the doors of other nodes."""

    def __init__(self) -> None:
        """Connect to nobody yet."""
        self._http: httpx2.AsyncClient | None = None
        self._beside: set[asyncio.Task[Told]] = set()

    async def ask(self, writer: WriterRow, ask: Ask) -> Told:
        """Ask a node.

        Raises:
            CoordinationError: `writer_unreachable`, or `moved` where it no longer writes the component.
            UsageError: what is asked cannot be.
        """
        headers = {"authorization": f"Bearer {writer.secret}", "content-type": "application/msgpack"}
        try:
            response = await self._open().post(f"{writer.url}{PATH}", content=pack(ask), headers=headers)
        except httpx2.HTTPError as error:
            text = f"the node that writes `{ask.component}` cannot be reached: {type(error).__name__}"
            raise CoordinationError(UNREACHABLE, text, retry="redo") from None
        if response.status_code != 200:
            text = f"the node that writes `{ask.component}` answered {response.status_code}"
            raise CoordinationError(UNREACHABLE, text, retry="redo")
        told = msgspec.msgpack.decode(response.content, type=Told)
        if told.code == MOVED:
            raise moved(ask.component)
        if told.code:
            raise UsageError(told.code, told.message, hint=told.hint, retry="rethink")
        return told

    def tell(self, writer: WriterRow, ask: Ask) -> None:
        """Tell a node something that it would find out by itself, later."""
        task = asyncio.ensure_future(self.ask(writer, ask))
        self._beside.add(task)
        task.add_done_callback(self._told)

    async def aclose(self) -> None:
        """Close all connections."""
        await asyncio.gather(*self._beside, return_exceptions=True)
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    def _told(self, task: asyncio.Task[Told]) -> None:
        self._beside.discard(task)
        if not task.cancelled():
            task.exception()

    def _open(self) -> httpx2.AsyncClient:
        if self._http is None:
            self._http = httpx2.AsyncClient(
                timeout=httpx2.Timeout(PATIENCE_S, connect=CONNECT_S),
                limits=httpx2.Limits(max_connections=CONNECTIONS_MAX),
                trust_env=False,
                follow_redirects=False,
            )
        return self._http


class RemoteSeat:
    """A component that the node of `writer` writes."""

    def __init__(self, component: str, writer: WriterRow, doors: Doors) -> None:
        """Ask through `doors`."""
        self._component = component
        self._writer = writer
        self._doors = doors

    async def judge(self, proposal: Proposal, spec: ToolSpec, now_us: int) -> Judged | None:
        """Judge a call there."""
        ask = Ask("judge", self._component, now_us, proposal, spec)
        return (await self._doors.ask(self._writer, ask)).judged

    def release(self, ticket: str, hold: int) -> None:
        """Let go of a call there."""
        self._doors.tell(self._writer, Ask("release", self._component, ticket=ticket, hold=hold))

    async def observe(self, seen: Observation, *, may_observe: bool) -> Noted:
        """Have an observation taken there."""
        ask = Ask("observe", self._component, seen=seen, may_observe=may_observe)
        told = await self._doors.ask(self._writer, ask)
        return Noted(told.version, told.is_taken)
