"""What models proposed, beside what was asked."""

from __future__ import annotations

from comity.core.codec import digest
from comity.gateway.proposals import Proposal, Proposals
from comity.journal.call import CallKey, Kind

ACT = "crm.book", digest(b'{"x":1}')
BOOKING = Proposal("book", ACT[1])


def thought(occurrence: int) -> CallKey:
    return CallKey("", Kind.MODEL, "m", occurrence)


def made(*thoughts: int) -> Proposals:
    proposals = Proposals(lambda key: True)
    for occurrence in thoughts:
        proposals.proposed(thought(occurrence), [BOOKING])
    return proposals


def test_an_effect_is_due_as_often_as_it_is_proposed() -> None:
    proposals = made(1, 2)
    for _ in range(2):
        assert proposals.is_due(*ACT)
        proposals.asked(*ACT)
    assert not proposals.is_due(*ACT)


def test_a_thought_that_is_told_twice_counts_once() -> None:
    proposals = made(1, 1)
    proposals.asked(*ACT)
    assert not proposals.is_due(*ACT)


def test_what_was_asked_is_accounted_for_by_the_thought_from_which_the_program_goes_on() -> None:
    proposals = made(1)
    proposals.asked(*ACT)
    assert proposals.went_on(thought(1)) == (BOOKING,)
    assert proposals.went_on(thought(1)) == ()
    assert not proposals.is_due(*ACT)
    proposals.proposed(thought(2), [BOOKING])
    assert proposals.is_due(*ACT)


def test_a_strand_that_goes_on_takes_no_proposal_from_another() -> None:
    proposals = made(1, 2)
    proposals.asked(*ACT)
    proposals.went_on(thought(1))
    assert proposals.is_due(*ACT)
    proposals.asked(*ACT)
    proposals.went_on(thought(2))
    assert not proposals.is_due(*ACT)


def test_a_proposal_from_which_the_program_went_on_without_asking_is_not_due_but_known() -> None:
    proposals = made(1)
    proposals.went_on(thought(1))
    assert not proposals.is_due(*ACT)
    assert proposals.is_known(*ACT)
    assert not proposals.is_known("crm.cancel", ACT[1])


def test_a_thought_that_the_program_cannot_have_proposes_nothing() -> None:
    proposals = Proposals(lambda key: key != thought(1))
    proposals.proposed(thought(1), [BOOKING])
    assert not proposals.is_due(*ACT)


def test_joining_a_call_that_is_accounted_for_is_what_an_open_proposal_asked_for() -> None:
    proposals = made(1)
    proposals.asked(*ACT)
    proposals.went_on(thought(1))
    proposals.proposed(thought(2), [BOOKING])
    proposals.joined(*ACT)
    assert not proposals.is_due(*ACT)


def test_joining_a_call_of_two_that_are_proposed_leaves_the_other_due() -> None:
    proposals = made(1, 2)
    proposals.asked(*ACT)
    proposals.joined(*ACT)
    assert proposals.is_due(*ACT)
