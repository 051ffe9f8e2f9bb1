"""Whether a program has heard an outcome: by what it tells its model of the call."""

from __future__ import annotations

from typing import Any

import pytest

from comity.core.codec import canonical
from comity.gateway.heard import is_unheard
from comity.gateway.proposals import Proposal
from comity.gateway.question import Question
from comity.journal.call import Delivered, Kind, Status
from recall_desk import Desk, key, think
from recall_world import ToolCall, tool

ARGS = canonical({"ref": "R-1234", "nights": 2})
TIMED_OUT = b'{"role":"tool","tool_call_id":"c1","content":"An error occurred: book of R-1234 timed out"}'
TOLD = b'{"role":"tool","tool_call_id":"c1","content":"{\\"type\\":\\"text\\",\\"text\\":\\"booked R-1234\\"}"}'
ANSWERED = {"content": [{"type": "text", "text": "booked R-1234"}], "structuredContent": {"result": "booked R-1234"}}


@pytest.mark.parametrize("outcome", ["booked R-1234", {"id": 99120, "note": "booked"}, ANSWERED])
def test_an_error_in_place_of_the_outcome_says_that_it_was_not_heard(outcome: Any) -> None:
    assert is_unheard("crm.book", ARGS, canonical(outcome), [TIMED_OUT])
    assert not is_unheard("crm.book", ARGS, canonical(outcome), [TIMED_OUT, TOLD])


def test_letters_beyond_ascii_may_be_written_in_any_way() -> None:
    outcome = canonical("réservé")
    for told in ("réservé".encode(), b"r\\u00e9serv\\u00e9", b"r\\\\u00e9serv\\\\u00e9"):
        assert not is_unheard("crm.book", ARGS, outcome, [told])
    assert is_unheard("crm.book", ARGS, outcome, [b"it timed out"])


@pytest.mark.parametrize(
    "outcome",
    [
        None,
        True,
        "ok",
        7,
        {"done": True},
        "R-1234",
        "予約しました",
        {"content": [{"type": "image", "data": "AAAAAAAA"}]},
    ],
)
def test_an_outcome_without_a_word_of_its_own_proves_nothing(outcome: Any) -> None:
    assert not is_unheard("crm.book", ARGS, canonical(outcome), [TIMED_OUT])


def test_a_program_that_tells_no_result_proves_nothing() -> None:
    assert not is_unheard("crm.book", ARGS, canonical("booked"), [])


BOOK = tool(ToolCall("crm.book", "7"))
BOOKING = Proposal("mcp__crm__book", BOOK.exact)
ACT = key(BOOK, 0)
BOOKED = Delivered(Status.DONE, b'"booked as 99120"')


def goes_on(before: Question, told: str) -> Question:
    """Return the thought that goes on from an answer to `before`, with what came of its proposal."""
    said = think("book room 7", "I book room 7", told)
    fields = {name: getattr(said, name) for name in Question.__struct_fields__}
    assert said.heads[: len(before.heads)] == before.heads
    return Question(**{**fields, "results": ((len(said.heads) - 1, told.encode()),)})


def booked(desk: Desk) -> Question:
    """Have a model propose a booking, book, and hand the answer over."""
    first = think("book room 7")
    desk.do(first, BOOKING)
    desk.settle(desk.ask(BOOK), BOOKED)
    desk.had(ACT)
    return first


def test_an_act_is_not_done_again_where_its_outcome_was_lost_behind_the_last_byte() -> None:
    desk = Desk()
    first = booked(desk)
    consumed = desk.recall.consumed
    desk.do(goes_on(first, "it timed out"), BOOKING)
    assert desk.recall.consumed < consumed
    assert desk.ask(BOOK) == ACT
    desk.had(ACT)
    assert desk.recall.consumed > consumed
    assert len([row for row in desk.rows.values() if row.question.kind is Kind.TOOL]) == 1


def test_neither_is_it_where_the_node_began_again_in_between() -> None:
    desk = Desk()
    first = booked(desk)
    desk.do(think("what else?"))  # by this the journal knows that the program had the outcome
    desk.node_begins()
    desk.recall.proposed(key(think("book room 7"), 0), (BOOKING,))
    desk.do(goes_on(first, "it timed out"), BOOKING)
    assert desk.ask(BOOK) == ACT


def test_an_act_that_its_model_knows_of_and_proposes_again_is_done_again() -> None:
    desk = Desk()
    desk.do(goes_on(booked(desk), "booked as 99120"), BOOKING)
    assert desk.ask(BOOK) != ACT
