"""How events reach one client: as an event stream, as frames of a WebSocket, or as one page.

The request's own task only waits for the client to go away. A second one, that writes, is there while there is
something to write: an idle connection has neither it nor a timer of the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from starlette.types import Receive, Send

from comity.core.clock import Clock
from comity.server.event import EndEvent, Event, LiveEvent
from comity.server.feed import Feed, Watcher

KEEP_ALIVE_S = 15.0
FRAMES_MAX = 60
"""A WebSocket client has nothing to say; more frames than this within `FRAMES_S` are a flood."""
FRAMES_S = 10.0
NORMAL, TOO_MANY, RESTARTS = 1000, 1008, 1012
"""Codes of closed WebSockets, RFC 6455 §7.4.1 and its registry: done, against the rules, come again."""


class Delivery:
    """One client's connection, from its first event to its end. Its kinds say how things are written."""

    def __init__(self, feed: Feed, watcher: Watcher, send: Send, ring_after_s: float = KEEP_ALIVE_S) -> None:
        """Deliver what `feed` tells `watcher` through `send`; `ring_after_s` counts from now, and then again."""
        self.watcher = watcher
        self.send = send
        self.is_due = False
        self.is_done = False
        self._feed = feed
        self._ring_after_s = ring_after_s
        self._has_news = True
        self._writing: asyncio.Task[None] | None = None
        watcher.on_news = self._ring

    async def serve(self, receive: Receive) -> None:
        """Deliver until the client is gone, or nothing more will come.

        Raises:
            UsageError: too many watch already; nothing was sent.
        """
        self._feed.join(self.watcher)
        try:
            await self.begin()
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._timer = self._feed.wheel.after(self._ring_after_s, self._turn)
                try:
                    self._ring()
                    await self.until_gone(receive)
                finally:
                    self._timer.cancel()
                    self.stop_writing()
        finally:
            self._feed.leave(self.watcher)

    # What the kinds do

    async def begin(self) -> None:
        """Write what stands before any event."""

    async def tell(self, events: Sequence[Event]) -> None:
        """Write events."""
        raise NotImplementedError

    async def keep_alive(self) -> None:
        """Write what shows that the connection lives."""
        raise NotImplementedError

    async def finish(self) -> None:
        """Write what stands after the last event."""
        raise NotImplementedError

    async def until_gone(self, receive: Receive) -> None:
        """Return when the client is gone, or was told that nothing more will come."""
        while (await receive())["type"] != "http.disconnect":
            pass

    # Writing

    def stop_writing(self) -> None:
        """Write nothing more."""
        self.is_done = True
        if self._writing is not None:
            self._writing.cancel()

    def _ring(self) -> None:
        self._has_news = True
        if self._writing is None and not self.is_done:
            self._writing = self._group.create_task(self._write())

    def _turn(self) -> None:
        self._timer = self._feed.wheel.after(self._ring_after_s, self._turn)
        self.is_due = True
        self._ring()

    async def _write(self) -> None:
        while self._has_news and not self.is_done:
            self._has_news = False
            await self._tell_all()
            if self.is_due and not self.is_done:
                self.is_due = False
                await self.keep_alive()
        if self.watcher.is_over and not self.is_done:
            self.is_done = True
            await self.finish()
        self._writing = None

    async def _tell_all(self) -> None:
        while not self.is_done and (events := await self._feed.take(self.watcher)):
            await self.tell(events)


class Stream(Delivery):
    """An event stream. Source: the HTML Living Standard, §9.2."""

    async def begin(self) -> None:
        """Write the headers."""
        await self.send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS})

    async def tell(self, events: Sequence[Event]) -> None:
        """Write the blocks of events."""
        await self._body(b"".join([event.stream for event in events]))

    async def keep_alive(self) -> None:
        """Write a comment."""
        await self._body(b": keep-alive\n\n")

    async def finish(self) -> None:
        """End the body."""
        await self._body(b"", is_more=False)

    async def _body(self, data: bytes, *, is_more: bool = True) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": is_more})


STREAM_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class Page(Delivery):
    """One answer with what there is, once there is something or the wait is over. What passes is no part of it."""

    def __init__(self, feed: Feed, watcher: Watcher, send: Send, wait_s: float) -> None:
        """Wait so long."""
        super().__init__(feed, watcher, send, wait_s)
        self.is_due = not wait_s

    async def tell(self, events: Sequence[Event]) -> None:
        """Write the page, unless there is nothing to keep in it."""
        kept = [event.json for event in events if not isinstance(event.document, LiveEvent)]
        if kept:
            await self._answer(kept)

    async def keep_alive(self) -> None:
        """Write an empty page: the wait is over."""
        await self._answer([])

    async def finish(self) -> None:
        """Write an empty page: nothing will come from here."""
        await self._answer([])

    async def _answer(self, events: list[bytes]) -> None:
        self.is_done = True
        body = b'{"events":[%s],"from":%d}' % (b",".join(events), self.watcher.next)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


class Socket(Delivery):
    """Frames of a WebSocket, one JSON object each. What the client sends is not read, and not too much of it."""

    def __init__(self, feed: Feed, watcher: Watcher, send: Send, clock: Clock) -> None:
        """Measure a flood by `clock`."""
        super().__init__(feed, watcher, send)
        self._clock = clock
        self._frames = 0
        self._since_s = 0.0
        self._has_ended = False

    async def begin(self) -> None:
        """Accept."""
        await self.send({"type": "websocket.accept"})

    async def tell(self, events: Sequence[Event]) -> None:
        """Write a frame for each event."""
        for event in events:
            await self._frame(event.json)
        self._has_ended = isinstance(events[-1].document, EndEvent)

    async def keep_alive(self) -> None:
        """Write an event that says nothing."""
        await self._frame(b'{"event":"keep-alive"}')

    async def finish(self) -> None:
        """Close: the task is over, or this server ends."""
        code, reason = (NORMAL, "the task has ended") if self._has_ended else (RESTARTS, "the server ends, come again")
        await self._close(code, reason)

    async def until_gone(self, receive: Receive) -> None:
        """Return when the client is gone or has sent too much."""
        while (await receive())["type"] != "websocket.disconnect":
            if self._is_flood() and not self.is_done:
                self.stop_writing()
                await self._close(TOO_MANY, f"more than {FRAMES_MAX} frames in {FRAMES_S:.0f} s")

    def _is_flood(self) -> bool:
        now_s = self._clock.monotonic_s()
        if now_s - self._since_s >= FRAMES_S:
            self._since_s, self._frames = now_s, 0
        self._frames += 1
        return self._frames > FRAMES_MAX

    async def _frame(self, data: bytes) -> None:
        with suppress(OSError):  # the client is gone, as `until_gone` hears too
            await self.send({"type": "websocket.send", "text": data.decode()})

    async def _close(self, code: int, reason: str) -> None:
        with suppress(OSError):
            await self.send({"type": "websocket.close", "code": code, "reason": reason})
