"""The keys under which questions become calls."""

from __future__ import annotations

from comity.gateway.keys import Keys
from comity.journal.call import CallKey, Kind

ONE, TWO = b'{"x":1}', b'{"x":2}'


def look(occurrence: int) -> CallKey:
    return CallKey("", Kind.TOOL, "look", occurrence)


def test_each_kind_and_name_counts_on_from_the_journals_last() -> None:
    keys = Keys()
    keys.begin([look(4), look(2), CallKey("", Kind.MODEL, "look", 9)])
    assert keys.key_for(Kind.TOOL, "look", ONE) == look(5)
    assert keys.key_for(Kind.TOOL, "book", ONE) == CallKey("", Kind.TOOL, "book", 0)


def test_a_key_is_given_out_until_it_is_asked_under() -> None:
    keys = Keys()
    assert [keys.key_for(Kind.TOOL, "look", ONE) for _ in range(2)] == [look(0), look(0)]
    keys.asked(look(0), ONE)
    assert keys.key_for(Kind.TOOL, "look", ONE) == look(1)


def test_what_is_on_its_way_when_a_visit_begins_is_asked_again_under_its_key_once() -> None:
    keys = Keys()
    for occurrence, args in enumerate((ONE, ONE, TWO)):
        keys.asked(look(occurrence), args)
    keys.begin([look(2)])
    for expected in (0, 1):
        assert keys.key_for(Kind.TOOL, "look", ONE) == look(expected)
        keys.asked(look(expected), ONE)
    assert keys.key_for(Kind.TOOL, "look", ONE) == look(3)
    assert keys.key_for(Kind.TOOL, "look", TWO) == look(3)


def test_what_has_ended_is_not_on_its_way() -> None:
    keys = Keys()
    keys.asked(look(0), ONE)
    assert not keys.settled(look(0))
    keys.begin([])
    assert keys.key_for(Kind.TOOL, "look", ONE) == look(1)


def test_what_ends_before_anybody_asked_for_it_again_keeps_its_key_for_whoever_does() -> None:
    keys = Keys()
    keys.asked(look(0), ONE)
    keys.begin([])
    assert keys.settled(look(0))
    assert keys.key_for(Kind.TOOL, "look", ONE) == look(0)


def test_visits_that_begin_in_a_row_offer_what_is_on_its_way_once() -> None:
    keys = Keys()
    keys.asked(look(0), ONE)
    keys.begin([])
    keys.begin([])
    keys.asked(keys.key_for(Kind.TOOL, "look", ONE), ONE)
    assert keys.key_for(Kind.TOOL, "look", ONE) == look(1)
