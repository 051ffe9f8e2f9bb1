"""What a client of the tool URL gets while a call takes long, and what becomes of the call when it goes away."""

from __future__ import annotations

import asyncio

from comity.gateway.mcp import PATIENCE_S
from comity.gateway.mcp_answering import BEAT_S, QUICK_S
from comity.gateway.question import Question
from comity.gateway.refusal import Elsewhere, Refusal
from comity.journal.call import Delivered, Kind
from comity.testing.clock import FakeClock
from mcp_stage import PlayedDoor, PlayedReply, Request, done, tool_call

BOTH = "application/json, text/event-stream"
BOOK = tool_call("book", {"room": 1})
BOOKED = {"content": [{"type": "text", "text": "booked"}]}


def staged() -> tuple[FakeClock, PlayedDoor]:
    clock = FakeClock()
    return clock, PlayedDoor(notes, clock=clock)


def notes(question: Question) -> Delivered | None:
    """Play notes, which are made at once; the rest the test settles."""
    return done(1) if question.kind is Kind.NOW else None


async def only(door: PlayedDoor, clock: FakeClock) -> PlayedReply:
    await clock.settle()
    (reply,) = door.inner.replies
    return reply


async def test_a_quick_call_is_answered_as_plain_json() -> None:
    clock, door = staged()
    request = Request(door, BOOK, accept=BOTH)
    reply = await only(door, clock)
    await clock.advance(QUICK_S / 2)
    reply.settle(BOOKED)
    answer = await request.answer()
    assert request.headers["content-type"] == "application/json"
    assert int(request.headers["content-length"]) == len(request.pieces[0])
    assert answer["result"] == BOOKED
    assert reply.told == ["handed over"]


async def test_a_slow_call_becomes_an_event_stream_with_signs_of_life() -> None:
    clock, door = staged()
    request = Request(door, BOOK, accept=BOTH)
    reply = await only(door, clock)
    await clock.advance(QUICK_S)
    assert (request.status, request.headers["content-type"]) == (200, "text/event-stream")
    assert len(request.pieces) == 1
    await clock.advance(10 * BEAT_S)
    assert len(request.pieces) == 11
    assert all(piece.startswith(b": ") and piece.endswith(b"\n\n") for piece in request.pieces)
    reply.settle(BOOKED)
    await asyncio.wait_for(request.task, 10)
    assert [event["result"] for event in request.events] == [BOOKED]
    assert request.pieces[-1].startswith(b"event: message\ndata: {")
    assert reply.told == ["handed over"]


async def test_a_client_that_gives_a_token_hears_of_progress() -> None:
    clock, door = staged()
    call = tool_call("book", {"room": 1}, _meta={"progressToken": "p1"})
    request = Request(door, call, accept=BOTH)
    await only(door, clock)
    await clock.advance(QUICK_S + 2 * BEAT_S)
    told = [event["params"] for event in request.events]
    assert [event["method"] for event in request.events] == ["notifications/progress"] * 3
    assert [item["progressToken"] for item in told] == ["p1"] * 3
    assert [item["progress"] for item in told] == [QUICK_S, QUICK_S + BEAT_S, QUICK_S + 2 * BEAT_S]
    request.leave()


async def test_a_client_that_takes_json_only_gets_blanks_in_front() -> None:
    for accept in ("application/json", "*/*", ""):
        clock, door = staged()
        request = Request(door, BOOK, accept=accept)
        reply = await only(door, clock)
        await clock.advance(QUICK_S + 20 * BEAT_S)
        assert (request.status, request.headers["content-type"]) == (200, "application/json")
        assert len(request.pieces) == 21
        reply.settle(BOOKED)
        assert (await request.answer())["result"] == BOOKED  # whole, blanks included, it is JSON


async def test_a_client_that_goes_away_ends_nothing_and_its_retry_joins_the_call() -> None:
    clock, door = staged()
    request = Request(door, BOOK, accept=BOTH)
    reply = await only(door, clock)
    await clock.advance(QUICK_S)
    request.leave()
    await asyncio.wait_for(request.task, 10)
    assert not request.is_whole
    assert reply.told == ["client left"]
    assert not reply.outcome.cancelled()
    again = Request(door, BOOK, accept=BOTH)
    await clock.settle()
    reply.settle(BOOKED)
    assert (await again.answer())["result"] == BOOKED
    assert len(door.inner.replies) == 1
    assert reply.told == ["client left", "handed over"]


async def test_a_notification_that_cancels_ends_nothing() -> None:
    clock, door = staged()
    request = Request(door, BOOK, accept=BOTH)
    reply = await only(door, clock)
    cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    told = Request(door, cancel)
    await asyncio.wait_for(told.task, 10)
    assert told.status == 202
    reply.settle(BOOKED)
    assert (await request.answer())["result"] == BOOKED


async def test_what_is_refused_late_is_told_in_the_stream() -> None:
    clock, door = staged()
    request = Request(door, BOOK, accept=BOTH)
    reply = await only(door, clock)
    await clock.advance(QUICK_S)
    reply.outcome.set_exception(Refusal(403, "task_parked", "the task is parked", "look at it"))
    await asyncio.wait_for(request.task, 10)
    (event,) = request.events
    assert (event["id"], event["error"]["data"]["code"]) == (1, "task_parked")
    assert request.is_whole
    assert reply.told == ["client left"]


async def test_a_task_that_moves_while_its_client_waits_is_told_to_be_asked_again() -> None:
    clock, door = staged()
    request = Request(door, BOOK, accept=BOTH)
    reply = await only(door, clock)
    await clock.advance(QUICK_S)
    reply.outcome.set_exception(Elsewhere("http://node2"))
    await asyncio.wait_for(request.task, 10)
    data = request.events[0]["error"]["data"]
    assert (data["code"], data["retry"]) == ("task_moved", True)
    assert not door.forwarded


async def test_nobody_waits_in_silence_for_a_person() -> None:
    clock, door = staged()
    ask = tool_call("comity_ask_human", {"question": "may I?"})
    request = Request(door, ask, accept=BOTH)
    reply = await only(door, clock)
    await clock.advance(PATIENCE_S)
    await asyncio.wait_for(request.task, 10)
    result = request.events[-1]["result"]
    again = {"tool": "comity_ask_human", "arguments": {"question": "may I?"}}
    assert result["structuredContent"] == {"status": "pending", "call_again": again}
    assert "isError" not in result
    _, note = door.inner.replies
    assert (note.question.kind, note.question.name) == (Kind.NOW, "not_yet")
    assert (reply.told, note.told) == (["client left"], ["handed over"])
    later = Request(door, ask, accept=BOTH)
    await clock.settle()
    reply.settle("yes")
    assert (await later.answer())["result"]["structuredContent"] == {"answer": "yes"}
    assert reply.told == ["client left", "handed over"]


async def test_a_program_that_starts_anew_is_told_not_yet_where_it_was_told_so_before() -> None:
    clock, door = staged()
    ask = tool_call("comity_wait", {"seconds": 60})
    first = Request(door, ask, accept=BOTH)
    timer = await only(door, clock)
    await clock.advance(PATIENCE_S)
    await asyncio.wait_for(first.task, 10)
    timer.settle(None)
    door.inner.recorded = [door.inner.replies[1].question]  # as the journal has it for the next incarnation
    again = Request(door, ask, accept=BOTH)
    assert (await again.answer())["result"] == first.events[-1]["result"]
    assert [reply.question.kind for reply in door.inner.replies[2:]] == [Kind.TIMER, Kind.NOW]
    door.inner.recorded = []
    door.inner.replies[2].settle(None)
    door.inner.play = lambda question: done(None)
    last = Request(door, ask, accept=BOTH)
    assert (await last.answer())["result"]["structuredContent"] == {"waited_s": 60}


async def test_each_wait_has_a_note_of_its_own() -> None:
    clock, door = staged()
    for args in ({"seconds": 60}, {"seconds": 61}, {"signal": "go"}):
        Request(door, tool_call("comity_wait", args), accept=BOTH)
    await clock.advance(PATIENCE_S)
    made = [question.args for question in door.inner.asked if question.kind is Kind.NOW]
    assert len(set(made)) == 3


async def test_a_tool_is_waited_for_as_long_as_it_takes() -> None:
    clock, door = staged()
    request = Request(door, BOOK, accept=BOTH)
    reply = await only(door, clock)
    await clock.advance(86_400)
    assert not request.is_whole
    reply.settle(BOOKED)
    await asyncio.wait_for(request.task, 10)
    assert request.events[-1]["result"] == BOOKED


async def test_a_visit_that_is_long_in_coming_keeps_its_client_company() -> None:
    clock, door = staged()
    door.inner.play = lambda question: done(BOOKED)
    opened = asyncio.Event()
    visit = door.visit

    async def slow(credential: str) -> object:
        await opened.wait()
        return await visit(credential)

    door.visit = slow  # type: ignore[method-assign,assignment]
    request = Request(door, BOOK, accept=BOTH)
    await clock.advance(QUICK_S + BEAT_S)
    assert len(request.pieces) == 2
    opened.set()
    await asyncio.wait_for(request.task, 10)
    assert request.events[-1]["result"] == BOOKED
