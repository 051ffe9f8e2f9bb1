"""Server-sent events: their data, and their exact bytes, however they were cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comity.core.errors import ComityError
from comity.models import sse
from comity.models.sse import EventReader

PIECES = ("\ufeff: hello", "event: a\ndata: 1\nid: 7", "\ndata:2\ndata: ü", ": still here", "retry: 3", "data: last")
STREAM = "\n\n".join(PIECES).encode()


def read(stream: bytes, cuts: list[int]) -> tuple[list[str], bytes]:
    """Return the data of a stream's events, and their bytes put together."""
    reader = EventReader()
    places = [0, *sorted(cuts), len(stream)]
    events = [event for start, end in pairwise(places) for event in reader.feed(stream[start:end])]
    events += reader.end()
    return [event.data for event in events if event.data], b"".join(event.raw for event in events)


@given(st.lists(st.integers(0, len(STREAM)), max_size=60), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_events_are_the_same_however_they_are_cut_and_no_byte_is_lost(cuts, end):
    stream = STREAM.replace(b"\n", end)
    assert read(stream, cuts) == (["1", "2\nü", "last"], stream)


def test_events_are_the_same_byte_by_byte():
    for end in (b"\n", b"\r\n", b"\r"):
        stream = STREAM.replace(b"\n", end)
        assert read(stream, list(range(len(stream)))) == (["1", "2\nü", "last"], stream)


def test_an_event_comes_with_the_chunk_that_ends_it():
    reader = EventReader()
    assert reader.feed(b"data: 1\n") == []
    assert [event.raw for event in reader.feed(b"\ndata: 2\n\ndata")] == [b"data: 1\n\n", b"data: 2\n\n"]
    assert [event.data for event in reader.feed(b": 3\r\n\r\n")] == ["3"]
    assert reader.end() == []


def test_data_of_several_lines_is_one_event():
    reader = EventReader()
    assert [item.data for item in reader.feed(b"event: x\nid: 1\ndata: {\ndata: }\n\ndata\n\n")] == ["{\n}", ""]


def test_an_event_has_a_limit_and_is_utf_8(monkeypatch):
    with pytest.raises(ComityError, match="no UTF-8") as caught:
        EventReader().feed(b"data: \xff\n\n")
    assert caught.value.code == "model_broken"
    monkeypatch.setattr(sse, "EVENT_BYTES_MAX", 10)
    with pytest.raises(ComityError, match="larger than 10 bytes"):
        EventReader().feed(b"data: 1234567")
    with pytest.raises(ComityError, match="larger than 10 bytes"):
        EventReader().feed(b"data: 1234567\n\ndata: 2")
