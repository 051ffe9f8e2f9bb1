"""The program of a brain process: read a message, step until blocked, write what came of it."""

from __future__ import annotations

from comity.agents.stepper import Stepper
from comity.journal.framing import Frames, read_some, write_all
from comity.journal.program import Loaded
from comity.journal.protocol import Start, decode_to_brain, frame


def serve(loaded: Loaded, fd: int) -> None:
    """Be a brain over the socket `fd`, until its other end is closed."""
    stepper = Stepper(loaded.agents)
    frames = Frames()
    while data := read_some(fd):
        for body in frames.feed(data):
            message = decode_to_brain(body)
            step = stepper.start(message) if isinstance(message, Start) else stepper.deliver(message)
            write_all(fd, frame(step))
