"""Recall for programs that nobody controls: what answers a question after a crash, and what differs."""

from __future__ import annotations

import pytest

from comity.gateway.proposals import Proposal
from comity.gateway.question import read_thought
from comity.gateway.recall import STRAYS_AFTER_S, Differs, New, OutsideRecall, Recalled, Same
from comity.journal.call import CallKey, Delivered, Kind, Status
from comity.journal.recall import key_of
from comity.journal.spec import Outside
from recall_desk import (
    BOOK,
    BOOK_OTHER,
    BOOKING,
    DONE,
    FAILED,
    LOOK,
    NOT_HAPPENED,
    REFUSED,
    Desk,
    key,
    think,
    waits,
)
from recall_world import ToolCall, thought, tool

ASK = think("hello")


# What is recalled


def test_a_program_that_begins_again_is_answered_from_the_journal() -> None:
    desk = Desk()
    asked = [desk.do(question) for question in (ASK, LOOK, BOOK)]
    desk.program_begins()
    assert [desk.do(question) for question in (BOOK, ASK, LOOK)] == [asked[2], asked[0], asked[1]]
    assert desk.ask(LOOK) == key(LOOK, 1)


def test_identical_calls_are_recalled_oldest_first_and_each_once() -> None:
    desk = Desk()
    for _ in range(3):
        desk.do(LOOK)
    desk.program_begins()
    assert [desk.do(LOOK) for _ in range(4)] == [key(LOOK, n) for n in range(4)]


def test_identical_calls_at_once_are_recalled_as_the_same_ones() -> None:
    desk = Desk()
    desk.do(ASK, BOOKING, BOOKING)
    asked = [desk.ask(BOOK), desk.ask(BOOK), desk.ask(LOOK), desk.ask(LOOK)]
    for item in asked:
        desk.settle(item)
    desk.program_begins()
    desk.do(ASK, BOOKING, BOOKING)
    assert [desk.ask(question) for question in (BOOK, LOOK, BOOK, LOOK)] == [asked[0], asked[2], asked[1], asked[3]]


def test_sampled_thoughts_are_recalled_at_any_speed() -> None:
    desk = Desk(Outside(retry_join_s=2.0))
    for _ in range(3):
        desk.do(ASK)
        desk.now_s += 10
    desk.program_begins()
    assert [desk.do(ASK) for _ in range(3)] == [key(ASK, n) for n in range(3)]


def test_a_call_without_an_outcome_is_recalled_and_its_outcome_awaited() -> None:
    desk = Desk()
    asked = desk.ask(BOOK)
    desk.program_begins()
    found = desk.match(BOOK)
    assert isinstance(found, Recalled)
    assert (key_of(found.record), found.record.order, found.how) == (asked, 0, "exact")
    desk.settle(asked)
    desk.had(asked)
    assert desk.match(BOOK) == Same(asked)


def test_an_outcome_that_comes_before_the_program_asks_again_is_recalled() -> None:
    desk = Desk()
    asked = desk.ask(ASK)
    desk.program_begins()
    desk.settle(asked)
    assert desk.do(ASK) == asked
    assert desk.recall.consumed == desk.rows[asked].order


def test_a_thought_whose_system_text_tells_the_time_is_recalled_by_the_rest() -> None:
    desk = Desk()
    desk.do(think("one", clock="10:00"))
    desk.do(think("two", clock="10:00"))
    desk.program_begins()
    found = desk.match(think("two", clock="10:05"))
    assert isinstance(found, Recalled)
    assert (key_of(found.record), found.how) == (key(ASK, 1), "masked")


def test_the_exact_thought_is_recalled_before_one_of_another_time() -> None:
    desk = Desk()
    desk.do(think("one", clock="10:00"))
    desk.do(think("one", clock="10:01"))
    desk.program_begins()
    assert desk.ask(think("one", clock="10:01")) == key(ASK, 1)
    assert desk.ask(think("one", clock="10:09")) == key(ASK, 0)


def test_a_mask_answers_no_effect() -> None:
    desk = Desk()
    desk.do(BOOK)
    desk.program_begins()
    assert isinstance(desk.match(tool(ToolCall("crm.book", "8"))), Differs)


def test_the_thought_from_which_a_program_went_on_is_recalled_before_its_abandoned_twin() -> None:
    desk = Desk()
    abandoned, used = desk.ask(ASK), desk.ask(ASK)
    desk.recall.left(abandoned)
    desk.settle(used)
    desk.had(used)
    desk.do(think("hello", "used", "go on"))
    desk.settle(abandoned)
    desk.program_begins()
    assert desk.ask(ASK) == used
    assert desk.ask(think("hello", "used", "go on")) == key(ASK, 2)


@pytest.mark.parametrize("ended", [FAILED, REFUSED, Delivered(Status.UNKNOWN)])
def test_a_thought_that_came_to_nothing_is_thought_anew(ended: Delivered) -> None:
    desk = Desk()
    desk.settle(desk.ask(ASK), ended)
    desk.program_begins()
    assert desk.ask(ASK) == key(ASK, 1)


def test_a_thought_that_comes_to_nothing_before_it_is_asked_again_is_thought_anew() -> None:
    desk = Desk()
    asked = desk.ask(ASK)
    desk.program_begins()
    desk.settle(asked, FAILED)
    assert desk.ask(ASK) == key(ASK, 1)


@pytest.mark.parametrize("ended", [DONE, NOT_HAPPENED, REFUSED])
def test_whatever_a_tool_said_is_recalled_since_the_model_saw_it(ended: Delivered) -> None:
    desk = Desk()
    asked = desk.ask(BOOK)
    desk.settle(asked, ended)
    desk.program_begins()
    assert desk.ask(BOOK) == asked


def test_a_recalled_effect_is_done_once_more_only_where_it_is_proposed_once_more() -> None:
    desk = Desk()
    desk.do(ASK, BOOKING)
    desk.do(BOOK)
    desk.program_begins()
    desk.do(ASK, BOOKING)
    assert [desk.do(BOOK), desk.do(BOOK)] == [key(BOOK, 0), key(BOOK, 0)]
    desk.do(think("hello", "book it", "again"), BOOKING)
    assert desk.do(BOOK) == key(BOOK, 1)


def test_waits_and_children_are_recalled() -> None:
    desk = Desk()
    questions = [waits(Kind.TIMER, seconds=1), waits(Kind.HUMAN, question="ok?"), waits(Kind.SPAWN, goal=1)]
    asked = [desk.do(question) for question in questions]
    desk.program_begins()
    assert [desk.do(question) for question in questions] == asked


# Keys


def test_no_key_is_given_twice_though_calls_were_dropped() -> None:
    desk = Desk()
    for _ in range(3):
        desk.do(LOOK)
    del desk.rows[key(LOOK, 0)]
    desk.program_begins()
    assert [desk.ask(LOOK) for _ in range(3)] == [key(LOOK, 1), key(LOOK, 2), key(LOOK, 3)]


def test_what_is_on_its_way_for_a_program_that_died_is_joined_and_its_key_given_to_nothing_else() -> None:
    desk = Desk()
    asked = desk.ask(LOOK)
    other = tool(ToolCall("look", "8", acts=False))
    recall = OutsideRecall(desk.history, 2, desk.terms, desk.now_s, keys=desk.recall.keys)
    assert recall.match(other, desk.now_s) == New(key(LOOK, 1))
    assert recall.match(LOOK, desk.now_s) == New(asked)


def test_consumed_stops_before_what_ended_for_a_program_that_died() -> None:
    desk = Desk()
    asked = desk.ask(LOOK)
    desk.incarnation = 2
    desk.recall = OutsideRecall(desk.history, 2, desk.terms, desk.now_s, keys=desk.recall.keys)
    desk.settle(asked)
    desk.do(BOOK)
    assert desk.recall.consumed == desk.rows[asked].order - 1


def test_a_thought_is_journaled_with_the_thought_that_it_goes_on_from() -> None:
    desk = Desk()
    first = desk.do(ASK)
    second = desk.do(think("hello", "hi", "how are you?"))
    assert read_thought(desk.rows[first].args).parent is None
    assert read_thought(desk.rows[second].args).parent == first


# What differs


def other_words(desk: Desk) -> Differs:
    found = desk.match(think("hello, it is 10:05"))
    assert isinstance(found, Differs)
    return found


def test_a_program_that_begins_with_other_words_differs() -> None:
    desk = Desk()
    asked = desk.do(ASK)
    desk.program_begins()
    found = other_words(desk)
    assert key_of(found.record) == asked
    assert not found.may_be_positional
    assert found.until_s == desk.now_s + STRAYS_AFTER_S


def test_other_words_are_certain_to_differ_only_some_time_after_anything_fitted() -> None:
    desk = Desk()
    desk.do(ASK)
    desk.do(LOOK)
    desk.program_begins()
    since_s = desk.now_s
    assert other_words(desk).until_s == since_s + STRAYS_AFTER_S
    desk.now_s += 10
    assert other_words(desk).until_s == since_s + STRAYS_AFTER_S
    desk.ask(LOOK)
    assert other_words(desk).until_s == since_s + 10 + STRAYS_AFTER_S


def test_a_strand_that_had_not_begun_before_the_crash_is_new_once_the_others_have_begun() -> None:
    desk = Desk()
    strands = [think(f"input {n}") for n in range(5)]
    for strand in strands[:3]:
        desk.ask(strand)
    desk.program_begins()
    assert isinstance(desk.match(strands[4]), Differs)
    for strand in (strands[1], strands[0], strands[2]):
        assert isinstance(desk.match(strand), Recalled)
    assert desk.ask(strands[4]) == key(ASK, 3)
    assert desk.ask(strands[3]) == key(ASK, 4)


def test_a_conversation_that_has_come_further_than_its_record_is_new() -> None:
    desk = Desk()
    desk.do(ASK)
    desk.do(think("one"))
    desk.do(think("one", "a", "b"))
    desk.program_begins()
    desk.do(ASK)
    assert desk.ask(think("hello", "a", "b")) == key(ASK, 3)


def test_a_conversation_that_goes_on_with_other_words_differs() -> None:
    desk = Desk()
    desk.do(ASK)
    recorded = desk.do(think("hello", "a", "result 1 of a function in the program"))
    desk.program_begins()
    desk.do(ASK)
    found = desk.match(think("hello", "a", "result 2 of a function in the program"))
    assert isinstance(found, Differs)
    assert key_of(found.record) == recorded


def test_a_program_that_gets_what_was_lost_on_the_way_before_does_not_differ() -> None:
    """A tool's connection broke; the program told its model that the tool failed, and died a moment later."""
    desk = Desk()
    desk.do(ASK, BOOKING)
    lost = desk.ask(BOOK)
    desk.recall.left(lost)
    desk.settle(lost)
    recorded = desk.do(think("hello", "book it", "the connection broke"))
    desk.program_begins()
    desk.do(ASK, BOOKING)
    assert isinstance(desk.match(think("hello", "book it", "booked")), Differs)
    assert desk.do(BOOK) == lost
    assert desk.ask(think("hello", "book it", "booked")) == key(ASK, 2)
    assert desk.ask(think("hello", "book it", "the connection broke")) == recorded


def test_neither_does_one_whose_call_had_not_even_been_meant() -> None:
    desk = Desk()
    desk.do(ASK, BOOKING)
    desk.do(think("hello", "book it", "the connection broke"))
    desk.program_begins()
    desk.do(ASK, BOOKING)
    desk.do(BOOK)
    assert desk.ask(think("hello", "book it", "booked")) == key(ASK, 2)


def test_a_program_that_hears_no_more_than_the_one_before_differs_still() -> None:
    desk = Desk()
    desk.do(ASK, BOOKING)
    desk.do(BOOK)
    desk.do(think("hello", "book it", "booked"))
    desk.program_begins()
    desk.do(ASK, BOOKING)
    desk.do(BOOK)
    assert isinstance(desk.match(think("hello", "book it", "booked at 10:05")), Differs)


def test_a_masked_conversation_that_goes_on_with_other_words_differs() -> None:
    desk = Desk()
    desk.do(think("hello", clock="10:00"))
    desk.do(think("hello", "a", "result 1", clock="10:00"))
    desk.program_begins()
    desk.do(think("hello", clock="10:05"))
    assert isinstance(desk.match(think("hello", "a", "result 2", clock="10:05")), Differs)


def test_another_model_or_shape_of_conversation_is_new() -> None:
    desk = Desk()
    desk.do(ASK)
    desk.program_begins()
    assert desk.ask(thought([("user", "hello")])) == key(ASK, 1)


def test_an_effect_with_other_arguments_differs_unless_a_model_proposed_it() -> None:
    desk = Desk()
    asked = desk.do(BOOK)
    desk.do(ASK)
    desk.program_begins()
    found = desk.match(BOOK_OTHER)
    assert isinstance(found, Differs)
    assert (key_of(found.record), found.may_be_positional) == (asked, False)
    desk.do(ASK, Proposal("book", BOOK_OTHER.exact))
    assert desk.ask(BOOK_OTHER) == key(BOOK, 1)


def test_a_thought_that_nobody_has_asked_for_yet_proposes_nothing() -> None:
    desk = Desk()
    asked = desk.do(ASK)
    desk.do(BOOK)
    desk.program_begins()
    desk.recall.proposed(asked, [Proposal("book", BOOK_OTHER.exact)])
    assert isinstance(desk.match(BOOK_OTHER), Differs)


def test_an_effect_does_not_differ_from_one_that_was_refused_before_it_was_meant() -> None:
    desk = Desk()
    asked = desk.ask(BOOK)
    desk.settle(asked, REFUSED)
    desk.rows[asked].seq = desk.rows[asked].order
    desk.program_begins()
    assert desk.ask(BOOK_OTHER) == key(BOOK, 1)


def test_an_effect_does_not_differ_once_all_records_are_consumed() -> None:
    desk = Desk()
    desk.do(BOOK)
    desk.program_begins()
    desk.do(BOOK)
    assert desk.ask(BOOK_OTHER) == key(BOOK, 1)


def test_reads_and_waits_never_differ() -> None:
    desk = Desk()
    desk.do(LOOK)
    desk.do(waits(Kind.TIMER, seconds=1))
    desk.program_begins()
    assert desk.ask(tool(ToolCall("look", "8", acts=False))) == key(LOOK, 1)
    assert desk.ask(waits(Kind.TIMER, seconds=2)) == CallKey("", Kind.TIMER, "any", 1)


# Positional


POSITIONAL = Outside(is_positional=True)


def test_a_thought_in_other_words_may_stand_in_the_place_of_the_recorded_one_where_its_agent_allows() -> None:
    desk = Desk(POSITIONAL)
    asked = desk.do(ASK)
    desk.program_begins()
    question = think("hello, it is 10:05")
    found = desk.match(question)
    assert isinstance(found, Differs)
    assert found.may_be_positional
    assert desk.recall.take(question, found.record, desk.now_s)
    desk.had(asked)
    desk.now_s += 60
    assert desk.ask(think("hello, it is 10:05", "a", "b")) == key(ASK, 1)
    assert desk.match(question) == New(key(ASK, 2))


def test_a_record_is_taken_once() -> None:
    desk = Desk(POSITIONAL)
    desk.do(ASK)
    desk.program_begins()
    found = other_words(desk)
    desk.ask(ASK)
    assert not desk.recall.take(think("hello, it is 10:05"), found.record, desk.now_s)


@pytest.mark.parametrize("between", [BOOK, LOOK])
def test_no_thought_is_recalled_by_place_across_a_call_that_the_program_has_not_had(between: object) -> None:
    desk = Desk(POSITIONAL)
    desk.do(between)  # type: ignore[arg-type]
    desk.do(ASK)
    desk.program_begins()
    assert not other_words(desk).may_be_positional
    desk.do(between)  # type: ignore[arg-type]
    assert other_words(desk).may_be_positional


def test_no_thought_is_recalled_by_place_where_several_stand() -> None:
    desk = Desk(POSITIONAL)
    desk.do(ASK)
    desk.do(think("one"))
    desk.program_begins()
    assert not other_words(desk).may_be_positional
    desk.do(ASK)
    assert not other_words(desk).may_be_positional


def test_no_effect_is_recalled_by_place() -> None:
    desk = Desk(POSITIONAL)
    desk.do(BOOK)
    desk.program_begins()
    found = desk.match(BOOK_OTHER)
    assert isinstance(found, Differs)
    assert not found.may_be_positional


# A history that changed


def test_a_renewed_recall_knows_what_was_asked_and_recalled() -> None:
    desk = Desk()
    desk.do(ASK, BOOKING)
    desk.do(BOOK)
    desk.do(LOOK)
    desk.program_begins()
    desk.do(ASK, BOOKING)
    desk.do(BOOK)
    recall = desk.recall = desk.recall.renewed(desk.history, desk.now_s)
    assert recall.is_asked(key(ASK, 0))
    assert not recall.is_asked(key(LOOK, 0))
    assert desk.ask(BOOK) == key(BOOK, 0)
    assert isinstance(desk.match(LOOK), Recalled)
    assert desk.ask(LOOK) == key(LOOK, 1)


def test_what_differs_is_looked_at_anew_in_a_renewed_recall() -> None:
    desk = Desk()
    desk.do(ASK)
    desk.program_begins()
    other_words(desk)
    desk.now_s += 20
    desk.recall = desk.recall.renewed(desk.history, desk.now_s)
    assert other_words(desk).until_s == desk.now_s + STRAYS_AFTER_S


def test_a_divergence_that_is_thought_anew_is_new() -> None:
    desk = Desk()
    desk.do(ASK)
    desk.do(think("hello", "a", "one"))
    desk.do(BOOK)
    desk.program_begins()
    desk.do(ASK)
    question = think("hello", "a", "two")
    found = desk.match(question)
    assert isinstance(found, Differs)
    kept = [item for item in desk.history if item.seq < found.record.seq]
    desk.recall = desk.recall.renewed(kept, desk.now_s)
    assert desk.ask(question) == key(ASK, 2)
    assert desk.ask(BOOK) == key(BOOK, 1)


def test_an_effect_that_was_dropped_from_the_history_stays_done_for_the_program_that_has_it() -> None:
    desk = Desk()
    desk.do(ASK)
    done = desk.do(BOOK)
    desk.recall = desk.recall.renewed((), desk.now_s)
    assert desk.match(BOOK) == Same(done)


def test_whoever_waits_while_the_history_changes_gets_the_same_call_or_asks_it_again_under_its_key() -> None:
    desk = Desk()
    asked, read = desk.ask(ASK), desk.ask(LOOK)
    desk.recall = desk.recall.renewed(desk.history, desk.now_s)
    assert desk.match(ASK) == Same(asked)
    assert desk.match(LOOK) == New(read)


def test_an_outcome_that_came_while_there_was_no_visit_is_known_to_the_next_one() -> None:
    desk = Desk()
    asked = desk.ask(ASK)
    row = desk.rows[asked]
    row.order, row.delivered = 9, FAILED
    desk.recall = desk.recall.renewed(desk.history, desk.now_s)
    assert desk.ask(ASK) == key(ASK, 1)


def test_so_is_one_of_a_call_that_was_recalled() -> None:
    desk = Desk()
    asked = desk.ask(ASK)
    desk.program_begins()
    assert desk.ask(ASK) == asked
    row = desk.rows[asked]
    row.order, row.delivered = 9, FAILED
    desk.recall = desk.recall.renewed(desk.history, desk.now_s)
    assert desk.ask(ASK) == key(ASK, 1)


# What was consumed


def test_consumed_is_how_far_the_program_has_got_everything() -> None:
    desk = Desk()
    first, second = desk.ask(BOOK), desk.ask(BOOK_OTHER)
    desk.settle(first)
    desk.settle(second)
    desk.had(second)
    assert desk.recall.consumed == desk.rows[first].order - 1
    assert desk.recall.handed_over(first, desk.now_s) == desk.rows[second].order


def test_an_outcome_that_is_told_twice_is_consumed_once() -> None:
    desk = Desk()
    done = desk.do(BOOK)
    desk.recall.settled(done, desk.rows[done].order, DONE, desk.now_s)
    assert desk.recall.consumed == desk.rows[done].order


def test_consumed_stops_before_what_a_restarted_program_has_not_asked_for_again() -> None:
    desk = Desk()
    first = desk.do(BOOK)
    second = desk.do(LOOK)
    desk.program_begins()
    desk.do(LOOK)
    assert desk.recall.consumed == desk.rows[first].order - 1
    desk.do(BOOK)
    assert desk.recall.consumed == desk.rows[second].order


def test_a_thought_that_failed_holds_nothing_back() -> None:
    desk = Desk()
    desk.settle(desk.ask(ASK), FAILED)
    last = desk.do(LOOK)
    assert desk.recall.consumed == desk.rows[last].order
    desk.program_begins()
    desk.do(LOOK)
    assert desk.recall.consumed == desk.rows[last].order


def test_a_thought_whose_recorded_arguments_cannot_be_read_is_thought_anew() -> None:
    desk = Desk()
    asked = desk.do(ASK)
    desk.rows[asked].args = b""
    desk.program_begins()
    assert desk.ask(ASK) == key(ASK, 1)
