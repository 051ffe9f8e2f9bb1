"""The node's end of a socket pair: nothing is lost, nothing blocks, and descriptors arrive with their frame."""

from __future__ import annotations

import os
import socket

from comity.runtime.channel import Channel
from comity.testing.waiting import wait_until


class Ends:
    """A channel, its other end, and what was heard."""

    def __init__(self, bytes_max: int = 1_000_000) -> None:
        ours, self.theirs = socket.socketpair()
        self.theirs.setblocking(False)
        self.heard: list[bytes] = []
        self.ends = 0
        self.channel = Channel(ours, self.heard.append, self._end, bytes_max)

    def _end(self) -> None:
        self.ends += 1

    def close(self) -> None:
        self.channel.close()
        self.theirs.close()


async def test_more_than_the_socket_takes_is_kept_and_sent_in_order() -> None:
    ends = Ends()
    sent = b"".join(bytes([n]) * 50_000 for n in range(100))
    for n in range(100):
        assert ends.channel.write(bytes([n]) * 50_000)
    got = b""

    def take() -> bool:
        nonlocal got
        try:
            got += ends.theirs.recv(1 << 20)
        except BlockingIOError:
            return False
        return len(got) == len(sent)

    await wait_until(take)
    assert got == sent
    ends.close()


async def test_descriptors_travel_with_their_frame_even_when_it_waits() -> None:
    ends = Ends()
    ends.channel.write(b"x" * 2_000_000)
    read_end, write_end = os.pipe()
    ends.channel.write(b"fork", (write_end,))
    got, fds = b"", []

    def take() -> bool:
        nonlocal got
        try:
            data, more, _, _ = socket.recv_fds(ends.theirs, 1 << 20, 2)
        except BlockingIOError:
            return False
        got += data
        fds.extend(more)
        return got.endswith(b"fork")

    await wait_until(take)
    os.write(fds[0], b"hello")
    os.close(fds[0])
    assert os.read(read_end, 100) == b"hello"
    assert os.read(read_end, 100) == b"", "the sender kept its copy"
    os.close(read_end)
    ends.close()


async def test_last_words_are_heard_before_the_end_and_the_end_once() -> None:
    ends = Ends()
    ends.theirs.send(b"\0\0\0\1a\0\0\0\1b")
    ends.theirs.close()
    ends.channel.drain()
    assert ends.heard == [b"a", b"b"]
    assert ends.ends == 1
    assert not ends.channel.write(b"nobody hears this")
    ends.close()


async def test_a_frame_beyond_the_limit_ends_the_channel() -> None:
    ends = Ends(bytes_max=10)
    ends.theirs.send(b"\0\0\1\0")
    await wait_until(lambda: ends.ends)
    assert ends.heard == []
    ends.close()
