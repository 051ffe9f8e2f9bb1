"""What the journal knows of causes beyond the events of the world: spawned tasks, answered questions, named causes."""

from __future__ import annotations

from typing import Literal

import msgspec


class Linked(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """`cause` made `effect` happen, as a journal recorded it at `at_us`.

    Both are names: a call (`TASK/CALL`), a task (no slash in it), `observation:ID`, `claim:ID`, and as a cause also a
    principal (`agent:NAME`, `person:WHO`, `operator:WHO`).

    *spawned*: a call or principal began a task. *answered*: who answered (a person, a task, a call), and the call that
    had asked; what its task does later was done knowing the answer. *caused_by*: the effect itself names its cause.
    """

    at_us: int
    cause: str
    effect: str
    how: Literal["spawned", "answered", "caused_by"]
