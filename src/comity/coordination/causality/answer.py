"""The words of the map's answers: its nodes, its recorded edges, and what is missing or does not fit.

A node's id is `KIND:NAME`. An edge is recorded by somebody, and says where (`evidence`); guesses are another type.
"""

from __future__ import annotations

from typing import Literal

import msgspec

NodeKind = Literal[
    "call",
    "task",
    "answer",
    "observation",
    "claim",
    "agent",
    "person",
    "operator",
    "field",
    "invariant",
    "unknown",
]
How = Literal[
    "caused_by",  # the effect names its cause
    "read_from",  # the effect read a version that the cause wrote
    "saw",  # the effect's decision rested on this observation
    "spawned",  # the cause began this task
    "answered",  # the cause answered, or the effect was done knowing that answer
    "asked",  # the cause is the call that was answered
    "made",  # the cause is the task or principal that did this
    "under",  # the effect acted under this claim
    "wrote",  # an agent wrote a field
    "read",  # an agent read a field
    "declared",  # the world file says that one field follows another
    "bounds",  # the field stands in this invariant
]
OddWhy = Literal["backwards", "circle", "two_writers"]
PRINCIPALS = ("agent", "person", "operator")


class MapNode(msgspec.Struct, frozen=True, omit_defaults=True):
    """A node of the map: from `at_us` to `until_us`; `count` is how many events stand behind it.

    `state` is how a call ended (`happened`, `unknown`, …) or was turned away (`reject: RULE`), how severe an
    invariant is, or why a node is `unknown`.
    """

    id: str
    kind: NodeKind
    label: str
    at_us: int = 0
    until_us: int = 0
    actor: str = ""
    tool: str = ""
    state: str = ""
    count: int = 1


class MapEdge(msgspec.Struct, frozen=True, omit_defaults=True):
    """A recorded edge: `evidence` names versions, links or calls that say so; `count` of them, though not all listed.

    Edges between events never close a circle and never point back in time.
    """

    cause: str
    effect: str
    how: How
    evidence: tuple[str, ...]
    at_us: int = 0
    count: int = 1


class Missing(msgspec.Struct, frozen=True, omit_defaults=True):
    """A cause that `effect` names and the map does not know.

    *never*: nobody recorded it. *left*: not recorded, or older than what the map still holds.
    """

    effect: str
    name: str
    how: How
    why: Literal["never", "left"] = "never"


class Odd(msgspec.Struct, frozen=True, omit_defaults=True):
    """A recorded edge that cannot be: kept apart from the map, and told.

    *backwards*: its cause is later than its effect. *circle*: at one and the same moment its ends caused each other.
    *two_writers*: another call wrote the same version before.
    """

    cause: str
    effect: str
    how: How
    why: OddWhy
    evidence: tuple[str, ...] = ()


def node_id(kind: NodeKind, name: str) -> str:
    """Return the id of the node of that kind and name."""
    return f"{kind}:{name}"


def is_principal(id: str) -> bool:
    """Return whether that id names an agent, a person or an operator."""
    return id.partition(":")[0] in PRINCIPALS


def task_of(call: str) -> str:
    """Return the task whose call that is, empty where the name tells none."""
    task, slash, _ = call.partition("/")
    return task if slash else ""


def named_node(name: str) -> tuple[NodeKind, str]:
    """Return which node a name of a `Linked` means: by its prefix, else a call where it has a slash, else a task."""
    prefix, colon, rest = name.partition(":")
    for kind in _EVENTS:
        if colon and prefix == kind:
            return kind, rest
    return ("call" if "/" in name else "task"), name


_EVENTS: tuple[NodeKind, ...] = ("call", "task", "answer", "observation", "claim")
