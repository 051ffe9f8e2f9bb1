"""The `Hand` port over upstream MCP servers: a call goes out under its permit, and every way it can end has a name."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from mcp_types import CallToolRequest, CallToolRequestParams
from pydantic import TypeAdapter

from comity.core.clock import Clock
from comity.core.codec import canonical, decode
from comity.core.ids import Id
from comity.hands.boundary import EXPIRED, not_made
from comity.hands.masks import Masks
from comity.hands.mcp_link import Live, McpLink, Register, Way
from comity.hands.mcp_result import NOT_MADE, broken, returned, unreached
from comity.hands.mcp_sending import SENDING, Sending
from comity.hands.mcp_settings import McpUpstream
from comity.journal.call import Attempt, Call, Permit
from comity.journal.ports import OnProgress
from comity.journal.spec import ToolSpec

KEY_META = "comity/idempotency-key"
"""Where a request carries the idempotency key, whether or not an argument takes it."""
REPORT_EVERY_S = 0.02
TRIES_MAX = 2
"""A server that has forgotten the session is asked once more, in a new one."""

log = logging.getLogger("comity.hands")

MakeWay = Callable[[str, McpUpstream], Way]
"""Makes the way of one connection to the upstream of that name."""


class McpHand:
    """Performs tools of upstream MCP servers, over one connection to each."""

    def __init__(
        self,
        upstreams: Mapping[str, McpUpstream],
        make_way: MakeWay,
        register: Register,
        clock: Clock,
        masks: Masks | None = None,
    ) -> None:
        """Know the upstreams; `masks` has the secrets that their servers are given."""
        self._links = {
            name: McpLink(name, upstream, partial(make_way, name, upstream), register, clock)
            for name, upstream in upstreams.items()
        }
        self._register = register
        self._clock = clock
        self._masks = masks or Masks()
        self._running: dict[Permit, _Errand] = {}

    async def start(self, wait_s: float = 0.0) -> None:
        """Begin to connect. An upstream never reached before, whose tools nobody knows, is waited for `wait_s`."""
        links = list(self._links.values())
        for link in links:
            link.start()
        until_s = self._clock.monotonic_s() + wait_s
        new = [link for link in links if not await self._register.is_known(link.name, link.identity)]
        await asyncio.gather(*(link.live(until_s) for link in new))

    async def close(self) -> None:
        """End all connections, and the servers that are processes of ours."""
        await asyncio.gather(*(link.close() for link in self._links.values()))

    def told_lease(self, until_s: float) -> None:
        """Tell how long the node's lease lasts (monotonic seconds); what runs longer is ended."""
        for link in self._links.values():
            link.tell_lease(until_s)

    async def perform(self, permit: Permit, call: Call, tool: ToolSpec, on_progress: OnProgress) -> Attempt:
        """Perform one attempt; a server that dies under it ends it `unknown`."""
        link = self._links.get(tool.server)
        if link is None:
            text = f"this node reaches no upstream `{tool.server}`"
            return Attempt("failed", error=text, code="no_such_upstream", hint="it is configured elsewhere, or no more")
        if _is_reconciliation(call) and not link.upstream.trust_annotations:
            return Attempt("done", canonical({"happened": None, "reason": f"`{tool.server}` is not trusted to say"}))
        if not isinstance(decode(call.args), dict):
            return Attempt("failed", error=f"`{tool.name}` takes an object", code="bad_arguments")
        errand = _Errand(permit, call, tool, self._masks.progress(on_progress), self._clock)
        self._running[permit] = errand
        try:
            attempt = await self._attempt(link, errand)
        finally:
            del self._running[permit]
            errand.is_over.set()
        return self._masks.attempt(attempt)

    async def cancel(self, permit: Permit) -> None:
        """End a running attempt, and tell its server: it ends `unknown`, or `expired` where nothing was sent yet."""
        errand = self._running.get(permit)
        if errand is not None:
            errand.cancel()
            await errand.is_over.wait()

    def release(self, task: Id) -> None:
        """Nothing is kept for a task."""

    async def _attempt(self, link: McpLink, errand: _Errand) -> Attempt:
        tool, attempt = errand.tool, EXPIRED
        for _ in range(TRIES_MAX):
            live = await link.live(errand.permit.expires_s)
            if live is None or errand.is_cancelled:
                return EXPIRED
            if isinstance(live, str):
                return not_made(unreached(tool, live), errand.permit, tool.effect)
            refusal = self._register.refusal(tool, live.offered.get(tool.name.removeprefix(f"{tool.server}.")))
            if refusal is not None:
                return not_made(refusal, errand.permit, tool.effect)
            attempt = await errand.run(live, link.upstream.timeout_s)
            if not errand.sending.is_stale:
                break
        return not_made(attempt, errand.permit, tool.effect) if attempt.code in NOT_MADE else attempt


class _Errand:
    """One attempt, from the look at its connection to its end."""

    def __init__(self, permit: Permit, call: Call, tool: ToolSpec, on_progress: OnProgress, clock: Clock) -> None:
        self.permit = permit
        self.tool = tool
        self.is_over = asyncio.Event()
        self.is_cancelled = False
        self.sending = Sending(permit.expires_s, clock)
        self._call = call
        self._on_progress = on_progress
        self._clock = clock
        self._work: asyncio.Task[dict[str, Any]] | None = None
        self._heard_s = 0.0
        self._told_s = 0.0

    def cancel(self) -> None:
        """Have it end."""
        self.is_cancelled = True
        self._stop()

    async def run(self, live: Live, silence_s: float) -> Attempt:
        """Send the call, and return how it ended; silent for `silence_s`, it is given up."""
        self.sending = Sending(self.permit.expires_s, self._clock)
        work = self._work = asyncio.create_task(self._send(live))
        live.calls += 1
        try:
            await self._wait(work, self.permit.expires_s, self.sending.begun)
            self._heard_s = self._clock.monotonic_s()
            while not work.done() and not self.is_cancelled:
                until_s = self._heard_s + silence_s
                if not self.sending.is_sent or self._clock.monotonic_s() >= until_s:
                    return self._given_up(f"it was silent for {silence_s:g} s")
                await self._wait(work, until_s)
        finally:
            live.calls -= 1
            self._stop()
        return self._end(work)

    async def _wait(self, work: asyncio.Future[Any], until_s: float, *others: asyncio.Future[Any]) -> None:
        left_s = max(until_s - self._clock.monotonic_s(), 0.0)
        await asyncio.wait([work, *others], timeout=left_s, return_when=asyncio.FIRST_COMPLETED)

    async def _send(self, live: Live) -> dict[str, Any]:
        SENDING.set(self.sending)
        arguments = decode(self._call.args)
        if self.tool.key_argument:
            arguments = {**arguments, self.tool.key_argument: self.permit.key}
        name = self.tool.name.removeprefix(f"{self.tool.server}.")
        meta: Any = {KEY_META: self.permit.key}
        params = CallToolRequestParams(name=name, arguments=arguments, _meta=meta)
        raw: dict[str, Any] = await live.session.send_request(
            CallToolRequest(params=params), _RAW, progress_callback=self._hear
        )
        return raw

    async def _hear(self, progress: float, total: float | None, message: str | None) -> None:
        now_s = self._heard_s = self._clock.monotonic_s()
        fraction = min(progress / total, 1.0) if total else None
        if now_s >= self._told_s + REPORT_EVERY_S or fraction == 1.0:
            self._told_s = now_s
            self._on_progress(message or f"{progress:g}" + (f" of {total:g}" if total else ""), fraction)

    def _stop(self) -> None:
        """Hold the call back, or have its server told that nobody wants it any more."""
        if self._work is not None and not self._work.done():
            self.sending.revoke()
            self._work.cancel()
            _ENDING.add(self._work)
            self._work.add_done_callback(_ended)

    def _end(self, work: asyncio.Task[dict[str, Any]]) -> Attempt:
        if work.cancelled() or not work.done():
            return self._given_up("cancelled while it ran" if self.is_cancelled else "its connection was closed")
        error = work.exception()
        if error is None:
            return returned(self.tool, self._call, work.result())
        if self.sending.is_held_back:
            return EXPIRED
        if not isinstance(error, Exception):
            raise error
        return broken(self.tool, error, self.sending)

    def _given_up(self, why: str) -> Attempt:
        if not self.sending.is_sent:
            return EXPIRED
        return Attempt("unknown", error=f"upstream `{self.tool.server}`: {why}")


_RAW: Any = TypeAdapter(dict[str, Any])
"""An answer as it came: what the library would make of it is checked against schemas, too late for an effect."""
_ENDING: set[asyncio.Task[dict[str, Any]]] = set()
"""Calls that were given up, while their servers are told: kept, so that they come to an end."""


def _ended(work: asyncio.Task[dict[str, Any]]) -> None:
    _ENDING.discard(work)
    if not work.cancelled() and work.exception() is not None:
        log.debug("a call that was given up ended", exc_info=work.exception())


def _is_reconciliation(call: Call) -> bool:
    return call.branch.startswith("~") and call.branch.endswith("/~reconcile")
