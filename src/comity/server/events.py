"""The events of a task, or of all: as an event stream, over a WebSocket, or page by page, from any place on.

The connection lives as long as the task does; losing it changes nothing about the task, and whoever comes again with
the last id that it saw misses nothing.
"""

from __future__ import annotations

import re
from typing import Annotated, TypeVar

import msgspec
from starlette.datastructures import Headers, QueryParams
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from comity.core.clock import Clock
from comity.core.errors import ComityError, UsageError
from comity.core.ids import Id, parse_id
from comity.journal.ports import Store
from comity.server.auth import Gatekeeper
from comity.server.bodies import CallNumber, Label
from comity.server.event import SEEN_THE_END
from comity.server.events_delivery import STREAM_HEADERS, Delivery, Page, Socket, Stream
from comity.server.feed import Feed, Watcher, Which
from comity.server.operation import ROOT, read_query
from comity.server.problem import problem_response

WAIT_S_MAX = 50
PROGRAM_WATCHERS_MAX = 64
"""A program may not take the node's watchers from others: so many may watch a task that it watches itself."""
_PLACE = re.compile(rf"([0-9]{{1,15}})({re.escape(SEEN_THE_END.decode())})?")
T = TypeVar("T")

WaitSeconds = Annotated[int, msgspec.Meta(ge=0, le=WAIT_S_MAX)]


class EventsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"start": "from"}):
    """From which entry on; with `wait`, one page is the answer, after so many seconds at most."""

    start: CallNumber = 1
    wait: WaitSeconds | None = None


class LogQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"start": "from"}):
    """From which position of the log on, else from now on; of whose tasks; `wait` as for a task's events."""

    start: CallNumber | None = None
    wait: WaitSeconds | None = None
    agent: Label = ""
    tenant: Label = ""
    session: Label = ""


class Events:
    """Serves events, as an ASGI app: of the task that the path names, else of all."""

    def __init__(self, feed: Feed, gatekeeper: Gatekeeper, store: Store, clock: Clock) -> None:
        """Tell what `feed` tells to those whom `gatekeeper` lets in."""
        self._feed = feed
        self._gatekeeper = gatekeeper
        self._store = store
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one client until it goes away or nothing more will come."""
        if scope["type"] == "websocket":
            await receive()  # that it connects
        try:
            delivery = await self._delivery(scope, send)
            if isinstance(delivery, Delivery):
                await delivery.serve(receive)
            else:
                await delivery(scope, receive, send)
        except ComityError as error:
            await problem_response(error)(scope, receive, send)

    async def _delivery(self, scope: Scope, send: Send) -> Delivery | Response:
        """Return what serves a request, else its answer.

        Raises:
            ComityError: it may not, or asks for what is not there.
        """
        headers, text = Headers(scope=scope), scope["path_params"].get("task", "")
        wait_s: int | None
        if text:
            watcher, wait_s = await self._of_task(text, scope, headers)
            if watcher is None:
                return Response(status_code=204)
        else:
            watcher, wait_s = await self._of_log(scope, headers)
        if scope["type"] == "websocket":
            return Socket(self._feed, watcher, send, self._clock)
        if wait_s is not None:
            return Page(self._feed, watcher, send, wait_s)
        if scope["method"] == "HEAD":
            return Response(headers={name.decode(): value.decode() for name, value in STREAM_HEADERS})
        return Stream(self._feed, watcher, send)

    async def _of_task(self, text: str, scope: Scope, headers: Headers) -> tuple[Watcher | None, int | None]:
        """Return a task's watcher; None where there is nothing that this client has not seen, and never will be."""
        who = await self._gatekeeper.admit(headers, _id_or_none(text))
        query = _query(EventsQuery, scope)
        task = parse_id(text)
        row = await self._store.task(task)
        if row is None:
            raise UsageError("no_such_task", f"there is no task `{text}`", hint="`comity tasks ls` lists them")
        if who.task is not None and self._feed.followers(task) >= PROGRAM_WATCHERS_MAX:
            text = f"`{PROGRAM_WATCHERS_MAX}` watch this task already"
            raise UsageError("too_many_watchers", text, retry="redo", hint="let go of some")
        seen, has_seen_the_end = _last_seen(headers)
        if has_seen_the_end and row.state.ended and row.last_seq <= seen:
            return None, None
        return Watcher(seen + 1 if seen >= 0 else query.start, _nobody, task), query.wait

    async def _of_log(self, scope: Scope, headers: Headers) -> tuple[Watcher, int | None]:
        await self._gatekeeper.admit(headers)
        query = _query(LogQuery, scope)
        seen, _ = _last_seen(headers)
        start = seen + 1 if seen >= 0 else query.start
        if start is None:
            start = await self._feed.position() + 1
        return Watcher(start, _nobody, which=Which(query.agent, query.tenant, query.session)), query.wait


def routes(feed: Feed, gatekeeper: Gatekeeper, store: Store, clock: Clock) -> list[BaseRoute]:
    """Return the routes of events; `feed.close()` ends whoever watches, before the server waits for connections."""
    events = Events(feed, gatekeeper, store, clock)
    paths = (f"{ROOT}/tasks/{{task}}/events", f"{ROOT}/events")
    return [
        *(Route(path, events, methods=["GET"]) for path in paths),
        *(WebSocketRoute(path, events) for path in paths),
    ]


def _last_seen(headers: Headers) -> tuple[int, bool]:
    """Return the place that a client says it has seen last (−1 where it says nothing), and whether it saw the end."""
    text = headers.get("last-event-id", "")
    if not text:
        return -1, False
    found = _PLACE.fullmatch(text)
    if found is None:
        hint = "give the `id` of the last event that you saw"
        raise UsageError("bad_last_event_id", f"`{text[:60]}` is the id of no event", hint=hint)
    return int(found[1]), bool(found[2])


def _query(kind: type[T], scope: Scope) -> T:
    return read_query(kind, QueryParams(scope["query_string"]).multi_items())


def _id_or_none(text: str) -> Id | None:
    try:
        return parse_id(text)
    except UsageError:
        return None


def _nobody() -> None:
    """Ring nobody yet."""
