"""A call on its way to an MCP server: the permit is looked at when its first byte is about to leave."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

from comity.core.clock import Clock


class NotSent(Exception):
    """A call was held back by its transport: its permit had run out, or nobody wants it any more."""


class Sending:
    """One attempt on its way. Where `is_sent` is False its server knows nothing of it.

    `refused` says why a server that was reached certainly did nothing; `is_stale` that it no longer knows the session.
    """

    def __init__(self, expires_s: float, clock: Clock) -> None:
        """Let the call begin until `expires_s` (monotonic)."""
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_held_back = False
        self.is_stale = False
        self.refused = ""
        self._expires_s = expires_s
        self._clock = clock

    @property
    def is_sent(self) -> bool:
        """Tell whether its first byte may have left."""
        return self.begun.done()

    def may_begin(self) -> bool:
        """Tell whether the first byte may leave now; what follows it is always let through."""
        if self.is_sent:
            return True
        if self._clock.monotonic_s() >= self._expires_s:
            self.is_held_back = True
        if not self.is_held_back:
            self.begun.set_result(None)
        return self.is_sent

    def revoke(self) -> None:
        """Hold the call back if it has not begun."""
        self.is_held_back = not self.is_sent


SENDING: ContextVar[Sending | None] = ContextVar("comity_mcp_sending", default=None)
"""The call that the current task sends; what else a connection carries has none."""
