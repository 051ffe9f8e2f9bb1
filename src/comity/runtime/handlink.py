"""The node's end of one hand process: attempts go out, their ends and their progress come back."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from comity.journal.call import Attempt
from comity.journal.ports import OnProgress
from comity.journal.protocol import (
    Attempted,
    Cancel,
    Complete,
    Lease,
    Perform,
    Reported,
    ToHand,
    decode_from_hand,
    frame,
)
from comity.runtime.channel import Channel
from comity.runtime.zygote import Child

CANCELLED = "cancelled: its hand was ended while it ran"


class _Pending(NamedTuple):
    future: asyncio.Future[Attempt]
    on_progress: OnProgress


class HandLink:
    """A hand process, as the node sees it. `on_gone` is called once, when the process is dead."""

    def __init__(self, on_gone: Callable[[str], None]) -> None:
        self.is_gone = False
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._ids = itertools.count(1)
        self._pending: dict[int, _Pending] = {}
        self._cancelled: set[int] = set()
        self._child: Child | None = None
        self._channel: Channel | None = None
        self._why = ""

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._child.pid if self._child is not None else 0

    def connect(self, child: Child, lease_until_s: float) -> None:
        """Begin to talk to the forked process; the first that it hears is how long the node's lease lasts."""
        self._child = child
        self._channel = Channel(child.sock, self._heard, self._silent)
        self.tell_lease(lease_until_s)

    def tell_lease(self, until_s: float) -> None:
        """Tell the hand how long it may live."""
        self._write(Lease(until_s))

    def perform(self, order: Perform | Complete, on_progress: OnProgress) -> tuple[int, asyncio.Future[Attempt]] | None:
        """Send an order, under a number of this link, and return number and future end; None where nothing was sent."""
        number = next(self._ids)
        future: asyncio.Future[Attempt] = self._loop.create_future()
        self._pending[number] = _Pending(future, on_progress)
        if self._write(msgspec.structs.replace(order, id=number)):
            return number, future
        del self._pending[number]
        return None

    def cancel(self, number: int) -> None:
        """End an attempt that still runs."""
        if number in self._pending and number not in self._cancelled:
            self._cancelled.add(number)
            self._write(Cancel(number))

    def kill(self, why: str = "") -> None:
        """End the process, and what its tools started, with SIGKILL."""
        if self._child is not None and not self.is_gone:
            self._why = self._why or why
            self._child.kill()

    def exited(self, how: str) -> None:
        """Take note of its death: what it still said counts, every other attempt ended nobody knows how."""
        if self._channel is not None:
            self._channel.drain()
            self._channel.close()
        self.is_gone = True
        how = f"{self._why}, then {how}" if self._why else how
        for number, pending in self._pending.items():
            if not pending.future.done():
                error = CANCELLED if number in self._cancelled else f"the hand died: {how}"
                pending.future.set_result(Attempt("unknown", error=error))
        self._pending.clear()
        self._on_gone(how)

    def _write(self, message: ToHand) -> bool:
        return self._channel is not None and self._channel.write(frame(message))

    def _heard(self, body: bytes) -> None:
        try:
            message = decode_from_hand(body)
        except msgspec.DecodeError:
            self.kill("it sent what is no answer")
            return
        if isinstance(message, Attempted):
            self._cancelled.discard(message.id)
            pending = self._pending.pop(message.id, None)
            if pending is not None and not pending.future.done():
                pending.future.set_result(message.attempt)
        elif isinstance(message, Reported):
            pending = self._pending.get(message.id)
            if pending is not None:
                # Soon, not here: a listener's fault must not cost the end of an attempt.
                self._loop.call_soon(pending.on_progress, message.text, message.fraction)

    def _silent(self) -> None:
        """End a process that closed its socket, though it may run on."""
        self.kill()
