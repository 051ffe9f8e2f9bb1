"""Ids: they sort by time, derive from their cause, and read back as they are shown."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comity.core.entropy import SystemEntropy
from comity.core.errors import UsageError
from comity.core.ids import derived_id, new_id, parse_id, show_id
from comity.testing import FakeClock, FakeEntropy


@given(st.integers(0, 2**47), st.integers(0, 2**32))
def test_a_new_id_is_a_uuid_7_that_holds_its_millisecond(milliseconds, seed):
    made = uuid.UUID(bytes=new_id(FakeClock(wall_us=milliseconds * 1_000 + 999), FakeEntropy(seed)))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert int.from_bytes(made.bytes[:6], "big") == milliseconds


def test_ids_sort_by_the_moment_in_which_they_were_made():
    clock, entropy, made = FakeClock(), FakeEntropy(), []
    for _ in range(100):
        made.append(new_id(clock, entropy))
        clock.advance_nowait(0.001)
    assert made == sorted(made)


def test_ids_of_one_millisecond_differ():
    clock, entropy = FakeClock(), SystemEntropy()
    assert len({new_id(clock, entropy) for _ in range(1_000)}) == 1_000


@given(st.lists(st.binary(max_size=8), max_size=4), st.lists(st.binary(max_size=8), max_size=4))
def test_a_derived_id_is_the_same_for_the_same_parts_only(left, right):
    assert (derived_id(*left) == derived_id(*right)) == (left == right)
    made = uuid.UUID(bytes=derived_id(*left))
    assert (made.version, made.variant) == (8, uuid.RFC_4122)


@given(st.binary(min_size=16, max_size=16))
def test_a_shown_id_reads_back(id):
    assert len(show_id(id)) == 36
    assert parse_id(show_id(id)) == id
    assert parse_id(show_id(id).upper()) == id


@pytest.mark.parametrize("text", ["", "x", "0198", "0198c0de-0000-7000-8000-00000000000g", "task 1"])
def test_what_is_no_id_is_refused_with_a_way_out(text):
    with pytest.raises(UsageError) as caught:
        parse_id(text)
    assert caught.value.message == f"`{text}` is not an id"
    assert "comity tasks ls" in caught.value.hint
