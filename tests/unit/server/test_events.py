"""Events as clients get them: the same by event stream, WebSocket and page, from any place on, to those who may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from comity.core.ids import Id, parse_id, show_id
from comity.journal.call import Kind, Permit
from comity.journal.entry import Ended, entry
from comity.journal.task import State
from comity.journal.unit import OperatorSubject, StateWrite, Transition, Unit
from comity.kernel.outside import INCARNATION, incarnation_key
from comity.server import events_delivery, feed
from comity.testing import FakeClock
from comity.testing.waiting import wait_until
from contract.world import OPERATOR, World, append, name_id, new_task, subject
from http_stage import serving
from watching import PATIENCE_S, EventSource, Serving, Told, told_by


class Place(World):
    """A store in memory with a server of its events."""

    def __init__(self, clock: Any = None, **options: Any) -> None:
        super().__init__("memory", Path())
        self.serving = Serving(self.store, clock, **options)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await self.serving.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.serving.__aexit__()
        await super().__aexit__()

    async def grow(self, task: Id, count: int = 1) -> None:
        await self.commit(append(await self.row(task), count))

    async def end(self, task: Id, state: State = State.SUCCEEDED) -> None:
        row = await self.row(task)
        entries = (entry(row.last_seq + 1, "", Kind.TASK, 1, Ended(state)),)
        await self.commit(Unit(subject(row), entries=entries, transition=Transition(state)))

    async def ended(self, name: str = "a", entries: int = 4) -> Id:
        row = await self.held(name, entries=entries - 1)
        await self.end(row.id)
        return row.id

    @asynccontextmanager
    async def watching(self, how: str, task: Id | None, query: str = "") -> AsyncIterator[Any]:
        """Give a function that returns the next event, None after the last."""
        if how == "stream":
            async with self.serving.stream(task, query) as source:
                yield source.next
        elif how == "socket":
            async with self.serving.socket_to(task, query) as socket:

                async def next_frame() -> Told | None:
                    try:
                        return told_by(await asyncio.wait_for(socket.recv(), PATIENCE_S))
                    except ConnectionClosed:
                        return None

                yield next_frame
        else:
            yield self._pages(task, query).__anext__

    async def _pages(self, task: Id | None, query: str) -> AsyncIterator[Told | None]:
        start = query.removeprefix("?from=") or "1"
        while True:
            page = (await self.serving.get(task, f"?wait=20&from={start}")).json()
            for event in page["events"]:
                yield told_by(event)
            start = page["from"]
            if page["events"][-1]["event"] == "end":
                yield None


def ids(told: list[Told]) -> list[str]:
    return [event.id.removesuffix(".end") for event in told if event.event == "entry"]


HOW = pytest.mark.parametrize("how", ["stream", "socket", "pages"])


# ---- what is told ------------------------------------------------------------------------------------------


@HOW
async def test_a_watcher_sees_what_was_what_comes_and_the_end(how: str):
    async with Place() as place:
        task = (await place.held("a", entries=2)).id
        async with place.watching(how, task) as next_event:
            told = [await next_event(), await next_event()]
            await place.grow(task)
            told.append(await next_event())
            await place.end(task)
            told += [await next_event(), await next_event()]
            assert await next_event() is None
        assert ids(told) == ["1", "2", "3", "4"]
        assert told[0].data["type"] == "progressed"
        assert told[0].data["body"]["text"] == "a"
        assert told[-1].event == "end"
        assert told[-1].data["state"] == "succeeded"
        assert told[-1].data["last_seq"] == 4


@HOW
async def test_all_ways_tell_the_same(how: str):
    async with Place() as place:
        task = await place.ended()
        page = (await place.serving.get(task, "?wait=0")).json()
        async with place.watching(how, task) as next_event:
            told = [await next_event() for _ in page["events"]]
        wanted = [told_by(event) for event in page["events"]]
        assert [(event.event, event.data) for event in told] == [(event.event, event.data) for event in wanted]


@HOW
async def test_from_any_place_on_no_entry_is_lost_or_told_twice(how: str):
    async with Place() as place:
        task = await place.ended(entries=5)
        for start in range(1, 7):
            async with place.watching(how, task, f"?from={start}") as next_event:
                told = []
                while (event := await next_event()) is not None:
                    told.append(event)
            assert ids(told) == [str(number) for number in range(start, 6)]
            assert told[-1].event == "end"


async def test_who_comes_again_with_the_last_id_goes_on_behind_it():
    async with Place() as place:
        task = await place.ended(entries=5)
        seen = ""
        for last in ("2", "5"):
            async with place.serving.stream(task, "?from=2", **{"last-event-id": last}) as source:
                told = await source.all()
            assert ids(told) == [str(number) for number in range(int(last) + 1, 6)]
            seen = told[-1].id
        answer = await place.serving.get(task, **{"last-event-id": seen})
        assert answer.status_code == 204, "a browser's client stops to come again"


async def test_losing_the_connection_over_and_over_changes_nothing():
    async with Place() as place:
        task = (await place.held("a")).id
        seen: list[str] = []
        for _ in range(8):
            last = {"last-event-id": seen[-1]} if seen else {}
            async with place.serving.stream(task, **last) as source:
                seen.append((await source.next()).id)
                await place.grow(task, 2)
        await place.end(task)
        async with place.serving.stream(task, **{"last-event-id": seen[-1]}) as source:
            seen += ids(await source.all())
        assert seen == [str(number) for number in range(1, 19)]
        await wait_until(lambda: place.serving.feed.statistics().watchers == 0)


async def test_what_passes_is_told_without_an_id_and_not_again():
    async with Place() as place:
        task = (await place.held("a")).id
        async with place.serving.stream(task) as source, place.serving.socket_to(task) as socket:
            first = [await source.next(), told_by(await socket.recv())]
            assert ids(first) == ["1", "1"]
            await wait_until(lambda: place.serving.feed.statistics().behind == 0)
            place.serving.feed.delta(task, Permit(task, 1, 2, 0.0, ""), "Hello")
            place.serving.feed.progress(task, "half of it", 0.5)
            for told in ([await source.next(), await source.next()], [told_by(await socket.recv()) for _ in "12"]):
                assert [(event.event, event.id) for event in told] == [("live", ""), ("live", "")]
                assert told[0].data == {"type": "delta", "text": "Hello", "fraction": None, "call": 1, "attempt": 2}
                assert told[1].data["fraction"] == 0.5
        async with place.serving.stream(task) as source:
            assert (await source.next()).event == "entry"
            await place.end(task)
            assert [event.event for event in await source.all()] == ["entry", "end"]


async def test_a_parked_task_keeps_its_watchers():
    async with Place() as place:
        task = (await place.held("a")).id
        async with place.serving.stream(task) as source:
            await source.next()
            await place.move(await place.row(task), State.PARKED, reason="paused")
            row = await place.row(task)
            assert row.state is State.PARKED
            await place.send(task, wakes="parked")
            await place.take(name_id("node"))
            await place.end(task)
            assert [event.event for event in await source.all()] == ["entry", "end"]


# ---- the log of all tasks ----------------------------------------------------------------------------------


@HOW
async def test_operators_see_the_entries_of_all_tasks(how: str):
    async with Place() as place:
        a, b = (await place.held("a")).id, (await place.held("b")).id
        async with place.watching(how, None, "?from=1") as next_event:
            told = [await next_event(), await next_event()]
            await place.grow(a)
            told.append(await next_event())
        assert [(event.id, event.data["task"], event.data["seq"]) for event in told] == [
            ("1", show_id(a), 1),
            ("2", show_id(b), 1),
            ("3", show_id(a), 2),
        ]
        assert [event.data["position"] for event in told] == [1, 2, 3]


async def test_the_log_is_watched_from_now_on_unless_a_position_is_given():
    async with Place() as place:
        await place.new("before", entries=3)
        page = (await place.serving.get(None, "?wait=0")).json()
        assert page == {"events": [], "from": 4}
        await place.new("after")
        page = (await place.serving.get(None, f"?wait=20&from={page['from']}")).json()
        assert [event["data"]["body"]["text"] for event in page["events"]] == ["after"]
        assert page["from"] == 5


async def test_the_log_is_filtered_by_agent_tenant_and_session():
    async with Place() as place:
        await place.new("a", tenant="t", session="s")
        await place.new("b", tenant="t")
        await place.commit(Unit(OPERATOR, spawns=(new_task("c", tenant="other", session="s"),)))
        for query, wanted in {
            "&tenant=t": ["a", "b"],
            "&session=s": ["a", "c"],
            "&tenant=t&session=s": ["a"],
            "&agent=agent": ["a", "b", "c"],
            "&agent=nobody": [],
        }.items():
            page = (await place.serving.get(None, f"?wait=0&from=1{query}")).json()
            assert [event["data"]["body"]["text"] for event in page["events"]] == wanted
            assert page["from"] == 4, "what did not match is behind, too"


# ---- pages -------------------------------------------------------------------------------------------------


async def test_a_page_that_waits_answers_with_the_first_news():
    async with Place() as place:
        task = (await place.held("a")).id
        asking = asyncio.ensure_future(place.serving.get(task, "?wait=50&from=2"))
        await wait_until(lambda: place.serving.feed.statistics().watchers == 1)
        await wait_until(lambda: place.serving.feed.statistics().behind == 0)
        async with place.serving.stream(task) as source:
            await source.next()
            place.serving.feed.progress(task, "not on a page", None)
            assert (await source.next()).event == "live"
        await place.grow(task)
        page = (await asking).json()
        assert [event["id"] for event in page["events"]] == [2]
        assert page["from"] == 3


async def test_a_page_comes_empty_when_its_wait_is_over():
    clock = FakeClock()
    async with Place(clock) as place:
        task = (await place.held("a")).id
        asking = asyncio.ensure_future(place.serving.get(task, "?wait=50&from=2"))
        await wait_until(lambda: place.serving.feed.statistics().watchers == 1)
        await clock.advance(49)
        assert not asking.done()
        await clock.advance(2)
        assert (await asking).json() == {"events": [], "from": 2}
        await wait_until(lambda: place.serving.feed.statistics().watchers == 0)
        await clock.advance(1)
        assert clock.statistics().sleepers == 0, "nothing is left to ring"


async def test_a_page_that_does_not_wait_needs_no_time():
    async with Place(FakeClock(monotonic_s=1_000.5)) as place:
        task = (await place.held("a")).id
        assert (await place.serving.get(task, "?wait=0&from=2")).json() == {"events": [], "from": 2}


async def test_a_connection_serves_one_page_after_the_other():
    import httpx2

    async with Place() as place:
        task = await place.ended(entries=3)
        async with httpx2.AsyncClient(base_url=place.serving.url, headers=place.serving.headers()) as client:
            for _ in range(3):
                answer = await client.get(place.serving.path(task) + "?wait=5")
                assert len(answer.json()["events"]) == 4
            assert len(place.serving.server.server_state.connections) == 1


# ---- connections that stay ---------------------------------------------------------------------------------


async def test_a_quiet_connection_is_kept_alive_every_fifteen_seconds():
    clock = FakeClock()
    async with Place(clock) as place:
        task = (await place.held("a")).id
        async with place.serving.stream(task) as source, place.serving.socket_to(task) as socket:
            await source.next()
            await socket.recv()
            for _ in range(3):
                await clock.advance(events_delivery.KEEP_ALIVE_S + 1)
                assert (await source.next()) == Told("comment", "", "keep-alive")
                assert told_by(await socket.recv()) == Told("keep-alive", "", None)
        await wait_until(lambda: place.serving.feed.statistics().watchers == 0)
        await clock.advance(events_delivery.KEEP_ALIVE_S + 1)
        assert clock.statistics().sleepers == 0, "nothing is left to ring"


async def test_an_idle_watcher_costs_the_server_one_task():
    async with Place() as place:
        task = (await place.held("a")).id
        async with place.serving.stream(task) as first:
            await first.next()
            await wait_until(lambda: place.serving.feed.statistics().behind == 0)
            before = {task for task in asyncio.all_tasks() if "Delivery" in repr(task)}
            assert before == set(), "who has nothing to write has no task for it"
            assert len(place.serving.server.server_state.tasks) == 1


async def test_a_client_that_does_not_read_gets_everything_once_it_does():
    async with Place() as place:
        task = (await place.held("a")).id
        async with place.serving.stream(task) as source:
            await source.next()
            for _ in range(60):
                await place.grow(task, 100)
            await place.end(task)
            assert ids(await source.all()) == [str(number) for number in range(2, 6_003)]


async def test_a_server_that_ends_lets_its_watchers_go():
    async with Place() as place:
        task = (await place.held("a")).id
        async with place.serving.stream(task) as source, place.serving.socket_to(task) as socket:
            await source.next()
            await socket.recv()
            waiting = asyncio.ensure_future(place.serving.get(task, "?wait=50&from=2"))
            await wait_until(lambda: place.serving.feed.statistics().watchers == 3)
            await place.serving.feed.close()
            assert await source.all() == []
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd.code == events_delivery.RESTARTS
            assert (await waiting).json() == {"events": [], "from": 2}


# ---- WebSockets --------------------------------------------------------------------------------------------


async def test_pings_are_answered_and_words_of_the_client_left_unread():
    async with Place() as place:
        task = (await place.held("a")).id
        async with place.serving.socket_to(task) as socket:
            await socket.recv()
            await socket.send('{"no": "meaning"}')
            assert await asyncio.wait_for(await socket.ping(), PATIENCE_S) >= 0
            await place.end(task)
            assert [told_by(await socket.recv()).event for _ in "12"] == ["entry", "end"]
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1000, "the task has ended")
            assert socket.subprotocol is None


async def test_a_flood_of_frames_is_cut_with_its_reason():
    async with Place() as place:
        task = (await place.held("a")).id
        async with place.serving.socket_to(task) as socket:
            await socket.recv()
            with pytest.raises(ConnectionClosed) as closed:
                await flood(socket)
            await socket.wait_closed()
            assert closed.value.rcvd.code == events_delivery.TOO_MANY
            assert "frames" in closed.value.rcvd.reason
        await wait_until(lambda: place.serving.feed.statistics().watchers == 0)


async def flood(socket: ClientConnection) -> None:
    for _ in range(100_000):
        await socket.send("x" * 1_000)


async def test_a_client_that_speaks_now_and_then_is_no_flood():
    clock = FakeClock()
    async with Place(clock) as place:
        task = (await place.held("a")).id
        async with place.serving.socket_to(task) as socket:
            await socket.recv()
            for _ in range(3):
                for _ in range(events_delivery.FRAMES_MAX):
                    await socket.send("still here")
                await asyncio.wait_for(await socket.ping(), PATIENCE_S)
                await clock.advance(events_delivery.FRAMES_S + 0.1)
            await place.grow(task)
            told = [told_by(await asyncio.wait_for(socket.recv(), PATIENCE_S)) for _ in range(3)]
            assert [event.event for event in told] == ["keep-alive", "keep-alive", "entry"]


async def test_a_page_of_another_origin_opens_no_socket():
    async with Place() as place:
        task = (await place.held("a")).id
        with pytest.raises(InvalidStatus) as refused:
            async with place.serving.socket_to(task, origin="https://elsewhere.example"):
                pass
        assert refused.value.response.status_code == 403
        assert b"foreign_origin" in refused.value.response.body
        async with place.serving.socket_to(task, origin=place.serving.url) as socket:
            assert told_by(await socket.recv()).id == "1"


# ---- who may -----------------------------------------------------------------------------------------------


async def test_a_tasks_own_token_opens_its_own_events_alone():
    async with Place() as place:
        task, other = (await place.held("a")).id, (await place.held("b")).id
        token = await place.serving.token_of(task)
        assert (await place.serving.get(task, "?wait=0", token)).status_code == 200
        async with place.serving.socket_to(task, token=token) as socket:
            assert told_by(await socket.recv()).id == "1"
        for elsewhere in (other, None):
            assert (await place.serving.get(elsewhere, "?wait=0", token)).json()["code"] == "not_yours"
            with pytest.raises(InvalidStatus) as refused:
                async with place.serving.socket_to(elsewhere, token=token):
                    pass
            assert refused.value.response.status_code == 403
        write = StateWrite(INCARNATION, incarnation_key(task), b"null")
        await place.store.commit([Unit(OperatorSubject("test"), state=(write,))])
        assert (await place.serving.get(task, "?wait=0", token)).json()["code"] == "old_incarnation"


async def test_without_a_token_nothing_is_told():
    async with Place() as place:
        task = (await place.held("a")).id
        for token in ("co_wrong", "nothing"):
            answer = await place.serving.get(task, "?wait=0", token)
            assert (answer.status_code, answer.json()["code"]) == (401, "unknown_token")
        answer = await place.serving.get(task, "?wait=0", authorization="")
        assert answer.status_code == 401


async def test_a_program_may_not_take_all_watchers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("comity.server.events.PROGRAM_WATCHERS_MAX", 2)
    async with Place() as place:
        task = (await place.held("a")).id
        token = await place.serving.token_of(task)
        async with place.serving.stream(task, token=token) as one, place.serving.stream(task, token=token) as two:
            await one.next()
            await two.next()
            assert (await place.serving.get(task, "?wait=0", token)).json()["code"] == "too_many_watchers"
            assert (await place.serving.get(task, "?wait=0")).status_code == 200


async def test_too_many_watchers_are_told_to_come_later():
    async with Place(watchers_max=1) as place:
        task = (await place.held("a")).id
        async with place.serving.stream(task) as source:
            await source.next()
            answer = await place.serving.get(task)
            assert (answer.status_code, answer.json()["code"]) == (503, "too_many_watchers")
            with pytest.raises(InvalidStatus) as refused:
                async with place.serving.socket_to(task):
                    pass
            assert refused.value.response.status_code == 503


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("?from=0", "bad_query"),
        ("?from=x", "bad_query"),
        ("?from=99999999999999999999999", "bad_query"),
        ("?wait=51", "bad_query"),
        ("?wait=-1", "bad_query"),
        ("?wait=1&wait=2", "bad_query"),
        ("?form=1", "bad_query"),
    ],
)
async def test_a_wrong_query_is_told_what_is_wrong(query: str, code: str):
    async with Place() as place:
        task = (await place.held("a")).id
        answer = await place.serving.get(task, query)
        assert (answer.status_code, answer.json()["code"]) == (400, code)
        assert answer.headers["content-type"] == "application/problem+json"


async def test_what_is_not_there_cannot_be_watched():
    async with Place() as place:
        assert (await place.serving.get(name_id("nobody"))).json()["code"] == "no_such_task"
        async with place.watching("stream", None) as _:
            pass
        task = (await place.held("a")).id
        for last in ("x", "-1", "1.5", "9" * 30):
            answer = await place.serving.get(task, **{"last-event-id": last})
            assert answer.json()["code"] == "bad_last_event_id"
        place.serving.path = lambda _: "/api/v1/tasks/no-id/events"
        assert (await place.serving.get(None)).status_code == 404


async def test_head_says_what_get_would_give():
    import httpx2

    async with Place() as place:
        task = (await place.held("a")).id
        async with httpx2.AsyncClient() as client:
            answer = await client.head(place.serving.url + place.serving.path(task), headers=place.serving.headers())
            await wait_until(lambda: not place.serving.server.server_state.tasks)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream"


def test_the_limits_of_this_file_are_those_of_the_brief():
    assert events_delivery.KEEP_ALIVE_S == 15
    assert feed.QUEUE_MAX < feed.PAGE


# ---- the whole server --------------------------------------------------------------------------------------


async def test_a_nodes_server_tells_its_tasks_events_and_what_its_kernel_says(tmp_path: Path):
    async with serving(tmp_path, goals=("talk", "ask")) as stage:
        page = await stage.document("GET", f"/tasks/{stage.tasks['talk']}/events?wait=0")
        assert [event["event"] for event in page["events"]][-2:] == ["entry", "end"]
        entries = await stage.document("GET", f"/tasks/{stage.tasks['talk']}/entries")
        assert [event["data"] for event in page["events"][:-1]] == entries["entries"]
        asking = parse_id(stage.tasks["ask"])
        async with stage.client.stream("GET", f"/api/v1/tasks/{stage.tasks['ask']}/events") as answer:
            source = EventSource(answer)
            while (await source.next()).data["phase"] != "waiting":
                pass
            await wait_until(lambda: stage.server.feed.statistics().behind == 0)
            stage.node.kernel.on_delta(asking, Permit(asking, 2, 1, 0.0, ""), "Hm")
            told = await source.next()
            while told.event != "live":
                told = await source.next()
            assert told.data["text"] == "Hm"
            await stage.server.drain()
            assert await source.all() == [], "a server that drains lets its watchers go"
