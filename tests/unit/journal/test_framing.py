"""Frames come out of a stream whole, however it was cut."""

from __future__ import annotations

import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comity.core.errors import JournalError
from comity.journal.framing import Frames, read_some, write_all


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


@given(st.lists(st.binary(max_size=20)), st.lists(st.integers(1, 30), min_size=1))
def test_any_cut_of_a_stream_gives_the_same_frames(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(map(framed, bodies))
    frames = Frames()
    found: list[bytes] = []
    turn = 0
    while stream:
        size = cuts[turn % len(cuts)]
        found += frames.feed(stream[:size])
        stream = stream[size:]
        turn += 1
    assert found == bodies


def test_a_frame_beyond_the_limit_is_refused_before_it_is_kept() -> None:
    with pytest.raises(JournalError, match="`101` bytes"):
        list(Frames(bytes_max=100).feed((101).to_bytes(4, "big")))


def test_a_large_frame_is_written_and_read_in_pieces() -> None:
    body = os.urandom(1_000_000)
    read_end, write_end = os.pipe()
    writer = threading.Thread(target=write_all, args=(write_end, framed(body)))
    writer.start()
    frames = Frames()
    found: list[bytes] = []
    while not found:
        found += frames.feed(read_some(read_end))
    writer.join()
    os.close(write_end)
    assert found == [body]
    assert read_some(read_end) == b""
    os.close(read_end)
