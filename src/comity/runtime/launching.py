"""What a supervisor and a guardian say to each other. A guardian is a process of its own that starts one program.

Frames as in `journal/protocol.py`. A guardian that loses its supervisor ends the program, and all that it started.
"""

from __future__ import annotations

import msgspec

from comity.core.codec import pack
from comity.runtime.isolation import Isolation


class Launch(msgspec.Struct, frozen=True, array_like=True, tag="launch"):
    """To a guardian, first: the program to start.

    `fds` are inherited, beside the standard streams. With `has_terminal` it stays in the terminal's foreground with its
    supervisor, so that it can read what is typed. Where the supervisor is gone it has `grace_s` to end by itself.
    """

    arguments: tuple[str, ...]
    environment: dict[str, str]
    isolation: Isolation | None = None
    fds: tuple[int, ...] = ()
    has_terminal: bool = False
    grace_s: float = 0.0


class Send(msgspec.Struct, frozen=True, array_like=True, tag="send"):
    """To a guardian: send the program a signal; SIGKILL ends all that it started as well."""

    signal: int


class Started(msgspec.Struct, frozen=True, array_like=True, tag="started"):
    """From a guardian: the program runs."""

    pid: int


class NotStarted(msgspec.Struct, frozen=True, array_like=True, tag="not_started"):
    """From a guardian, last: why it does not."""

    error: str


class ProgramEnded(msgspec.Struct, frozen=True, array_like=True, tag="ended"):
    """From a guardian, last: the program and all that it started are gone; `status` as in `Exited`."""

    status: int


ToGuardian = Launch | Send
FromGuardian = Started | NotStarted | ProgramEnded

decode_to_guardian = msgspec.msgpack.Decoder(ToGuardian).decode
decode_from_guardian = msgspec.msgpack.Decoder(FromGuardian).decode


def guardian_frame(message: ToGuardian | FromGuardian) -> bytes:
    """Return the message with its length in front."""
    data = pack(message)
    return len(data).to_bytes(4, "big") + data
