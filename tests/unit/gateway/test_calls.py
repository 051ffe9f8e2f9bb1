"""Whether an identical question of one incarnation is the same call again, or another one."""

from __future__ import annotations

import pytest

from comity.gateway.proposals import Proposal
from comity.gateway.recall import Differs, New, OutsideRecall, Recalled, Same
from comity.journal.call import Delivered, Kind
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
    retried,
    think,
    waits,
)

ASK = think("hello")


# Effects


def test_an_identical_effect_that_nobody_proposed_is_the_same_call() -> None:
    desk = Desk()
    first = desk.ask(BOOK)
    assert desk.match(BOOK) == Same(first)
    desk.settle(first)
    assert desk.match(BOOK) == Same(first)
    desk.had(first)
    desk.now_s += 1_000
    assert desk.match(BOOK) == Same(first)


def test_two_identical_calls_in_one_answer_are_two_effects() -> None:
    desk = Desk()
    desk.do(ASK, BOOKING, BOOKING)
    assert desk.ask(BOOK) == key(BOOK, 0)
    assert desk.ask(BOOK) == key(BOOK, 1)
    assert desk.ask(BOOK) in (key(BOOK, 0), key(BOOK, 1))


def test_an_effect_that_a_later_answer_proposes_again_is_another_one() -> None:
    desk = Desk()
    desk.do(ASK, BOOKING)
    assert desk.do(BOOK) == key(BOOK, 0)
    desk.do(think("hello", "book it", "again"), BOOKING)
    assert desk.do(BOOK) == key(BOOK, 1)
    assert desk.do(BOOK) == key(BOOK, 1)


def test_two_strands_whose_models_propose_the_same_effect_have_it_twice() -> None:
    desk = Desk()
    desk.do(think("one"), BOOKING)
    desk.do(think("two"), BOOKING)
    assert desk.ask(BOOK) == key(BOOK, 0)
    assert desk.ask(BOOK) == key(BOOK, 1)


def test_a_proposal_that_its_program_turned_down_makes_no_repeat_a_second_effect() -> None:
    desk = Desk()
    desk.do(ASK, BOOKING)
    desk.do(think("hello", "book it", "no, wait"), BOOKING)
    first = desk.do(BOOK)
    assert desk.match(BOOK) == Same(first)


def test_what_an_answer_proposes_that_nobody_got_makes_no_repeat_a_second_effect() -> None:
    desk = Desk()
    lost = desk.ask(ASK)
    desk.do(ASK, BOOKING)
    desk.settle(lost, DONE, BOOKING)
    desk.recall.left(lost)
    first = desk.do(BOOK)
    assert desk.match(BOOK) == Same(first)


def test_a_strand_that_goes_on_from_one_of_two_samples_takes_nothing_from_the_other() -> None:
    desk = Desk()
    samples = [desk.ask(ASK), desk.ask(ASK)]
    desk.settle(samples[0], DONE, BOOKING, BOOKING)
    desk.settle(samples[1])
    for sample in samples:
        desk.had(sample)
    desk.ask(BOOK)
    desk.ask(think("hello", "the second sample", "go on"))
    assert desk.ask(BOOK) == key(BOOK, 1)


def test_a_strand_that_shares_a_context_takes_nothing_from_a_thought_under_way() -> None:
    desk = Desk()
    asked = desk.ask(ASK)
    desk.ask(think("hello", "the program's own words", "go on"))
    desk.settle(asked, DONE, BOOKING, BOOKING)
    desk.had(asked)
    assert [desk.ask(BOOK), desk.ask(BOOK)] == [key(BOOK, 0), key(BOOK, 1)]


def test_an_effect_whose_client_left_is_the_answer_though_its_model_proposes_it_again() -> None:
    desk = Desk()
    desk.do(ASK, BOOKING)
    first = desk.ask(BOOK)
    desk.recall.left(first)
    desk.do(think("hello", "book it", "it timed out"), BOOKING)
    assert desk.ask(BOOK) == first
    desk.settle(first)
    desk.had(first)
    assert desk.match(BOOK) == Same(first)


@pytest.mark.parametrize("nothing", [REFUSED, NOT_HAPPENED])
def test_an_effect_that_is_known_not_to_have_happened_may_be_asked_for_again(nothing: Delivered) -> None:
    desk = Desk()
    first = desk.ask(BOOK)
    desk.settle(first, nothing)
    assert desk.match(BOOK) == Same(first)
    desk.had(first)
    desk.had(first)
    assert desk.ask(BOOK) == key(BOOK, 1)


def test_an_effect_that_failed_after_it_happened_is_the_same_call() -> None:
    desk = Desk()
    first = desk.ask(BOOK)
    desk.settle(first, Delivered(FAILED.status, code="verification_failed"))
    desk.had(first)
    assert desk.match(BOOK) == Same(first)


@pytest.mark.parametrize("function", ["book", "crm_book", "mcp__crm__book", "Crm-Book"])
def test_a_proposal_counts_under_whatever_name_a_framework_gives_the_tool(function: str) -> None:
    desk = Desk()
    proposal = Proposal(function, BOOK.exact)
    desk.do(ASK, proposal, proposal)
    desk.ask(BOOK)
    assert desk.ask(BOOK) == key(BOOK, 1)


def test_a_proposal_of_another_tool_or_with_other_arguments_does_not_count() -> None:
    desk = Desk()
    desk.do(ASK, BOOKING, Proposal("mcp__crm__cancel", BOOK.exact), Proposal("mcp__crm__book", BOOK_OTHER.exact))
    first = desk.ask(BOOK)
    assert desk.match(BOOK) == Same(first)


def test_a_child_is_started_once() -> None:
    desk = Desk()
    spawn = waits(Kind.SPAWN, "clerk", goal=1)
    first = desk.do(spawn)
    assert desk.match(spawn) == Same(first)
    desk.do(ASK, Proposal("clerk", spawn.exact), Proposal("clerk", spawn.exact))
    assert desk.ask(spawn) == key(spawn, 1)


# Thoughts


def test_a_retry_that_says_so_is_the_same_thought() -> None:
    desk = Desk()
    first = desk.ask(ASK)
    assert desk.match(retried(ASK)) == Same(first)
    desk.settle(first)
    desk.had(first)
    desk.now_s += 60
    assert desk.match(retried(ASK)) == Same(first)


def test_a_thought_whose_client_left_is_joined_by_whoever_asks_again() -> None:
    desk = Desk()
    first = desk.ask(ASK)
    desk.recall.left(first)
    assert desk.match(ASK) == Same(first)
    desk.recall.left(first)
    desk.settle(first)
    desk.now_s += 600
    assert desk.match(ASK) == Same(first)
    desk.had(first)
    desk.now_s += 600
    assert desk.ask(ASK) == key(ASK, 1)


def test_identical_thoughts_asked_at_once_are_several() -> None:
    desk = Desk()
    assert [desk.ask(ASK) for _ in range(3)] == [key(ASK, n) for n in range(3)]


def test_a_thought_that_lost_its_last_byte_is_joined_once() -> None:
    desk = Desk(Outside(retry_join_s=2.0))
    first = desk.do(ASK)
    desk.now_s += 1.9
    assert desk.ask(ASK) == first
    desk.had(first)
    assert desk.ask(ASK) == key(ASK, 1)


def test_an_identical_thought_is_new_once_the_time_to_retry_is_over() -> None:
    desk = Desk(Outside(retry_join_s=2.0))
    desk.do(ASK)
    desk.now_s += 2.0
    assert desk.ask(ASK) == key(ASK, 1)


def test_no_thought_is_joined_late_while_its_twin_is_under_way() -> None:
    desk = Desk()
    desk.ask(ASK)
    second = desk.ask(ASK)
    desk.settle(second)
    desk.had(second)
    assert desk.ask(ASK) == key(ASK, 2)


def test_a_thought_that_failed_is_thought_anew() -> None:
    desk = Desk()
    first = desk.ask(ASK)
    desk.settle(first, FAILED)
    desk.had(first)
    assert desk.ask(retried(ASK)) == key(ASK, 1)


def test_a_retry_with_another_time_of_day_joins_what_its_client_left() -> None:
    desk = Desk()
    first = desk.ask(think("hello", clock="10:00"))
    assert desk.ask(think("hello", clock="10:01")) == key(ASK, 1)
    desk.recall.left(first)
    assert desk.ask(think("hello", clock="10:02")) == first


def test_a_retry_finds_its_thought_among_those_of_other_times() -> None:
    desk = Desk()
    first = desk.do(think("hello", clock="10:00"))
    desk.do(think("hello", clock="10:01"))
    assert desk.match(retried(think("hello", clock="10:00"))) == Same(first)


# Reads and waits


def test_polling_gets_something_new_each_time() -> None:
    desk = Desk()
    assert [desk.do(LOOK) for _ in range(3)] == [key(LOOK, n) for n in range(3)]


def test_identical_reads_at_once_are_several() -> None:
    desk = Desk()
    assert [desk.ask(LOOK), desk.ask(LOOK)] == [key(LOOK, 0), key(LOOK, 1)]


def test_a_read_whose_client_left_is_joined_while_it_is_fresh() -> None:
    desk = Desk(Outside(retry_join_s=2.0))
    first = desk.ask(LOOK)
    desk.recall.left(first)
    desk.now_s += 600
    assert desk.ask(LOOK) == first
    desk.recall.left(first)
    desk.settle(first)
    desk.now_s += 1
    assert desk.ask(LOOK) == first
    desk.recall.left(first)
    desk.now_s += 1
    assert desk.ask(LOOK) == key(LOOK, 1)


def test_a_person_is_asked_once_and_again_after_the_answer_was_heard() -> None:
    desk = Desk()
    ask = waits(Kind.HUMAN, "ask", question="proceed?")
    first = desk.ask(ask)
    assert desk.ask(ask) == first
    desk.settle(first)
    assert desk.ask(ask) == first
    desk.had(first)
    assert desk.ask(ask) == key(ask, 1)


@pytest.mark.parametrize("kind", [Kind.TIMER, Kind.SIGNAL])
def test_a_wait_is_gone_on_with_by_whoever_was_told_to_ask_again_and_each_strand_has_its_own(kind: Kind) -> None:
    desk = Desk()
    wait = waits(kind, seconds=60)
    first = desk.ask(wait)
    assert desk.ask(wait) == key(wait, 1)
    desk.recall.left(first)
    assert desk.ask(wait) == first


# What a client that left does not undo


def test_an_answer_that_is_being_written_while_the_history_changes_is_not_joined() -> None:
    desk = Desk()
    first = desk.ask(LOOK)
    desk.settle(first)
    desk.recall = desk.recall.renewed(desk.history, desk.now_s)
    assert desk.ask(LOOK) == key(LOOK, 1)


def test_one_client_that_leaves_does_not_take_the_call_from_another() -> None:
    desk = Desk()
    first = desk.ask(ASK)
    assert desk.ask(retried(ASK)) == first
    desk.recall.left(first)
    assert desk.ask(ASK) == key(ASK, 1)


def test_a_client_that_leaves_late_does_not_undo_that_another_had_the_answer() -> None:
    desk = Desk(Outside(retry_join_s=0.0))
    first = desk.ask(ASK)
    assert desk.ask(retried(ASK)) == first
    desk.settle(first)
    desk.had(first)
    desk.recall.left(first)
    assert desk.ask(ASK) == key(ASK, 1)


# A node that begins again under a living program


def test_after_a_node_died_what_was_not_handed_over_is_the_same_call() -> None:
    desk = Desk()
    asked = desk.ask(ASK)
    desk.settle(asked, DONE, BOOKING)
    desk.node_begins()
    desk.recall.proposed(asked, [BOOKING])
    assert desk.ask(ASK) == asked
    desk.had(asked)
    booked = desk.ask(BOOK)
    desk.node_begins()
    desk.recall.proposed(asked, [BOOKING])
    assert desk.ask(BOOK) == booked


def test_after_a_node_died_what_was_handed_over_is_not_joined() -> None:
    desk = Desk()
    desk.do(ASK)
    desk.do(LOOK)
    desk.ask(BOOK)
    desk.node_begins()
    assert desk.ask(ASK) == key(ASK, 1)
    assert desk.ask(LOOK) == key(LOOK, 1)


def test_after_a_node_died_the_second_of_two_proposed_effects_is_still_another_one() -> None:
    desk = Desk()
    thought = desk.do(ASK, BOOKING, BOOKING)
    desk.do(BOOK)
    desk.node_begins()
    desk.recall.proposed(thought, [BOOKING, BOOKING])
    assert desk.ask(BOOK) == key(BOOK, 1)


def test_after_a_node_died_an_effect_in_flight_is_joined_though_another_one_is_proposed() -> None:
    desk = Desk()
    thought = desk.do(ASK, BOOKING, BOOKING)
    first = desk.ask(BOOK)
    desk.node_begins()
    desk.recall.proposed(thought, [BOOKING, BOOKING])
    assert desk.ask(BOOK) == first
    assert desk.ask(BOOK) == key(BOOK, 1)


def test_after_a_node_died_an_effect_that_a_later_answer_proposes_again_is_another_one() -> None:
    desk = Desk()
    first = desk.do(ASK, BOOKING)
    desk.do(BOOK)
    second = desk.do(think("hello", "book it", "again"), BOOKING)
    desk.node_begins()
    for thought in (first, second):
        desk.recall.proposed(thought, [BOOKING])
    assert desk.ask(BOOK) == key(BOOK, 1)


def test_after_a_node_died_what_a_later_thought_was_asked_with_counts_as_handed_over() -> None:
    desk = Desk()
    desk.settle(desk.ask(BOOK_OTHER))  # nobody has it: it holds back what is known to be consumed
    looking = Proposal("look", LOOK.exact)
    first = desk.do(ASK, looking)
    desk.do(LOOK)
    desk.ask(think("hello", "let me see", "seen"))
    desk.node_begins()
    desk.recall.proposed(first, [looking])
    assert desk.ask(LOOK) == key(LOOK, 1)


def test_after_a_node_died_what_came_after_a_later_thought_does_not_count_as_handed_over() -> None:
    desk = Desk()
    looking = Proposal("look", LOOK.exact)
    first = desk.do(ASK, looking)
    desk.do(LOOK)
    desk.ask(think("hello", "let me see", "seen"))
    again = desk.ask(LOOK)
    desk.settle(again)
    desk.node_begins()
    desk.recall.proposed(first, [looking])
    assert desk.ask(LOOK) == again


def test_after_a_node_died_a_proposal_that_was_turned_down_does_not_count() -> None:
    desk = Desk()
    first = desk.do(ASK, BOOKING)
    second = desk.do(think("hello", "book it", "no, wait"), BOOKING)
    booked = desk.do(BOOK)
    desk.node_begins()
    for thought in (second, first):
        desk.recall.proposed(thought, [BOOKING])
    assert desk.ask(BOOK) == booked


def test_after_a_node_died_a_poll_whose_successor_was_asked_is_not_joined() -> None:
    desk = Desk()
    straggler = desk.ask(BOOK)
    desk.settle(straggler)
    for _ in range(3):
        desk.do(LOOK)
    desk.node_begins()
    assert desk.recall.consumed < desk.rows[key(LOOK, 0)].order
    assert desk.ask(LOOK) == key(LOOK, 2)
    desk.had(key(LOOK, 2))
    assert desk.ask(LOOK) == key(LOOK, 3)


def test_after_a_node_died_what_was_recalled_before_counts_as_consumed() -> None:
    desk = Desk()
    desk.do(LOOK)
    desk.do(BOOK)
    desk.program_begins()
    desk.do(LOOK)
    desk.do(BOOK)
    desk.do(BOOK_OTHER)
    desk.node_begins()
    assert desk.ask(LOOK) == key(LOOK, 1)
    assert desk.ask(BOOK) == key(BOOK, 0)


def test_nothing_differs_for_a_program_that_is_older_than_its_nodes_knowledge() -> None:
    desk = Desk()
    desk.do(ASK)
    desk.program_begins()
    assert isinstance(desk.match(think("other")), Differs)
    desk.do(ASK)
    desk.node_begins()
    assert desk.do(think("other")) == key(ASK, 1)
    assert isinstance(desk.match(ASK), Recalled)
    recall = OutsideRecall(desk.history, desk.incarnation, desk.terms, desk.now_s)
    assert isinstance(recall.match(think("another"), desk.now_s), New)


def test_a_tool_that_the_program_calls_of_itself_counts_before_a_model_proposes_it() -> None:
    desk = Desk()
    first = desk.do(BOOK)
    desk.do(ASK, BOOKING)
    assert desk.match(BOOK) == Same(first)
