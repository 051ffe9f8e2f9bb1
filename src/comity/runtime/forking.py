"""What a node and its zygotes say to each other: equip, fork, kill; loaded, forked, exited.

Frames as in `journal/protocol.py`; a `Fork` carries two descriptors: the child's end of its socket, and where its
output goes.
"""

from __future__ import annotations

import signal
from typing import Literal

import msgspec

from comity.core.codec import pack
from comity.journal.protocol import Described
from comity.runtime.isolation import Isolation

Role = Literal["brain", "hand"]
CONTROL_BYTES_MAX = 64 * 1024 * 1024


class Equip(msgspec.Struct, frozen=True, array_like=True, tag="equip"):
    """To a zygote, first: further environment, which is not in what it was executed with: neighbours may see that.

    With `isolation`, it isolates itself before it loads its file, and each of its children from the others.
    """

    env: dict[str, str] = {}
    isolation: Isolation | None = None


class Fork(msgspec.Struct, frozen=True, array_like=True, tag="fork"):
    """To a zygote: fork the child that both sides call `id`."""

    id: int


class Kill(msgspec.Struct, frozen=True, array_like=True, tag="kill"):
    """To a zygote, which knows what pids are still its own: end that child and what it started, unless it has ended."""

    id: int


class Loaded(msgspec.Struct, frozen=True, array_like=True, tag="loaded"):
    """From a zygote, once: what its file offers, or why it cannot be loaded; `files` are the sources that it read."""

    described: Described
    files: tuple[str, ...] = ()


class Forked(msgspec.Struct, frozen=True, array_like=True, tag="forked"):
    """From a zygote: the child's pid, or the error that kept it from forking."""

    id: int
    pid: int
    error: str = ""


class Exited(msgspec.Struct, frozen=True, array_like=True, tag="exited"):
    """From a zygote: a child is gone; `status` is its exit code, or minus the signal that ended it."""

    id: int
    status: int


ToZygote = Equip | Fork | Kill
FromZygote = Loaded | Forked | Exited

decode_to_zygote = msgspec.msgpack.Decoder(ToZygote).decode
decode_from_zygote = msgspec.msgpack.Decoder(FromZygote).decode


def control_frame(message: ToZygote | FromZygote) -> bytes:
    """Return the message with its length in front."""
    data = pack(message)
    return len(data).to_bytes(4, "big") + data


def how_it_ended(status: int) -> str:
    """Return in words how a process with this status ended."""
    if status >= 0:
        return f"exit code {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
